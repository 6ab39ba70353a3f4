"""Findings: what the rules say, with runs, money, evidence and the quoted source line; and their life in the store.

In: a DuckDB connection onto the store. Out: :class:`Finding` objects in order of what they cost (ended and failed runs
first, then wasted money), and the table ``findings``, where each keeps its id from one analysis to the next: ``open``
while the rules say it and what it blames is in force (:mod:`.standing`), ``resolved`` once either no longer holds,
``open`` again if it comes back.

The wasted money of a finding is what the ledger assigns to its rule's class for exactly the attempts or tool calls that
it names. Two findings may name the same call; no micro-dollar is in two of them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import polars as pl

from trimtab_tracer.prices import PriceList

from . import load
from .case import Blame, Case
from .failures import RULES, Rule
from .load import Connection, RunIds
from .standing import Found, are_in_force, recent_calls
from .walk import walk
from .wording import count

MAX_EVIDENCE: Final = 1000
"""Ids of each kind that a finding lists; its counts and amounts are those of all, ``numbers`` says what is left out."""

MAX_SITES: Final = 50
"""Lines of calls that a finding lists."""

MAX_OFFERED: Final = 50
"""Names of tools that a finding about them lists."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A line of the user's code, as it read when it ran."""

    site_id: str
    file: str
    function: str
    line: int
    source: str
    """The statement; empty where the source could not be read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure mode pinned to a decision and a line. Amounts in micro-USD, times in nanoseconds since the epoch."""

    finding_id: str
    rule: str
    subject: str
    knob: str
    value: str
    """JSON text of the value in force; ``null`` where the code set nothing, or where many values did the same."""
    site_id: str | None
    site: Quote | None
    title: str
    advice: str
    runs: int
    failed_runs: int
    """Runs it occurred in that failed; an association, not an effect."""
    calls: int
    cost_musd: int
    """Known cost of the calls it names."""
    wasted_musd: int
    """The part of it that the ledger assigns to the rule's class."""
    evidence: dict[str, Any]
    """JSON-able: lists of ids ``calls``, ``attempts``, ``tools``, ``runs`` and ``ended_runs`` (those that an exception
    ended right after what is blamed here), and ``numbers``: counts, shares with their 95 % interval (``low``,
    ``high``), where the value came from when it was last hit (``source``: ``code | default | human | experiment``, None
    where no decision was recorded), how surely the mode loses a run (``severity``), for a candidate the ``condition``
    under which it counts, the lines of the calls (``call_sites``: a client's settings may be decided
    elsewhere), and whatever else title and advice rest on."""
    first_seen_ns: int
    last_seen_ns: int
    is_current: bool = True
    """Whether the value is still in force at its place; what later calls without it did not show again is history."""


class Persisted(NamedTuple):
    """Ids of the findings whose status changed."""

    opened: list[str]
    reopened: list[str]
    resolved: list[str]


