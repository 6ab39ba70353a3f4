"""Fixed-share experiments: a knob's values with weights, drawn by agents run by run.

In: a knob, a match and arms. Out: rows of ``experiments`` and their rules in the policy. One runs per knob at a time,
and never on calls that a person's rule steers: what is compared must not change underneath. Apart from
:mod:`.recommendations` because nothing here was proposed by anyone. What agents would refuse is refused here.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ..reads import Row, fetch
from . import audit, rows
from .change import Change
from .document import EXPERIMENT, Json, overlaps, plain_match, without
from .errors import Conflict, NotThere

if TYPE_CHECKING:
    import duckdb

PREFIX = EXPERIMENT
"""Begins the ids of experiments' rules, and of nothing else."""


def new_id() -> str:
    """An id for an experiment."""
    return secrets.token_hex(6)


def start(change: Change, knob: str, match: Json, arms: list[Json], experiment_id: str | None = None) -> Row:
    """Begin an experiment; with an id of :func:`new_id` where that had to be known before.

    Raises:
        Conflict: another one runs on this knob, or a person's rule steers some of the same calls.
        Refused: knob, match or arms can't be used.
    """
    experiment_id = experiment_id or new_id()
    rule = _rule(PREFIX + experiment_id, knob, plain_match(match), arms)
    change.check_rule(rule)
    for other in running(change.con):
        if other["knob"] == knob:
            one = f"Experiment {other['experiment_id']}"
            raise Conflict.not_in_state(f"{one} runs on {knob}, and only one can", "stop that one first.")
    for each in change.rules:
        if overlaps(each, rule):
            raise Conflict.in_the_way(f"Rule {each['rule_id']}", "the experiment", "take that rule back first.")
    change.publish(f"experiment {experiment_id} started", rules=[*change.rules, rule])
    row: Row = {"experiment_id": experiment_id, "knob": knob, "match": rule["match"], "arms": arms, "version": 1}
    row |= {"status": "running", "why": change.why, "started_ns": change.now_ns, "started_by": change.actor.name}
    rows.insert(change.con, "experiments", row | {"rule_id": rule["rule_id"], "policy_version": change.version})
    change.audit("start_experiment", "experiment", experiment_id, after=arms)
    return get(change.con, experiment_id)


def stop(change: Change, experiment_id: str, version: int) -> Row:
    """End an experiment.

    Raises:
        NotThere: there is no such experiment.
        Conflict: someone stopped it before.
    """
    return take_out(change, seen_running(change, experiment_id, version), None)


def seen_running(change: Change, experiment_id: str, version: int) -> Row:
    """A running experiment that someone wants to change as they saw it at ``version``.

    Raises:
        NotThere: there is no such experiment.
        Conflict: someone stopped or changed it before.
    """
    row = get(change.con, experiment_id)
    if row["version"] != version or row["status"] != "running":
        done = audit.last(change.con, subject_kind="experiment", subject_id=experiment_id)
        state = f"This experiment is {row['status']} at version {row['version']}, and you saw version {version}"
        raise Conflict.overtaken(audit.told(done, change.now_ns, it="this experiment") if done else state)
    return row


def set_arms(change: Change, row: Row, arms: list[Json]) -> Row:
    """Write down other values of a running experiment; its row."""
    _set(change, row, {"arms": arms})
    return get(change.con, row["experiment_id"])


def take_out(change: Change, row: Row, why: str | None) -> Row:
    """End a running experiment: its rules leave the policy."""
    change.publish(f"experiment {row['experiment_id']} stopped", rules=without(change.rules, row["rule_id"]))
    return ended(change, row, why)


def ended(change: Change, row: Row, why: str | None) -> Row:
    """Write down that an experiment's rule is out of the policy."""
    stopped = {"stopped_ns": change.now_ns, "stopped_by": change.actor.name}
    _set(change, row, {"status": "stopped", **stopped})
    change.audit("stop_experiment", "experiment", row["experiment_id"], before=row["arms"], why=why)
    return get(change.con, row["experiment_id"])


def begun_again(change: Change, row: Row, why: str) -> None:
    """Write down that the rule of a stopped experiment is back in the policy."""
    started = {"started_ns": change.now_ns, "started_by": change.actor.name, "stopped_ns": None, "stopped_by": None}
    _set(change, row, {"status": "running", "policy_version": change.version, **started})
    change.audit("start_experiment", "experiment", row["experiment_id"], after=row["arms"], why=why)


def refuse_overlap(change: Change, rule: Json, wanted: str) -> None:
    """Refuse a person's rule on calls that a running experiment steers.

    Raises:
        Conflict: names the experiment.
    """
    for other in change.rules:
        if other["rule_id"].startswith(PREFIX) and overlaps(other, rule):
            what = f"Experiment {other['rule_id'].removeprefix(PREFIX)}"
            raise Conflict.in_the_way(what, wanted, "stop the experiment first.")


def running(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """The experiments that run."""
    return fetch(con, "SELECT * FROM experiments WHERE status = 'running' ORDER BY experiment_id")


def get(con: duckdb.DuckDBPyConnection, experiment_id: str) -> Row:
    """One experiment.

    Raises:
        NotThere: there is none.
    """
    found = rows.one(con, "experiments", "experiment_id", experiment_id)
    if found is None:
        raise NotThere.named("experiment", experiment_id, "`trimtab experiment list`")
    return found


def _rule(rule_id: str, knob: Any, match: Any, arms: Any) -> Json:
    head = {"rule_id": rule_id, "knob": knob, "match": match, "sticky": "run"}
    return {**head, "source": "experiment", "arms": arms}


def _set(change: Change, row: Row, columns: Row) -> None:
    columns = columns | {"version": row["version"] + 1}
    rows.update(change.con, "experiments", "experiment_id", row["experiment_id"], columns)
