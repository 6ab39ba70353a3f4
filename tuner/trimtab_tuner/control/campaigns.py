"""Experiments whose weights are learned: their rows, and the rules that their weights become.

In: a decision inside its transaction, and what the learner says. Out: rows of ``campaigns``, ``campaign_units`` and
``campaign_events``, and the rules in the policy: one for all runs, and one for each context with weights of its own.
Apart from :mod:`.experiments`, of which a campaign is one, because nothing there learns; and apart from :mod:`..tune`,
which decides what is learned, because only the control writes.

What was learned and which units it was learned from are committed together, so that a unit counts once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trimtab_tracer import policy
from trimtab_tracer.errors import PolicyError
from trimtab_tracer.store import replace_rows

from ..reads import Row, fetch
from . import audit, experiments, rows
from .change import Change
from .document import Json, is_of, overlaps, plain_match, without
from .errors import Refused

if TYPE_CHECKING:
    import duckdb

    from trimtab_tracer.settings import Settings

log = logging.getLogger("trimtab.tuner")

Weights = Mapping[str, Mapping[str, float]]
"""Context (:data:`EVERYWHERE` for all that have none of their own) -> key of the arm -> weight."""

LEAST_CHANGE: Final = 0.01
"""Change of a weight that is worth a version of the policy."""
EVERYWHERE: Final = ""
INCUMBENT: Final = "incumbent"
"""Key of the arm that is what the code does."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a campaign."""

    kind: str
    """As the migration lists them."""
    arm: str | None
    told: str
    figures: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begun:
    """What an experiment begins with."""

    spec: Json
    """What is asked for, kept as it is."""
    state: Json
    verdict: Json
    weights: Weights
    units: int
    """Of an earlier experiment, learned from already."""
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Learned:
    """What one step of learning leaves behind."""

    state: Json
    verdict: Json
    weights: Weights
    phase: str
    promoted_arm: str | None
    units: Sequence[tuple[str, str, bool]]
    """Run and line of each unit that it learned from, and whether what came of it was known."""
    events: Sequence[Event]
    publishes: bool
    """Whether agents are to draw with these weights from now on. Where the incumbent alone has one, nothing is drawn:
    the experiment goes on when exploring does."""
    is_over: bool
    """No value is left that could be drawn again."""
    seen_ns: int
    """``updated_ns`` of the row that it goes on from."""


@dataclass(frozen=True, slots=True)
class Revised:
    """What a person's change of the values, or of their prices, makes of an experiment."""

    action: str
    """Its name in the audit."""
    before: Any
    after: Any
    arms: list[Json]
    """All there ever were: what was learned of one that is no longer tried stays."""
    spec: Json
    state: Json
    verdict: Json
    weights: Weights
    phase: str
    promoted_arm: str | None
    events: Sequence[Event]
    is_over: bool


