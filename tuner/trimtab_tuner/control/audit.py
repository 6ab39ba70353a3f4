"""Who decided what, when, from where and why: rows that are only ever added.

In: decisions, inside their transaction. Out: rows of table ``audit``, numbered without a gap, and the sentence that
tells someone who came too late what happened. Apart from the decisions themselves because all of them write here. A
row is committed with what it tells of or not at all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from trimtab_tracer.redact import redact

from ..reads import Row, fetch
from . import rows
from .actor import Actor
from .errors import Refused

if TYPE_CHECKING:
    import duckdb

MAX_WHY_CHARS = 2000
"""Length of a reason."""
MOST = 1000
"""Rows that :func:`after` gives at once."""

_DONE: Final = {
    "accept": "accepted {it}",
    "reject": "rejected {it}",
    "roll_back": "rolled back {it}",
    "promote": "promoted {it}",
    "propose_again": "proposed {it} once more, as the evidence had changed",
    "expire": "let {it} expire, as nothing asks for it any more",
    "activate": "saw the first call that obeys {it}",
    "start_experiment": "started {it}",
    "stop_experiment": "stopped {it}",
    "add_value": "added a value to {it}",
    "remove_value": "took a value out of {it}",
    "reprice_value": "changed a price in {it}",
    "put_rule": "put {it}",
    "remove_rule": "removed {it}",
    "roll_back_policy": "rolled the policy back",
    "freeze": "froze all steering",
    "unfreeze": "let steering go on",
    "spend_cap": "froze all steering, as the spend cap was reached",
    "outcome": "told what came of {it}",
    "set_mode": "set the mode of {it}",
    "budget_stop": "gave all runs the code's own value, as the budget of {it} was spent",
    "drift": "saw {it} change, and began to learn it anew",
    "shadow": "asked another model the same, for {it}",
}
_WAYS: Final = {
    "api": " (through the API)",
    "cli": " (from the command line)",
    "dashboard": " (from the dashboard)",
    "demo": " (from the demo)",
    "sidecar": "",
}


def write(
    con: duckdb.DuckDBPyConnection,
    actor: Actor,
    action: str,
    subject: tuple[str, str],
    *,
    at_ns: int,
    policy_version: int,
    before: Any = None,
    after: Any = None,
    why: str | None = None,
) -> int:
    """Add a row; its id.

    Args:
        con: Inside the transaction of what it tells of.
        actor: Who decided.
        action: What, as the migration lists them.
        subject: Kind and id of what was decided about.
        at_ns: When.
        policy_version: In force after it.
        before: The knob's value before, or whatever else changed.
        after: The same, after.
        why: The person's reason.
    """
    ((last,),) = con.execute("SELECT coalesce(max(audit_id), 0) FROM audit").fetchall()
    kind, subject_id = subject
    row: Row = {"audit_id": last + 1, "at_ns": at_ns, "actor": actor.name, "via": actor.via, "action": action}
    row |= {"subject_kind": kind, "subject_id": subject_id, "from_value": before, "to_value": after}
    rows.insert(con, "audit", row | {"why": why, "policy_version": policy_version})
    return int(last) + 1


def after(con: duckdb.DuckDBPyConnection, audit_id: int) -> list[Row]:
    """The rows behind ``audit_id``, oldest first, at most :data:`MOST`."""
    return fetch(con, f"SELECT * FROM audit WHERE audit_id > $id ORDER BY audit_id LIMIT {MOST}", id=audit_id)


def last(con: duckdb.DuckDBPyConnection, **columns: str | int) -> Row | None:
    """The newest row with these values; the newest of all if there are none."""
    where = " AND ".join(f"{name} = ${name}" for name in columns) or "true"
    found = fetch(con, f"SELECT * FROM audit WHERE {where} ORDER BY audit_id DESC LIMIT 1", **columns)
    return found[0] if found else None


def told(row: Row, now_ns: int, *, it: str | None = None) -> str:
    """What a row says, as the beginning of a sentence: "alice accepted this recommendation at 14:03:07 UTC (…)"."""
    who = "trimtab" if row["via"] == "sidecar" else row["actor"]
    done = _DONE[row["action"]].format(it=it or f"{row['subject_kind']} {row['subject_id']}")
    at = datetime.fromtimestamp(row["at_ns"] / 1e9, UTC)
    is_today = at.date() == datetime.fromtimestamp(now_ns / 1e9, UTC).date()
    return f"{who} {done} at {at:{'%H:%M:%S' if is_today else '%Y-%m-%d %H:%M:%S'}} UTC{_WAYS[row['via']]}"


def reason(why: str | None) -> str | None:
    """A person's reason as it is kept: without secrets, None where it says nothing.

    Raises:
        Refused: it is too long.
    """
    text = redact((why or "").strip())
    if len(text) > MAX_WHY_CHARS:
        raise Refused.unusable("the reason (why)", text, f"at most {MAX_WHY_CHARS} characters")
    return rows.sound(text) or None
