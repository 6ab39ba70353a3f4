"""When and how rebuilt runs ended, as far as can be told.

In: outermost conversations whose runs may have ended, or may go on. Out: end, rule and status in ``runs``. Nobody says
that such a run ends: a final answer does, or the end of the process that its last call was made in, or silence. Apart
from :mod:`.placing` because it looks at what is in the store, whoever put it there: batches, vanished processes and the
passing of time end runs alike.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from .rebuild import rebuilt_run_id
from .store import arrow_table, execute_for, query, rows_where, table_schema

if TYPE_CHECKING:
    import duckdb

SILENCE_S: Final = 600.0
"""How long after its last call a rebuilt run without a final answer counts as ended."""

_SILENT: Final = {"waiting": "unanswered tool call", "failed": "failed call"}
_END: Final = ("ended_ns", "end_rule", "status", "error_type", "error_message", "error_site_id")


def end_rebuilt(con: duckdb.DuckDBPyConnection, tops: Collection[str], silent_ns: int = 0) -> None:
    """Say how the rebuilt runs of these outermost conversations ended, if they did.

    Args:
        con: Inside a transaction.
        tops: Ids of the conversations.
        silent_ns: Runs without an end whose last call ended before this point in time have ended.
    """
    if not tops:
        return
    last = _last_calls(con, tops)
    ids = {rebuilt_run_id(top) for top in tops} | {call.home for call in last}
    runs = {row["run_id"]: row for row in rows_where(con, "runs", "run_id", ids)}
    changed: list[dict[str, Any]] = []
    for call in last:
        run = runs.get(rebuilt_run_id(call.conversation_id))
        if run is None or call.home not in runs:
            continue
        end = _end(con, call, runs[call.home], silent_ns)
        if any(run[name] != end.get(name) for name in _END):
            changed.append({name: end.get(name) for name in _END} | {"run_id": run["run_id"]})
    if changed:
        schema = table_schema(con, "runs")
        shape = pa.schema([schema.field(name) for name in ("run_id", *_END)])
        con.register("batch_ends", arrow_table(changed, shape))
        sets = ", ".join(f"{name} = e.{name}" for name in _END)
        con.execute(f"UPDATE runs SET {sets} FROM batch_ends AS e WHERE runs.run_id = e.run_id")


class _Last(NamedTuple):
    """The last call of a conversation."""

    conversation_id: str
    started_ns: int
    call_id: str
    state: str
    home: str
    ended_ns: int


def _last_calls(con: duckdb.DuckDBPyConnection, conversations: Collection[str]) -> list[_Last]:
    """The last call by start of each conversation, with the latest end of all."""
    last: dict[str, _Last] = {}
    for row in execute_for(con, query("rebuilt_last"), batch_tops=conversations).fetchall():
        call = _Last(*row)
        other = last.get(call.conversation_id, call)
        later = max(call, other)  # of one conversation, so by start and id
        last[call.conversation_id] = later._replace(ended_ns=max(call.ended_ns, other.ended_ns))
    return list(last.values())


def _end(con: duckdb.DuckDBPyConnection, call: _Last, home: dict[str, Any], silent_ns: int) -> dict[str, Any]:
    """How a run ended whose last call is this one; empty where it has not."""
    state, ended_ns = call.state, call.ended_ns
    if state == "answered":
        return {"ended_ns": ended_ns, "end_rule": "final answer", "status": "ok"}
    if home["ended_ns"] is not None:
        rule = home["end_rule"]
    elif ended_ns < silent_ns:
        rule = _SILENT.get(state, "silence")
    else:
        return {}
    end = {"ended_ns": ended_ns, "end_rule": rule, "status": "ok"}
    if home["status"] == "error" and home["error_type"] is not None:
        return (
            end | {"status": "error"} | {name: home[name] for name in ("error_type", "error_message", "error_site_id")}
        )
    if state == "failed":
        sql = "SELECT error_class, error_message FROM calls WHERE call_id = ?"
        (failed,) = con.execute(sql, [call.call_id]).fetchall() or [(None, None)]
        return end | {"status": "error", "error_type": failed[0], "error_message": failed[1]}
    return end | {"status": "error" if home["status"] == "error" else "ok"}


def tops_of_ended(con: duckdb.DuckDBPyConnection, run_ids: Collection[str]) -> set[str]:
    """Outermost conversations of rebuilt runs that may have ended with these recorded runs."""
    found = execute_for(con, query("rebuilt_open"), batch_homes=run_ids).fetchall() if run_ids else []
    return {conversation_id for (conversation_id,) in found}