def finding_id(rule: str, subject: str, knob: str, value: str, site_id: str | None) -> str:
    """Sixteen hex digits that stay the same for the same finding."""
    text = json.dumps([rule, subject, knob, value, site_id], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def analyze(
    con: Connection,
    run_ids: RunIds = None,
    rules: Sequence[Rule] = RULES,
    case: Case | None = None,
    prices: PriceList | None = None,
) -> list[Finding]:
    """What the rules say about these runs, or about all, in the order of :func:`rank`.

    Args:
        con: The store.
        run_ids: The runs to tell about; None for all.
        rules: Which rules.
        case: What the rules look at, where it is loaded already, ``con`` being inside its snapshot; by default these
            runs alone. With the case of all runs findings keep what all runs say (whether it was an incident, a tool
            that is broken, a setting still in force), and their hits and amounts are those of the runs told about.
        prices: For the ledger of a case that is not (:func:`~.cost.ledger`).

    Raises:
        StoreError: the store does not have the tables of this version.
    """
    with load.snapshot(con):
        case = case or Case.load(con, run_ids, prices)
        findings: list[Finding] = []
        found: list[Found] = []
        recent = recent_calls(case)
        for rule, seen, blames, ends in walk(case, rules):
            told = [(b, *_of_runs(b, end, run_ids)) for b, end in zip(blames, ends, strict=True)]
            told = [each for each in told if not each[1].group.hits.is_empty()]
            if not told:
                continue
            near = _of_hits(seen, [b for b, *_ in told])
            findings += [_finding(near, rule, here, end) for _, here, end in told]
            failing = _failing(blames)
            found += [
                Found.of(seen, near, b.group, failing[bool(b.numbers.get("lost_calls"))], recent) for b, *_ in told
            ]
            del seen, blames, ends, near, told  # see walk: the rows of one rule at a time
        current = are_in_force(case, found, recent)
    return rank(replace(f, is_current=is_current) for f, is_current in zip(findings, current, strict=True))


def rank(findings: Iterable[Finding]) -> list[Finding]:
    """What ended runs, then what was in failed runs, then wasted money, then cost and number of the calls.

    Failed runs count by how surely the rule's mode loses one (:attr:`~.failures.Rule.severity`). Below all that ended
    no run stand the candidates, below them what lost no call, because a later attempt got the answer; and below
    everything what is no longer in force. The id settles what is left. The API's ``queries/findings.sql`` sorts the
    table by the same keys.
    """

    def key(f: Finding) -> tuple[bool, int, bool, bool, float, int, int, int, int, str]:
        numbers = f.evidence["numbers"]
        return (
            not f.is_current,
            -len(f.evidence["ended_runs"]),
            numbers.get("lost_calls") == 0,
            "condition" in numbers,
            -f.failed_runs * numbers.get("severity", 1.0),
            -f.failed_runs,
            -f.wasted_musd,
            -f.cost_musd,
            -f.calls,
            f.finding_id,
        )

    return sorted(findings, key=key)


def _of_runs(blame: Blame, ends: pl.DataFrame, run_ids: RunIds) -> tuple[Blame, pl.DataFrame]:
    """A blame with what it hit in these runs, and the ends among that."""
    if run_ids is None:
        return blame, ends
    here = pl.col("run_id").is_in(list(run_ids))
    return replace(blame, group=replace(blame.group, hits=blame.group.hits.filter(here))), ends.filter(here)


def _of_hits(case: Case, blames: Sequence[Blame]) -> Case:
    """The case with the attempts and the ledger of only those calls that a rule blames.

    One look through all attempts of the store for a rule, instead of one for each of its findings.
    """
    hits = [blame.group.hits["call_id"] for blame in blames]
    calls = pl.concat([pl.Series("call_id", dtype=pl.String), *hits]).drop_nulls().unique().to_frame()
    return replace(
        case,
        attempts=case.attempts.join(calls, on="call_id", how="semi", maintain_order="left"),
        ledger=case.ledger.join(calls, on="call_id", how="semi", maintain_order="left"),
    )


def _failing(blames: Sequence[Blame]) -> tuple[set[str], set[str]]:
    """The calls in which a rule found something, under any value: all of them, and those that were lost by it.

    What lost calls is measured by lost calls alone: a later value under which the same thing was got over is better.
    """
    hits = [rows for rows in (blame.group.hits for blame in blames) if "call_id" in rows.columns]
    lost = [rows.filter("is_last") for rows in hits if "is_last" in rows.columns]
    found, lost_ids = ({i for rows in some for i in rows["call_id"].drop_nulls()} for some in (hits, lost))
    return found, lost_ids


def _finding(case: Case, rule: Rule, blame: Blame, ends: pl.DataFrame) -> Finding:
    group, hits = blame.group, blame.group.hits
    by_tool = "tool_id" in hits.columns
    calls = hits["call_id"].drop_nulls().unique(maintain_order=True)
    runs = hits["run_id"].unique(maintain_order=True)
    parts = case.ledger.join(hits, on="tool_id" if by_tool else "attempt_id", how="semi")
    attempts = parts["attempt_id"] if by_tool else hits["attempt_id"].drop_nulls()
    seen = hits["at_ns" if by_tool else "ended_ns"]
    ended = ends["run_id"].unique(maintain_order=True)
    title = blame.title
    if len(ended):
        title += f"; {count(len(ended), 'run')} ended right there with an exception"
    is_candidate = rule.is_candidate if blame.is_candidate is None else blame.is_candidate
    if is_candidate:
        title += f" (a candidate: {rule.condition})"
    ids = {
        "calls": calls,
        "attempts": attempts.unique(maintain_order=True),
        "tools": hits["tool_id"] if by_tool else pl.Series(dtype=pl.String),
        "runs": runs,
        "ended_runs": ended,
    }
    numbers = dict(blame.numbers) | {"source": group.source, "severity": rule.severity}
    if is_candidate:
        numbers["condition"] = rule.condition
    if "asked_at" in hits.columns:
        numbers["call_sites"] = hits["asked_at"].drop_nulls().unique(maintain_order=True).head(MAX_SITES).to_list()
    if by_tool and group.knob == "tools":
        offered = sorted({name for names in hits["tools_offered"].drop_nulls() for name in names})
        numbers.setdefault("offered", offered[:MAX_OFFERED])
    left_out = {name: len(all_) - MAX_EVIDENCE for name, all_ in ids.items() if len(all_) > MAX_EVIDENCE}
    site = case.sites.get(group.site_id or "")
    return Finding(
        finding_id=finding_id(rule.id, group.subject, group.knob, group.value, group.site_id),
        rule=rule.id,
        subject=group.subject,
        knob=group.knob,
        value=group.value,
        site_id=group.site_id,
        site=Quote(**{k: site[k] for k in ("site_id", "file", "function", "line", "source")}) if site else None,
        title=title,
        advice=blame.advice,
        runs=len(runs),
        failed_runs=case.outcomes.filter(pl.col("failed") & pl.col("run_id").is_in(runs.to_list())).height,
        calls=len(calls),
        cost_musd=int(case.attempts.filter(pl.col("call_id").is_in(calls.to_list()))["cost_musd"].sum()),
        wasted_musd=int(parts.filter(pl.col("cls") == rule.cost_class)["cost_musd"].sum()) if rule.cost_class else 0,
        evidence={
            **{name: all_.head(MAX_EVIDENCE).to_list() for name, all_ in ids.items()},
            "numbers": {**numbers, **({"left_out": left_out} if left_out else {})},
        },
        first_seen_ns=int(seen.min()),  # type: ignore[arg-type]
        last_seen_ns=int(seen.max()),  # type: ignore[arg-type]
    )


_COLUMNS: Final = tuple(load.FINDINGS)


def persist(con: Connection, findings: Sequence[Finding], now_ns: int | None = None) -> Persisted:
    """Bring the table ``findings`` up to date with the result of an analysis of all runs, in one transaction.

    A finding keeps its first sight; a row that says the same as before is not written, so ``updated_ns`` is when it
    last changed. What is in the table and not in ``findings`` becomes ``resolved``, and so does what is no longer in
    force. Each change of status is a row of ``finding_events``.
    """
    now = time.time_ns() if now_ns is None else now_ns
    with load.snapshot(con):
        stored = {row["finding_id"]: row for row in load.findings_stored(con).iter_rows(named=True)}
        rows = [_row(f, stored.get(f.finding_id), now) for f in findings]
        ids = {row["finding_id"] for row in rows}
        gone = [i for i, row in stored.items() if i not in ids and row["status"] == "open"]
        changed = [row for row in rows if _differs(row, stored.get(row["finding_id"]))]
        if changed:
            con.register("findings_changed", pl.DataFrame(changed, schema=load.FINDINGS).to_arrow())
            try:
                con.execute("INSERT OR REPLACE INTO findings BY NAME SELECT * FROM findings_changed")
            finally:
                con.unregister("findings_changed")
        if gone:
            con.execute(
                "UPDATE findings SET status = 'resolved', updated_ns = $now WHERE finding_id IN (SELECT unnest($gone))",
                {"now": now, "gone": gone},
            )
        before = {i: row["status"] for i, row in stored.items()}
        is_open = [row["finding_id"] for row in rows if row["status"] == "open"]
        closed = [row["finding_id"] for row in rows if row["status"] == "resolved"]
        done = Persisted(
            opened=[i for i in is_open if i not in before],
            reopened=[i for i in is_open if before.get(i) == "resolved"],
            resolved=[*gone, *(i for i in closed if before.get(i) == "open")],
        )
        for event, changed_ids in done._asdict().items():
            if changed_ids:
                con.execute(
                    "INSERT INTO finding_events SELECT unnest($ids), $now, $event",
                    {"ids": changed_ids, "now": now, "event": event},
                )
    return done


def stored(con: Connection) -> list[Finding]:
    """The open findings as the last analysis left them, in the order of :func:`rank`."""
    with load.snapshot(con):
        rows = [row for row in load.findings_stored(con).iter_rows(named=True) if row["status"] == "open"]
        sites = {row["site_id"]: row for row in load.sites(con).iter_rows(named=True)}
    found = []
    for row in rows:
        kept = {name: row[name] for name in row if name not in ("status", "updated_ns", "evidence")}
        site = sites.get(row["site_id"] or "")
        quote = Quote(**{k: site[k] for k in ("site_id", "file", "function", "line", "source")}) if site else None
        found.append(Finding(**kept, site=quote, evidence=json.loads(row["evidence"])))
    return rank(found)


def _row(finding: Finding, before: dict[str, Any] | None, now_ns: int) -> dict[str, Any]:
    row = {name: getattr(finding, name) for name in _COLUMNS if name not in ("status", "evidence", "updated_ns")}
    row["status"], row["updated_ns"] = "open" if finding.is_current else "resolved", now_ns
    row["evidence"] = json.dumps(finding.evidence, ensure_ascii=False)
    if before is not None:
        row["first_seen_ns"] = min(row["first_seen_ns"], before["first_seen_ns"])
    return row


def _differs(row: dict[str, Any], before: dict[str, Any] | None) -> bool:
    return before is None or any(row[name] != before[name] for name in _COLUMNS if name != "updated_ns")
