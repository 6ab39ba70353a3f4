"""Takes whole runs out of the store, so that they can be brought in anew.

In: the connection of an open write transaction, ids of runs. Out: no row that belongs to them is left in any table.
A run imported again from a file that has become shorter would otherwise keep the calls, and the money, that the file
no longer tells of: rows are written by their id, and nothing else deletes one. Apart from :mod:`.ingest` because
deleting must name every table, also those that a batch does not touch. If it fails, the caller's transaction does,
and everything is as it was.

Sites and processes stay: other runs may share them. Texts leave the index here; their files go when
:func:`.content.sweep` finds that nothing names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from .store import execute_for, register

if TYPE_CHECKING:
    import duckdb

    from .ingest_rows import Row

OF_A_RUN: Final = (
    "analysed_runs",
    "attempts",
    "call_places",
    "calls",
    "content",
    "decisions",
    "gen_ai_spans",
    "inferred_outcomes",
    "outcomes",
    "run_money",
    "run_time",
    "runs",
    "saga_steps",
    "sagas",
    "spans",
    "tool_calls",
    "tool_requests",
    "tool_runs",
)
"""Tables with a column ``run_id``; the two others that hold rows of runs are found through them."""

_RESULTS: Final = """
    DELETE FROM tool_results
    WHERE attempt_id IN (SELECT attempt_id FROM attempts SEMI JOIN forgotten_runs USING (run_id))
       OR tool_id IN (SELECT tool_id FROM tool_calls SEMI JOIN forgotten_runs USING (run_id))
"""
_WAITING: Final = """
    DELETE FROM waiting_exchanges WHERE record::JSON ->> 'run_id' IN (SELECT run_id FROM forgotten_runs)
"""
_SPANS: Final = """
    DELETE FROM gen_ai_spans WHERE home IN (SELECT run_id FROM forgotten_runs)
    RETURNING span_key
"""
_LEFT: Final = """
    UPDATE gen_ai_spans SET run_id = home, call_id = NULL, joined_by = NULL, joined_to = NULL
    WHERE run_id IN (SELECT run_id FROM forgotten_runs) OR joined_to IN (SELECT span_key FROM forgotten_spans)
    RETURNING span_key, subject, started_ns, ended_ns
"""
_LINKS: Final = """
    DELETE FROM call_links WHERE call_id IN (SELECT call_id FROM call_places SEMI JOIN forgotten_runs USING (run_id))
"""


def forget_runs(con: duckdb.DuckDBPyConnection, run_ids: Iterable[str]) -> list[Row]:
    """Delete every row of these runs; ids of runs that the store does not hold are no error.

    A span of another run that told of one of their calls stays, joined to nothing.

    Args:
        con: Inside a transaction of :meth:`.store.Store.transaction`; committing is left to it.
        run_ids: Any number.

    Returns:
        What :func:`.span_calls.join_spans` needs of the spans that are to be joined anew.
    """
    ids = set(run_ids)
    if not ids:
        return []
    register(con, "forgotten_runs", "run_id", ids)
    con.execute(_RESULTS)
    con.execute(_WAITING)
    con.execute(_LINKS)
    gone = [key for (key,) in con.execute(_SPANS).fetchall()]
    left = execute_for(con, _LEFT, forgotten_spans=gone).fetchall()
    for table in OF_A_RUN:
        con.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM forgotten_runs)")
    con.unregister("forgotten_runs")
    return [dict(zip(("span_key", "subject", "started_ns", "ended_ns"), row, strict=True)) for row in left]
