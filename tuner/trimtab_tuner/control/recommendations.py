"""What is proposed to people, and what became of it.

In: proposals of :mod:`trimtab_tuner.recommend`, decisions of people, decisions that agents logged. Out: rows of
``recommendations``, each in one state::

    proposed ─▶ accepted ─▶ active ─▶ promoted      its rule is in the policy
       │  ▲         └──────────┴──────────┴──▶ rolled_back
       │  ├─▶ expired  (nothing asks for it any more, and perhaps again later)
       └──┴▶ rejected  (and again proposed when the evidence has changed)

Each change of state raises the row's version, by which someone who decides says what they saw. A decision is for
good: what was rolled back comes again only as another proposal, and what was rejected when the evidence has changed
(:mod:`.evidence`). Only taking the whole policy back to an earlier version also brings back a recommendation whose rule
that one had. Apart from :mod:`.change`, which
knows rules but not where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.ingest_rows import json_text

from ..reads import Row, fetch
from . import audit, evidence, rows
from .change import Change
from .document import plain_match
from .errors import Conflict, NotThere

if TYPE_CHECKING:
    import duckdb

    from ..recommend import Proposal

PREFIX = "rec-"
"""Begins the ids of recommendations' rules, and of nothing else."""
IN_FORCE: Final = ("accepted", "active", "promoted")
"""States in which its rule is in the policy."""
MAY: Final = {
    "accept": (("proposed",), "only a proposed one can be accepted. `trimtab policy rule add` sets any value by hand."),
    "reject": (("proposed",), "only a proposed one can be rejected."),
    "roll_back": (IN_FORCE, "only one whose rule is in force can be rolled back."),
    "promote": (("active",), "only an active one, which calls have obeyed already, can be promoted."),
}
"""From which states each decision leads on, and the sentence for the others."""

_FIGURES: Final = (
    *("finding_id", "file", "function", "line", "title", "why", "expected", "evidence", "risk"),
    *("calls_per_day", "wrong_if", "experiment_id"),
)
"""What may change of a proposal that stays the same."""
_COLUMNS: Final = (
    *("finding_id", "rule", "knob", "service", "model", "site_id", "file", "function", "line"),
    *("title", "why", "from_value", "to_value", "match", "expected", "evidence", "risk"),
    *("learned_by", "calls_per_day", "wrong_if", "experiment_id"),
)


def recommendation_id(knob: str, match: Row, from_value: Any, to_value: Any, rule: str) -> str:
    """The id of the proposal to change ``knob`` in this way, which stays the same from analysis to analysis."""
    return digest(canonical([knob, plain_match(match), from_value, to_value, rule]))[:12]


def get(con: duckdb.DuckDBPyConnection, recommendation: str) -> Row:
    """One recommendation.

    Raises:
        NotThere: there is none.
    """
    found = rows.one(con, "recommendations", "recommendation_id", recommendation)
    if found is None:
        raise NotThere.named("recommendation", recommendation, "`trimtab recs`")
    return found


def decidable(change: Change, recommendation: str, version: int, action: str) -> Row:
    """The recommendation, if whoever saw it at ``version`` may do this with it now.

    Raises:
        NotThere: there is none.
        Conflict: someone decided in the meantime, or it is in another state; names who did what and when.
    """
    row = get(change.con, recommendation)
    states, sentence = MAY[action]
    if row["version"] == version and row["status"] in states:
        return row
    done = audit.last(change.con, subject_kind="recommendation", subject_id=recommendation)
    told = audit.told(done, change.now_ns, it="this recommendation") if done else None
    if row["version"] != version:
        seen = f"This recommendation is {row['status']} at version {row['version']}, and you saw version {version}"
        raise Conflict.overtaken(seen if told is None or row["status"] == "proposed" else told)
    raise Conflict.not_in_state(told or f"This recommendation is {row['status']}", sentence)


def decide(change: Change, row: Row, action: str, status: str, before: Any, after: Any, **more: Any) -> Row:
    """Write a person's decision into the row and the audit; the row as it is then."""
    decided = {"decided_by": change.actor.name, "decided_via": change.actor.via, "decided_ns": change.now_ns}
    why = more.pop("why", None)
    turn(change, row, status, **decided, decided_why=why or change.why, **more)
    change.audit(action, "recommendation", row["recommendation_id"], before=before, after=after, why=why)
    return get(change.con, row["recommendation_id"])


def turn(change: Change, row: Row, status: str, **columns: Any) -> None:
    """Bring a row into another state."""
    changed = {"status": status, "version": row["version"] + 1, "updated_ns": change.now_ns, **columns}
    rows.update(change.con, "recommendations", "recommendation_id", row["recommendation_id"], changed)


def taken_out(change: Change, row: Row, value: Any, why: str | None) -> Row:
    """Write down that a recommendation's rule, which set ``value``, is out of the policy."""
    return decide(change, row, "roll_back", "rolled_back", value, row["from_value"], why=why)


