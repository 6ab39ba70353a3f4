"""Blame of failed runs: for each, the steps at which it may have gone wrong, ranked, with shares that sum to 1.

In: the store. Out: :class:`Blamed` objects. A module of its own because it answers another question than a finding: a
finding says what went wrong under one decision over many runs, blame says where one run was lost.

Method: an odds form of naive Bayes with weights that are written down, not learned at run time. A step starts with a
weight that falls slowly with its position (:func:`start_weight`), because the decisive error is the first one that
nobody mends. Each signal that it shows (:data:`.signals.SIGNALS`) and each rule that hit it (:data:`.failures.RULES`)
multiplies that weight by a stated factor; a step's share is its weight over the sum of all weights of its run: the
posterior of "this step is the decisive one" if exactly one is, if the factors are likelihood ratios and if signals
are independent given the step. They are not, so shares rank and do not promise: read them as a set, and read a step
as give or take :data:`TOLERANCE`. Nothing here reads a label or an annotation.

Where texts are not kept, only what facts show counts. A run without any call gets one entry that says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from . import load
from .case import Case, Group
from .failures import RULES, Rule
from .findings import finding_id
from .load import Connection, RunIds
from .signals import Shown, signals_of
from .steps import Step, content_folder, steps_of
from .walk import walk

TOLERANCE: Final = 1
"""Steps by which a blamed step may be off: the one that failed and the one that made it fail stand side by side."""
MAX_STEPS: Final = 20
"""Steps of a run that are named; what the others had is divided among them."""
SEVERITY: Final = 0.5
"""Of a rule that states none."""
RULE_FACTOR: Final = 10.0
"""What a rule of severity 1 multiplies the odds of a step by; of severity 0 it changes nothing."""
ENDED_FACTOR: Final = 100.0
"""The same where an exception ended the run right after the step that the rule hit: little is left to doubt."""
USUAL: Final = 0.9
"""Share of a run's steps from which a signal is what its steps are like: it counts alike for all and names none."""
BATCH: Final = 500
"""Runs whose texts are in memory together."""

NO_CALL: Final = "no_call"
"""Mode of a failed run that made no LLM call: the agent, or its environment, did not start."""


@dataclass(frozen=True, slots=True)
class Blamed:
    """One step of a failed run, and how much of that run's blame it has."""

    run_id: str
    rank: int
    """1: most of the blame of its run."""
    share: float
    """Of its run's blame, in (0, 1]; the shares of one run sum to 1."""
    step: int | None
    """Index of the step in the log it was imported from, elsewhere the call's position in its run; None: no call."""
    agent: str | None
    """Who made the call, where anything says (view ``call_agents``)."""
    call_id: str | None
    tool_ids: tuple[str, ...] = ()
    """Tool calls of that call which the evidence names."""
    span_ids: tuple[str, ...] = ()
    """Keys of the spans that tell of the call."""
    modes: tuple[str, ...] = ()
    """Ids of rules and names of signals, the strongest first; not those that speak against the step, nor what nearly
    every step of the run shows."""
    knob: str | None = None
    """The decision that the strongest of them points to."""
    value: str | None = None
    """JSON text of the knob's value in force; None where no decision of it is recorded."""
    site_id: str | None = None
    """Line of that decision, else of the call."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """``signals``: list of ``{mode, factor, says, words}``; ``findings``: ids of the findings that name the call;
    ``tolerance``; ``left_out``: steps of the run that are not named."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that hit a step."""

    rule: str
    factor: float
    says: str
    knob: str
    value: str
    site_id: str | None
    finding_id: str
    tool_ids: tuple[str, ...] = ()


Hits = Mapping[str, Mapping[str | None, list[Hit]]]
"""By run and call; a hit that names no call is under None."""


def blame(
    con: Connection, run_ids: RunIds = None, *, case: Case | None = None, content_dir: Path | None = None
) -> list[Blamed]:
    """The ranked steps of every failed run, ordered by run and rank. About a millisecond per call of these runs.

    Args:
        con: The store.
        run_ids: Runs to look at; those that did not fail are left out. None for all.
        case: The case of all runs where it is loaded already, ``con`` being inside its snapshot.
        content_dir: Folder of the texts; by default the one beside the store's file.

    Raises:
        StoreError: the store does not have the tables of this version.
    """
    folder = content_dir or content_folder(con)
    with load.snapshot(con):
        failed = load.outcomes(con, run_ids).filter("failed")["run_id"].to_list()
        if not failed:
            return []
        hits = _rule_hits(case or Case.load(con), failed)
        found: list[Blamed] = []
        for start in range(0, len(failed), BATCH):
            batch = failed[start : start + BATCH]
            steps = steps_of(con, batch, folder)
            for run_id in batch:
                found += blame_run(run_id, steps.get(run_id, []), hits.get(run_id, {}))
    return found


def blame_run(run_id: str, steps: Sequence[Step], hits: Mapping[str | None, list[Hit]]) -> list[Blamed]:
    """The ranked steps of one failed run; the earlier of equals comes first.

    Args:
        run_id: The run.
        steps: In order.
        hits: Of rules, by call; those that name no call are about the last one.
    """
    if not steps:
        return [Blamed(run_id, 1, 1.0, None, None, None, modes=(NO_CALL,), evidence=_no_call(hits))]
    of_calls = {step.call_id: list(hits.get(step.call_id, ())) for step in steps}
    of_calls[steps[-1].call_id] += hits.get(None, ())
    signals = signals_of(steps)
    usual = _usual(signals)
    entries = [
        _entry(step, start_weight(position, len(steps)), shown, of_calls[step.call_id], usual)
        for position, (step, shown) in enumerate(zip(steps, signals, strict=True))
    ]
    ranked = sorted(entries, key=lambda entry: (-entry.share, entry.step))[:MAX_STEPS]
    total = sum(entry.share for entry in ranked)
    left_out = len(entries) - len(ranked)
    return [
        replace(entry, rank=rank, share=entry.share / total, evidence=entry.evidence | {"left_out": left_out})
        for rank, entry in enumerate(ranked, 1)
    ]