def running(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """The running experiments that are learned from: columns of ``campaigns``, and of ``experiments`` what is drawn;
    ``started_ns`` of its first start."""
    sql = """
        SELECT c.*, e.knob, e.match, e.arms, e.rule_id, e.started_by, e.version,
            least(e.started_ns, (SELECT min(at_ns) FROM campaign_events AS v WHERE v.experiment_id = c.experiment_id))
                AS started_ns
        FROM campaigns AS c JOIN experiments AS e USING (experiment_id)
        WHERE e.status = 'running'
        ORDER BY e.experiment_id
    """
    return fetch(con, sql)


def is_wanted(con: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Whether there is anything to learn from or to keep an eye on, or may be without anyone asking for it."""
    if settings.tune_mode == "auto":
        return True
    ((found,),) = con.execute(_WANTED).fetchall()
    return bool(found)


_WANTED: Final = """
SELECT
    (SELECT count(*) FROM campaigns)
    + (SELECT count(*) FROM knob_modes WHERE mode = 'auto')
    + (SELECT count(*) FROM recommendations WHERE status IN ('accepted', 'active', 'promoted'))
"""


def start(change: Change, experiment_id: str, knob: str, match: Json, arms: list[Json], begun: Begun) -> Row:
    """Begin an experiment that is learned from; its row.

    Args:
        change: The decision it is.
        experiment_id: Of :func:`.experiments.new_id`; the learner has to know it before.
        knob: What is drawn.
        match: For which calls.
        arms: Its values and the incumbent, each with the weight that it begins with.
        begun: What the learner begins with.

    Raises:
        Conflict: another one runs on this knob, or a person's rule steers some of the same calls.
        Refused: knob, match or arms can't be used.
    """
    row = experiments.start(change, knob, match, arms, experiment_id)
    columns: Row = {"experiment_id": row["experiment_id"], "spec": begun.spec, "state": begun.state}
    columns |= {"verdict": begun.verdict, "weights": begun.weights, "phase": "exploring", "units": begun.units}
    rows.insert(change.con, "campaigns", columns | {"updated_ns": change.now_ns, "published_ns": change.now_ns})
    _note(change, row["experiment_id"], begun.events)
    return row


def record(change: Change, experiment_id: str, learned: Learned) -> bool:
    """Write down what was learned, and let agents draw with it where ``learned`` says so.

    A campaign that somebody stopped in the meantime keeps its units and gets no weights. Where somebody changed its
    values in the meantime nothing is written: what was learned is of other arms. Whether it was written.
    """
    con = change.con
    experiment = experiments.get(con, experiment_id)
    campaign = rows.one(con, "campaigns", "experiment_id", experiment_id)
    if campaign is None or campaign["updated_ns"] != learned.seen_ns:
        return False
    columns: Row = {"state": learned.state, "verdict": learned.verdict, "phase": learned.phase}
    columns |= {"promoted_arm": learned.promoted_arm, "updated_ns": change.now_ns}
    if experiment["status"] == "running" and learned.is_over:
        experiments.take_out(change, experiment, "no value is left to try: the code's own holds again")
    elif experiment["status"] == "running" and learned.publishes and not change.is_frozen:
        _publish(change, experiment, learned.weights)
        columns |= {"weights": learned.weights, "published_ns": change.now_ns}
    rows.update(con, "campaigns", "experiment_id", experiment_id, columns)
    _count(change, experiment_id, learned.units)
    _note(change, experiment_id, learned.events)
    for event in learned.events:
        _audit(change, experiment_id, event)
    return True


def revise(change: Change, experiment_id: str, version: int, make: Callable[[Row], Revised]) -> Row:
    """Change the values of a running experiment, or what is known of their prices; its row.

    Args:
        change: The decision it is.
        experiment_id: Which.
        version: Of the experiment, as it was seen.
        make: What becomes of the row of the experiment together with its campaign's.

    Raises:
        NotThere: there is no such experiment.
        Conflict: someone stopped or changed it before.
        Refused: its shares are fixed, or ``make`` refuses.
    """
    experiment = experiments.seen_running(change, experiment_id, version)
    campaign = rows.one(change.con, "campaigns", "experiment_id", experiment_id)
    if campaign is None:
        raise Refused(f"Experiment {experiment_id} has fixed shares, which stay as they are. Nothing was changed.")
    revised = make(experiment | campaign)
    experiment = experiments.set_arms(change, experiment, revised.arms)
    updated_ns = max(change.now_ns, campaign["updated_ns"] + 1)  # whoever read it before sees that it is another one
    columns: Row = {"spec": revised.spec, "state": revised.state, "verdict": revised.verdict}
    columns |= {"weights": revised.weights, "phase": revised.phase, "promoted_arm": revised.promoted_arm}
    rows.update(
        change.con,
        "campaigns",
        "experiment_id",
        experiment_id,
        columns | {"updated_ns": updated_ns, "published_ns": change.now_ns},
    )
    if revised.is_over:
        experiments.take_out(change, experiment, "no value is left to try: the code's own holds again")
    else:
        _publish(change, experiment, revised.weights)
    _note(change, experiment_id, revised.events)
    change.audit(revised.action, "experiment", experiment_id, before=revised.before, after=revised.after)
    return experiments.get(change.con, experiment_id)


def end(change: Change, experiment_id: str, event: Event) -> None:
    """End a campaign because of ``event``; what it learned stays as it was."""
    experiment = experiments.get(change.con, experiment_id)
    if experiment["status"] == "running":
        experiments.take_out(change, experiment, event.told)
    _note(change, experiment_id, [event])
    _audit(change, experiment_id, event)


def events(con: duckdb.DuckDBPyConnection, *, after: int, limit: int, experiment_id: str | None = None) -> list[Row]:
    """Events behind id ``after``, oldest first."""
    sql = """
        SELECT * FROM campaign_events
        WHERE event_id > $after AND ($id IS NULL OR experiment_id = $id)
        ORDER BY event_id LIMIT $limit
    """
    return fetch(con, sql, after=after, limit=limit, id=experiment_id)


def rules_of(experiment: Row, weights: Weights, context_key: str | None) -> list[Json]:
    """The rules by which agents draw: the narrower ones first.

    An arm without a weight is not drawn. Where no arm but the incumbent is left there is nothing to draw.
    """
    made = []
    for n, (context, shares) in enumerate(sorted(weights.items(), reverse=True)):
        arms = [
            arm | {"weight": shares[arm_key(arm)]} for arm in experiment["arms"] if shares.get(arm_key(arm), 0.0) > 0.0
        ]
        if len(arms) < 2:
            continue
        rule = {"rule_id": experiment["rule_id"], "knob": experiment["knob"], "match": experiment["match"]}
        if context != EVERYWHERE:
            rule["rule_id"] = f"{experiment['rule_id']}.{n}"
            rule["match"] = experiment["match"] | {"context": {context_key: context}}
        rule |= {"sticky": "run", "source": "experiment", "arms": arms}
        if context == EVERYWHERE or _is_usable(rule):
            made.append(rule)
    return made


def differ(experiment: Row, weights: Weights, in_force: Sequence[Json]) -> bool:
    """Whether agents would draw noticeably otherwise than by the rules that are in force."""
    made = rules_of(experiment, weights, experiment["spec"].get("context_key"))
    now = [rule for rule in in_force if is_of(rule, experiment["rule_id"])]
    if [_shape(rule) for rule in made] != [_shape(rule) for rule in now]:
        return True
    pairs = [
        pair for one, other in zip(made, now, strict=True) for pair in zip(one["arms"], other["arms"], strict=True)
    ]
    return any(abs(arm["weight"] - old["weight"]) >= LEAST_CHANGE for arm, old in pairs)


def _shape(rule: Json) -> Json:
    """A rule without its weights."""
    return rule | {"arms": [arm_key(arm) for arm in rule["arms"]], "match": plain_match(rule["match"])}


def _is_usable(rule: Json) -> bool:
    """Whether agents would take it: a context may be any text, and not every text can be matched."""
    try:
        policy.read_rule(rule)
    except PolicyError:
        return False
    return True


def value_key(value: Any) -> str:
    """Key of the arm that gives ``value``: canonical JSON, so that equal values are one arm however written."""
    return json.dumps(value, sort_keys=True)


def arm_key(arm: Json) -> str:
    """Key of an experiment's arm."""
    return INCUMBENT if "incumbent" in arm else value_key(arm["value"])


def _publish(change: Change, experiment: Row, weights: Weights) -> None:
    """Put the new rules where the old ones stood, so that nothing else changes its place."""
    campaign = rows.one(change.con, "campaigns", "experiment_id", experiment["experiment_id"])
    context_key = campaign["spec"].get("context_key") if campaign else None
    made = rules_of(experiment, weights, context_key)
    others = [rule for rule in change.rules if not is_of(rule, experiment["rule_id"])]
    if any(overlaps(one, other) for one in made for other in others):
        experiments.take_out(change, experiment, "a rule of somebody's steers some of the same calls")
        return
    place = next((n for n, rule in enumerate(change.rules) if is_of(rule, experiment["rule_id"])), len(change.rules))
    kept = without(change.rules, experiment["rule_id"])
    change.publish(f"weights of experiment {experiment['experiment_id']}", rules=[*kept[:place], *made, *kept[place:]])


def _count(change: Change, experiment_id: str, units: Sequence[tuple[str, str, bool]]) -> None:
    """Write down what was learned from."""
    if not units:
        return
    con = change.con
    known = {"experiment_id": experiment_id, "learned_ns": change.now_ns}
    of_these = "SELECT count(*) FROM campaign_units WHERE experiment_id = ?"
    ((before,),) = con.execute(of_these, [experiment_id]).fetchall()
    replace_rows(
        con,
        "campaign_units",
        [known | {"run_id": run, "site_id": site, "has_quality": has_quality} for run, site, has_quality in units],
        ("experiment_id", "run_id", "site_id"),
    )
    ((after,),) = con.execute(of_these, [experiment_id]).fetchall()
    con.execute("UPDATE campaigns SET units = units + ? WHERE experiment_id = ?", [after - before, experiment_id])


def _note(change: Change, experiment_id: str, happened: Sequence[Event]) -> None:
    ((last,),) = change.con.execute("SELECT coalesce(max(event_id), 0) FROM campaign_events").fetchall()
    for n, event in enumerate(happened, last + 1):
        row: Row = {"event_id": n, "experiment_id": experiment_id, "at_ns": change.now_ns, "kind": event.kind}
        rows.insert(
            change.con, "campaign_events", row | {"arm": event.arm, "told": event.told, "figures": event.figures}
        )


def _audit(change: Change, experiment_id: str, event: Event) -> None:
    """What changes what agents do is in the audit too, and in the log of the sidecar."""
    action = AUDITED.get(event.kind)
    if action is not None:
        change.audit(action, "experiment", experiment_id, after=event.arm, why=event.told[: audit.MAX_WHY_CHARS])
    if event.kind in NOTICED:
        log.warning("experiment %s: %s", experiment_id, event.told)


AUDITED: Final = {"promoted": "promote", "rollback": "roll_back", "budget_stop": "budget_stop", "drift": "drift"}
"""Kinds of events that are decisions of the sidecar's, and what the audit calls them."""
NOTICED: Final = ("promoted", "rollback", "budget_stop", "aa_failed", "share_mismatch", "halted", "unreadable")
"""Kinds that somebody should hear of."""