def brought_back(change: Change, row: Row, value: Any, why: str) -> None:
    """Write down that the rule of one that was rolled back is in the policy again."""
    in_policy = {"policy_version": change.version, "obeyed_ns": None}
    decide(change, row, "accept", "accepted", row["from_value"], value, why=why, **in_policy)


def propose(change: Change, proposals: Sequence[Proposal], learned_by: Collection[str]) -> None:
    """Bring the undecided recommendations that were learned in these ways up to date; what was decided stays as it is.

    One that a person rejected comes again only when the evidence behind it is another (:mod:`.evidence`).
    """
    rows_now = fetch(change.con, "SELECT * FROM recommendations")
    stored = {row["recommendation_id"]: row for row in rows_now}
    wanted = {_id_of(columns): columns for columns in map(_columns_of, proposals)}
    for proposed_id, columns in wanted.items():
        row = stored.get(proposed_id)
        if row is None:
            times = {"proposed_ns": change.now_ns, "updated_ns": change.now_ns}
            new = {"recommendation_id": proposed_id, **columns, "status": "proposed", "version": 1, **times}
            rows.insert(change.con, "recommendations", new)
        elif row["status"] == "expired":
            turn(change, row, "proposed", proposed_ns=change.now_ns, **{name: columns[name] for name in _FIGURES})
        elif row["status"] == "rejected":
            _propose_again(change, row, columns)
        elif row["status"] == "proposed":
            new = {name: columns[name] for name in _FIGURES if columns[name] != row[name]}
            if new:
                new["updated_ns"] = change.now_ns
                rows.update(change.con, "recommendations", "recommendation_id", proposed_id, new)
    for row in stored.values():
        is_stale = row["learned_by"] in learned_by and row["recommendation_id"] not in wanted
        if row["status"] == "proposed" and is_stale:
            turn(change, row, "expired")
            change.audit("expire", "recommendation", row["recommendation_id"], before="proposed", after="expired")


def ask(change: Change, proposals: Sequence[Proposal]) -> list[Row]:
    """Bring what a person asked for to decision: new ones, and those that had expired or were rejected; the rows then.

    What waits for a decision or is in force already stays as it is.

    Raises:
        Conflict: it was rolled back, which is for good.
    """
    asked = []
    for columns in map(_columns_of, proposals):
        proposed_id = _id_of(columns)
        row = rows.one(change.con, "recommendations", "recommendation_id", proposed_id)
        if row is None:
            times = {"proposed_ns": change.now_ns, "updated_ns": change.now_ns}
            new = {"recommendation_id": proposed_id, **columns, "status": "proposed", "version": 1, **times}
            rows.insert(change.con, "recommendations", new)
            change.audit("ask", "recommendation", proposed_id, before=None, after="proposed")
        elif row["status"] in ("expired", "rejected"):
            turn(change, row, "proposed", proposed_ns=change.now_ns, **{name: columns[name] for name in _FIGURES})
            change.audit("ask", "recommendation", proposed_id, before=row["status"], after="proposed")
        elif row["status"] == "rolled_back":
            done = audit.last(change.con, subject_kind="recommendation", subject_id=proposed_id)
            told = audit.told(done, change.now_ns, it="this recommendation") if done else "This was rolled back"
            raise Conflict.not_in_state(told, "`trimtab policy rule add` sets any value by hand.")
        asked.append(get(change.con, proposed_id))
    return asked


def _propose_again(change: Change, row: Row, columns: Row) -> None:
    """Ask once more about one that was rejected, if what is known is no longer what it was rejected on."""
    changed = evidence.changed(row["expected"], columns["expected"])
    if changed is not None:
        turn(change, row, "proposed", proposed_ns=change.now_ns, **{name: columns[name] for name in _FIGURES})
        why = f"{changed} since it was rejected"
        change.audit(
            "propose_again", "recommendation", row["recommendation_id"], before="rejected", after="proposed", why=why
        )


def note_obeyed(change: Change, obeyed: Sequence[Row]) -> None:
    """Accepted ones that a call has obeyed become active."""
    for seen in obeyed:
        row = get(change.con, seen["recommendation_id"])
        if row["status"] == "accepted" and row["policy_version"] == seen["policy_version"]:
            turn(change, row, "active", obeyed_ns=seen["obeyed_ns"])
            change.audit("activate", "recommendation", row["recommendation_id"], before="accepted", after="active")


def _columns_of(proposal: Proposal) -> Row:
    """A proposal as its row will come back from the store: a tuple is a list there."""
    columns = {name: getattr(proposal, name) for name in _COLUMNS}
    columns["match"] = plain_match(columns["match"])
    decoded: Row = json.loads(json_text(columns))
    return decoded


def _id_of(columns: Row) -> str:
    return recommendation_id(*(columns[name] for name in ("knob", "match", "from_value", "to_value", "rule")))
