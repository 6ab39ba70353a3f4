"""What the agents' own records say about the policy: who obeyed it, and what the calls it steered cost.

In: a cursor. Out: rows and numbers for the control's loop, which asks every second, so each question is bounded by a
time. Apart from the decisions because it only reads, and from :mod:`..reads` because no route asks it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from ..reads import Row, fetch
from . import audit

if TYPE_CHECKING:
    import duckdb

SKEW_NS = 60 * 10**9
"""How far an agent's clock may be behind ours before what it obeyed is overlooked."""
DAY_NS = 24 * 3600 * 10**9
LONGEST_CALL_NS = 3600 * 10**9
"""A call's decisions may be older than its last attempt by this."""
MONEY_KNOBS: Final = ("fallback", "max_retries", "max_tokens", "model")
"""Knobs that change what a call costs."""


def obeyed(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """The accepted recommendations that a call has obeyed, with the time of the first one."""
    ((first_ns,),) = con.execute("SELECT min(decided_ns) FROM recommendations WHERE status = 'accepted'").fetchall()
    return [] if first_ns is None else fetch(con, _statement("obeyed"), since_ns=first_ns - SKEW_NS)


def steered_cost_musd(con: duckdb.DuckDBPyConnection, now_ns: int) -> int:
    """Cost of the calls that a policy steered in the last 24 hours, in micro-USD.

    Once a person let steering go on, only what came after that counts: they knew of the rest.
    """
    since_ns = now_ns - DAY_NS
    if (resumed := audit.last(con, action="unfreeze")) is not None:
        since_ns = max(since_ns, resumed["at_ns"])
    times = {"since_ns": since_ns, "decided_ns": since_ns - LONGEST_CALL_NS}
    return int(fetch(con, _statement("steered_cost"), **times, knobs=list(MONEY_KNOBS))[0]["cost_musd"])


@cache
def _statement(name: str) -> str:
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