def start_weight(position: int, steps: int) -> float:
    """What the step at this position of a run of so many steps starts with: the last ones half as much as the first."""
    return 1 / (1 + position / steps)


def by_agent(blamed: Iterable[Blamed]) -> dict[str | None, float]:
    """What each agent has of one run's blame, the most first; they sum to 1."""
    shares: dict[str | None, float] = defaultdict(float)
    for one in blamed:
        shares[one.agent] += one.share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _usual(signals: Sequence[Sequence[Shown]]) -> set[str]:
    """The signals that nearly every step of a run shows; none in a run of one step."""
    counts = Counter(one.signal.name for shown in signals for one in shown)
    return {name for name, count in counts.items() if len(signals) > 1 and count >= USUAL * len(signals)}


def _entry(step: Step, weight: float, shown: Sequence[Shown], hits: Sequence[Hit], usual: set[str]) -> Blamed:
    """A step with its weight in place of its share, and no rank yet; ``weight`` is what it starts with."""
    for factor in (*(s.signal.factor for s in shown), *(h.factor for h in hits)):
        weight *= factor
    reasons = [(h.factor, h.rule, h.says, "") for h in hits]
    reasons += [(s.signal.factor, s.signal.name, s.signal.says, s.words) for s in shown]
    reasons.sort(key=lambda reason: -reason[0])
    first_hit = max(hits, key=lambda hit: hit.factor, default=None)
    telling = [one for one in shown if one.signal.name not in usual and one.signal.factor > 1]
    first_sign = max(telling, key=lambda one: one.signal.factor, default=None)
    tool_ids = [tool_id for hit in hits for tool_id in hit.tool_ids]
    tool_ids += [tool_id for one in shown for tool_id in one.tool_ids]
    return Blamed(
        run_id=step.run_id,
        rank=0,
        share=weight,
        step=step.step,
        agent=step.agent,
        call_id=step.call_id,
        tool_ids=tuple(dict.fromkeys(tool_ids)),
        span_ids=step.spans,
        modes=tuple(dict.fromkeys(mode for factor, mode, *_ in reasons if factor > 1 and mode not in usual)),
        knob=first_hit.knob if first_hit else first_sign.signal.knob if first_sign else None,
        value=first_hit.value if first_hit else None,
        site_id=(first_hit.site_id if first_hit else None) or step.site_id,
        evidence={
            "signals": [dict(zip(("factor", "mode", "says", "words"), reason, strict=True)) for reason in reasons],
            "findings": list(dict.fromkeys(hit.finding_id for hit in hits)),
            "tolerance": TOLERANCE,
        },
    )


def _no_call(hits: Mapping[str | None, list[Hit]]) -> dict[str, Any]:
    says = "the run made no LLM call: look at how it is started, not at what the agent does"
    found = [hit for of_call in hits.values() for hit in of_call]
    signals = [{"factor": hit.factor, "mode": hit.rule, "says": hit.says, "words": ""} for hit in found]
    return {
        "signals": [{"factor": 1.0, "mode": NO_CALL, "says": says, "words": ""}, *signals],
        "findings": list(dict.fromkeys(hit.finding_id for hit in found)),
        "tolerance": 0,
        "left_out": 0,
    }


def _rule_hits(case: Case, failed: Sequence[str]) -> Hits:
    """What every rule hit in failed runs. The rules see all runs: what is usual is known from those that went well."""
    found: dict[str, dict[str | None, list[Hit]]] = defaultdict(lambda: defaultdict(list))
    looked_at = pl.DataFrame({"run_id": failed}, schema={"run_id": pl.String})
    for rule, _, blames, ends in walk(case, RULES):
        for one, rows in zip(blames, ends, strict=True):
            ended = set(rows.iter_rows())
            for run_id, call_id, tool_ids in _places(one.group, looked_at):
                hit = _hit(rule, one.group, one.title, (run_id, call_id) in ended, tool_ids)
                found[run_id][call_id].append(hit)
        del blames, ends  # see walk: the rows of one rule at a time
    return found


def _places(group: Group, runs: pl.DataFrame) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """Run, call and tool calls of a group's hits, each call once."""
    hits = group.hits.join(runs, on="run_id", how="semi", maintain_order="left")
    if "tool_id" not in hits.columns:
        hits = hits.with_columns(tool_id=pl.lit(None, pl.String))
    for run_id, call_id, tools in hits.group_by("run_id", "call_id", maintain_order=True).agg("tool_id").iter_rows():
        yield run_id, call_id, tuple(tool_id for tool_id in tools if tool_id is not None)


def _hit(rule: Rule, group: Group, title: str, is_end: bool, tool_ids: tuple[str, ...]) -> Hit:
    severity = float(getattr(rule, "severity", SEVERITY))
    return Hit(
        rule=rule.id,
        factor=ENDED_FACTOR if is_end else RULE_FACTOR**severity,
        says=title,
        knob=group.knob,
        value=group.value,
        site_id=group.site_id,
        finding_id=finding_id(rule.id, group.subject, group.knob, group.value, group.site_id),
        tool_ids=tool_ids,
    )
