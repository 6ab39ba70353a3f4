"""Records into the store: one batch is one transaction, and the same batch twice is the same as once.

In: records of any kinds, in any order, from the collector or an importer. Out: rows, keyed by the records' own ids;
calls and tool calls derived anew for every id that the batch touches; texts in Parquet; and where the batch came
from a spool segment, the ledger row that says how far that segment is in the store. All of it is committed
together or not at all, so a process killed anywhere leaves neither a loss nor a double.

Delivery may be partial: an exchange waits for its attempt, a run whose start is missing gets a place holder that
the start fills in later. Whatever order the records come in, the rows are the same in the end. It is a module of its
own because collector, importers and API share it; what a row looks like is in :mod:`.ingest_rows`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from . import content, ingest_rows
from .forget import forget_runs
from .ingest_rows import Row
from .placing import Places
from .prices import PriceList
from .rebuilt_ends import SILENCE_S, end_rebuilt, tops_of_ended
from .records import (
    Attempt,
    CallDecisions,
    Content,
    Decision,
    Exchange,
    GenAiSpan,
    Harness,
    HttpSpan,
    Loss,
    Outcome,
    Process,
    Record,
    RunEnd,
    RunStart,
    Saga,
    SagaStep,
    Site,
    ToolRun,
    from_dict,
    to_dict,
)
from .span_calls import join_spans
from .store import Store, arrow_table, execute_for, query, register, replace_rows, table_schema, upsert_rows
from .tool_pairs import Requested, pair
from .tool_views import View, executions, same


class Segment(NamedTuple):
    """Where in the spool a batch came from; a plain tuple of the same five does as well."""

    name: str
    """The segment's file name."""
    process_id: str | None
    offset: int
    """Bytes of the segment that are in the store with this batch."""
    records: int
    """Lines in this batch."""
    closed: bool
    """Whether the segment is finished and this batch its last."""


class Ingested(NamedTuple):
    """What a batch did."""

    records: int
    calls: int
    """Calls that were derived anew."""


Groups = dict[type, list[Any]]


def ingest(
    store: Store,
    records: Iterable[Record],
    *,
    segment: tuple[str, str | None, int, int, bool] | None = None,
    segments: Sequence[Segment] = (),
    prices: PriceList | None = None,
    replace_runs: Iterable[str] = (),
) -> Ingested:
    """Put ``records`` into the store, in one transaction.

    Args:
        store: Open for writing.
        records: Any kinds, in any order; those that are there already change nothing.
        segment: Where they came from (:class:`Segment`); written to the ledger in the same transaction.
        segments: The same where they came from several.
        prices: The price list; the bundled one without entries of the user's own by default.
        replace_runs: Ids of runs of which nothing is kept but what ``records`` say: what the store holds of them is
            deleted first, in the same transaction.

    Raises:
        duckdb.Error, pyarrow.ArrowException, ValueError, TypeError, OverflowError: a record does not fit its table, or
            the database failed; nothing was changed.
        OSError: the texts could not be written; nothing was changed.
    """
    groups: Groups = defaultdict(list)
    count = 0
    for record in records:
        for part in record.decisions() if isinstance(record, CallDecisions) else (record,):
            groups[type(part)].append(part)
        count += 1
    with store.transaction() as con:
        left = forget_runs(con, replace_runs)
        batch = _Batch(con, groups, prices or bundled_prices(), left)
        calls = batch.write()
        sources = [*segments, *([] if segment is None else [Segment(*segment)])]
        _write_content(store, con, batch.content_rows(), sources)
        for source in sources:
            _write_ledger(con, source)
    return Ingested(count, calls)


@cache
def bundled_prices() -> PriceList:
    """The price list without entries of the user's own."""
    return PriceList()


class _Batch:
    """One batch inside its transaction."""

    def __init__(self, con: duckdb.DuckDBPyConnection, groups: Groups, prices: PriceList, left: list[Row]) -> None:
        self._con = con
        self._groups = groups
        self._prices = prices
        self._left = left  # spans whose calls were forgotten
        self._places = Places(con)

    def write(self) -> int:
        """Write every kind, then derive; the number of calls derived."""
        of = self._groups
        touched = self._attempts()
        named = {i for kind, name in _OF_A_CALL.items() for record in of[kind] if (i := getattr(record, name))}
        self._places.place(of[RunStart], touched, of[Exchange], named)
        for kind, table, row_of in _SIMPLE:
            rows = [row_of(record) for record in of[kind]]
            self._move(kind, rows)
            replace_rows(self._con, table, rows, _KEYS[table])
        for table, rows_of in _TOOLS:
            rows = [row for exchange in of[Exchange] for row in rows_of(exchange)]
            for row in rows if table == "tool_requests" else ():
                row["run_id"] = self._places.run_of(row["call_id"], row["run_id"])
            replace_rows(self._con, table, rows, _KEYS[table])
        self._write_sites()
        self._write_processes()
        self._write_attempts(touched)
        self._write_runs()
        self._places.write_runs()
        calls = {row["call_id"] for row in touched} | {row["rejects_call_id"] for row in touched}
        calls.discard(None)
        spans = self._left + [ingest_rows.gen_ai_span_row(span) for span in of[GenAiSpan]]
        calls |= join_spans(self._con, touched, spans, self._prices)
        if calls:
            execute_for(self._con, query("calls"), batch_calls=calls)
        self._derive_tools({row["call_id"] for row in touched})
        end_rebuilt(self._con, self._places.tops() | tops_of_ended(self._con, {end.run_id for end in of[RunEnd]}))
        return len(calls)

    def _write_sites(self) -> None:
        """Sites; one that names no way to its requests leaves the way that is known."""
        rows = [ingest_rows.site_row(site) for site in self._groups[Site]]
        for is_known in (False, True):
            if of_kind := [row for row in rows if ("via" in row) is is_known]:
                upsert_rows(self._con, "sites", "site_id", of_kind)

    def _move(self, kind: type, rows: Iterable[Row]) -> None:
        """Put rows of records into the run of the call that they belong to."""
        if (column := _OF_A_CALL.get(kind)) is not None:
            for row in rows:
                row["run_id"] = self._places.run_of(row[column], row["run_id"])

    def content_rows(self) -> list[Row]:
        """Rows of texts."""
        rows = [ingest_rows.content_row(record) for record in self._groups[Content]]
        self._move(Content, rows)
        return rows

    def _write_processes(self) -> None:
        con = self._con
        if rows := [ingest_rows.process_row(process) for process in self._groups[Process]]:
            upsert_rows(con, "processes", "process_id", rows)
        if rows := [{"process_id": h.process_id, "harness": h.version} for h in self._groups[Harness]]:
            blank = {"pid": 0, "started_ns": 0, "is_child": False} | dict.fromkeys(
                ("service", "script", "cwd", "python", "trimtab", "content_mode", "boot_id"), ""
            )
            upsert_rows(con, "processes", "process_id", rows, blank)

    def _write_runs(self) -> None:
        con, of = self._con, self._groups
        if rows := [ingest_rows.run_start_row(run) for run in of[RunStart]]:
            upsert_rows(con, "runs", "run_id", rows)
        if rows := [ingest_rows.run_end_row(run) for run in of[RunEnd]]:
            blank = {
                "process_id": "",
                "service": "",
                "name": "",
                "origin": "unknown",
                "attributes": "{}",
                "started_ns": 0,
            }
            upsert_rows(con, "runs", "run_id", rows, blank)
        runs = {record.run_id for kind in _OF_A_RUN for record in of[kind]}
        processes = {record.process_id for kind in (Process, Harness) for record in of[kind]}
        asked = {run for run in runs if not self._places.is_known(run)}
        known = set(execute_for(con, _KNOWN_RUNS, batch_runs=asked).fetchall()) if asked else set()
        if any((run,) not in known for run in asked):
            register(con, "batch_runs", "run_id", runs)
            con.execute(query("run_places"))
            runs_changed = True
        else:
            runs_changed = bool(of[RunStart] or processes)
        if runs_changed:
            register(con, "batch_runs", "run_id", runs)
            register(con, "batch_processes", "process_id", processes)
            con.execute(query("runs"))

    def _attempts(self) -> list[Row]:
        """Put attempts and exchanges together, whichever came first; the rows to write."""
        attempts: dict[str, Attempt] = {a.attempt_id: a for a in self._groups[Attempt]}
        exchanges: dict[str, Exchange] = {e.attempt_id: e for e in self._groups[Exchange]}
        if not attempts and not exchanges:
            return []
        rows = self._rows_of(attempts.keys() ^ exchanges.keys())
        waited = self._waiting(attempts.keys())
        orphans = [e for i, e in exchanges.items() if i not in attempts and i not in rows]
        for attempt_id, attempt in attempts.items():
            if attempt_id not in rows:  # what is there already has at least what the attempt says
                rows[attempt_id] = ingest_rows.attempt_row(attempt)
        for attempt_id in waited.keys() - exchanges.keys():  # the batch's own exchange wins
            self._apply_waiting(rows[attempt_id], waited[attempt_id])
        for attempt_id, exchange in exchanges.items():
            if attempt_id in rows:
                ingest_rows.apply_exchange(rows[attempt_id], exchange)
        for row in rows.values():
            ingest_rows.finish_attempt(row, self._prices)
        for exchange in orphans:  # one that fits no attempt is refused now, while it is the one to blame
            self._completed(ingest_rows.attempt_row(_stand_in(exchange)), exchange)
        waiting = [{"attempt_id": e.attempt_id, "record": ingest_rows.json_text(to_dict(e))} for e in orphans]
        replace_rows(self._con, "waiting_exchanges", waiting, ("attempt_id",))
        return list(rows.values())

    def _write_attempts(self, rows: list[Row]) -> None:
        for row in rows:
            self._places.place_attempt(row)
        replace_rows(self._con, "attempts", rows, ("attempt_id",))

    def _rows_of(self, attempt_ids: Iterable[str]) -> dict[str, Row]:
        """Attempts that are in the store already."""
        ids = list(attempt_ids)
        if not ids:
            return {}
        sql = "SELECT * FROM attempts WHERE attempt_id IN (SELECT attempt_id FROM batch_ids)"
        found = execute_for(self._con, sql, batch_ids=ids).fetchall()
        names = [column[0] for column in self._con.description or ()]
        rows = [dict(zip(names, values, strict=True)) for values in found]
        return {row["attempt_id"]: row for row in rows}

    def _waiting(self, attempt_ids: Iterable[str]) -> dict[str, str]:
        """Exchanges that waited for these attempts, as JSON; they wait no more."""
        ids = list(attempt_ids)
        if not ids:
            return {}
        sql = "SELECT attempt_id, record FROM waiting_exchanges WHERE attempt_id IN (SELECT attempt_id FROM batch_ids)"
        found = dict(execute_for(self._con, sql, batch_ids=ids).fetchall())
        if found:  # few ever wait, and DuckDB takes twice as long to plan a DELETE
            sql = "DELETE FROM waiting_exchanges WHERE attempt_id IN (SELECT attempt_id FROM batch_ids)"
            execute_for(self._con, sql, batch_ids=found)
        return found

    def _apply_waiting(self, row: Row, text: str) -> None:
        """Complete an attempt with the exchange that waited for it, or count that as lost: the attempt is sound."""
        try:
            record = from_dict(json.loads(text))
            if isinstance(record, Exchange):
                row |= self._completed(dict(row), record)
        except (TypeError, ValueError, KeyError, OverflowError, ArithmeticError, pa.ArrowException):
            loss = Loss(row["process_id"], "exchange", NOT_STORABLE, 1, len(text), row["started_ns"])
            replace_rows(self._con, "losses", [ingest_rows.plain_row(loss)], _KEYS["losses"])

    def _completed(self, row: Row, exchange: Exchange) -> Row:
        """``row`` with its exchange, made sure to fit the table."""
        ingest_rows.apply_exchange(row, exchange)
        ingest_rows.finish_attempt(row, self._prices)
        arrow_table([row], table_schema(self._con, "attempts"))
        return row

    def _derive_tools(self, touched_calls: set[str]) -> None:
        """Pair observed executions with requests where the batch touches them, and derive the tool calls."""
        con, of = self._con, self._groups
        calls = touched_calls | {e.call_id for e in of[Exchange] if e.tool_requests}
        calls |= {r.tool_id.rpartition(":")[0] for e in of[Exchange] for r in e.tool_results}
        calls |= self._places.moved_calls
        runs = {run.tool_run_id for run in of[ToolRun]}
        groups = {(self._places.run_of(run.after_call_id, run.run_id), run.name) for run in of[ToolRun]}
        if moved := self._places.moved_runs:
            groups |= set(execute_for(con, query("tool_groups"), batch_places=moved).fetchall())
            runs |= self._places.moved_tool_runs
        if not calls and not runs:
            return
        asked = self._asked(calls)
        groups |= {(run, name) for run, name, _ in asked}
        places = {run for run, _ in groups}
        observed = set(execute_for(con, query("tool_groups"), batch_places=places).fetchall())
        groups &= observed
        if groups:
            changed = self._pair_tools(groups)
            runs |= {tool_run_id for tool_run_id, *_ in changed}
            more = {tool_id.rpartition(":")[0] for _, *ids in changed for tool_id in ids if tool_id is not None}
            if not more <= calls:
                calls |= more
                asked = self._asked(calls)
                places |= {run for run, *_ in asked}
        tool_ids = {tool_id for *_, tool_id in asked}
        execute_for(
            con,
            query("tool_calls"),
            batch_tools=calls,
            batch_tool_runs=runs,
            batch_tool_ids=tool_ids,
            batch_places=places,
        )

    def _asked(self, calls: set[str]) -> list[tuple[str, str, str]]:
        """Run, name and tool id of what these calls asked for."""
        return execute_for(self._con, query("tools_asked"), batch_tools=calls).fetchall()

    def _pair_tools(self, groups: set[tuple[str, str]]) -> list[tuple[str, str | None, str | None]]:
        """Pair the requests and executions of tools in runs; the executions that changed: id, tool id before, now."""
        con = self._con
        places = {run_id for run_id, _ in groups}
        found = execute_for(con, query("tool_pairing"), batch_places=places).fetchall()
        asked = [row for row in found if (row[0], row[1]) in groups]
        answers = execute_for(con, query("tool_answers"), batch_tool_ids=[row[2] for row in asked]).fetchall()
        answered_ns: dict[str, int] = dict(answers)
        requests: dict[tuple[str, str], list[Requested]] = defaultdict(list)
        for run_id, name, tool_id, asked_ns, call_id, index, args_digest, provider_id in asked:
            position = asked_ns, call_id, index
            request = Requested(tool_id, position, args_digest, answered_ns.get(tool_id), provider_id)
            requests[run_id, name].append(request)
        views: dict[tuple[str, str], list[View]] = defaultdict(list)
        before: dict[str, tuple[str | None, str | None]] = {}
        for run_id, name, *seen, tool_id, same_as in execute_for(
            con, query("tool_executions"), batch_places=places
        ).fetchall():
            if (run_id, name) in groups:
                view = View(*seen)
                views[run_id, name].append(view)
                before[view.tool_run_id] = tool_id, same_as
        now: dict[str, str] = {}
        stands: dict[str, str] = {}
        for key, group in views.items():
            one = same(group)
            stands |= one
            now |= pair(requests[key], executions(group, one))
        changed = [run for run, joined in before.items() if joined != (now.get(run), stands.get(run))]
        if changed:
            rows = [{"tool_run_id": run, "tool_id": now.get(run), "same_as": stands.get(run)} for run in changed]
            con.register("batch_pairs", arrow_table(rows, _PAIR))
            con.execute(
                "UPDATE tool_runs SET tool_id = p.tool_id, same_as = p.same_as FROM batch_pairs AS p"
                " WHERE tool_runs.tool_run_id = p.tool_run_id"
            )
        return [(run, before[run][0], now.get(run)) for run in changed]


def _stand_in(exchange: Exchange) -> Attempt:
    """An attempt like the one that the exchange waits for, to try it on."""
    ids = (exchange.attempt_id, exchange.call_id, exchange.run_id)
    return Attempt(*ids, "", 1, 0, 0, exchange.api, "", "", "", "", "complete")


NOT_STORABLE = "does not fit the store"
"""Reason of a loss: a sound record with a value that its table refuses."""
_OF_A_RUN = (RunStart, RunEnd, Attempt, ToolRun, HttpSpan, GenAiSpan, Decision, Outcome, SagaStep, Saga)
_KEYS: dict[str, tuple[str, ...]] = {
    "decisions": ("decision_id",),
    "outcomes": ("outcome_id",),
    "spans": ("span_id",),
    "gen_ai_spans": ("span_key",),
    "tool_runs": ("tool_run_id",),
    "losses": ("process_id", "lost_kind", "reason", "ts_ns"),
    "sagas": ("saga_id",),
    "saga_steps": ("saga_id", "number"),
    "tool_requests": ("attempt_id", "index"),
    "tool_results": ("tool_id", "attempt_id"),
}
_SIMPLE: tuple[tuple[type, str, Callable[[Any], Row]], ...] = (
    (Decision, "decisions", ingest_rows.decision_row),
    (Outcome, "outcomes", ingest_rows.outcome_row),
    (HttpSpan, "spans", ingest_rows.span_row),
    (GenAiSpan, "gen_ai_spans", ingest_rows.gen_ai_span_row),
    (ToolRun, "tool_runs", ingest_rows.tool_run_row),
    (SagaStep, "saga_steps", ingest_rows.saga_step_row),
    (Saga, "sagas", ingest_rows.saga_row),
    (Loss, "losses", ingest_rows.plain_row),
)
_TOOLS: tuple[tuple[str, Callable[[Exchange], list[Row]]], ...] = (
    ("tool_requests", ingest_rows.tool_request_rows),
    ("tool_results", ingest_rows.tool_result_rows),
)
_OF_A_CALL = {
    Decision: "call_id",
    Content: "call_id",
    Outcome: "after_call_id",
    HttpSpan: "after_call_id",
    ToolRun: "after_call_id",
}
"""Records that follow the run of a call, and their field that names it."""
_OPEN = "SELECT conversation_id FROM runs WHERE origin = 'rebuilt' AND ended_ns IS NULL"
_GONE = "SELECT run_id FROM runs SEMI JOIN batch_processes USING (process_id) WHERE origin != 'rebuilt'"
_KNOWN_RUNS = "SELECT run_id FROM runs WHERE run_id IN (SELECT run_id FROM batch_runs) AND origin != 'unknown'"
_PAIR = pa.schema([(name, pa.string()) for name in ("tool_run_id", "tool_id", "same_as")])


def close_vanished(store: Store, process_ids: Iterable[str]) -> None:
    """End the runs that processes left open which are gone for good: ``error``, ``process vanished``."""
    ids = list(process_ids)
    if ids:
        with store.transaction() as con:
            register(con, "batch_processes", "process_id", ids)
            con.execute(query("vanished"))
            end_rebuilt(con, tops_of_ended(con, {run_id for (run_id,) in con.execute(_GONE).fetchall()}))


def close_silent(store: Store, now_ns: int) -> None:
    """End the rebuilt runs that nothing was heard of for :data:`.rebuilt_ends.SILENCE_S` seconds."""
    cursor = store.cursor()
    try:
        tops = [top for (top,) in cursor.execute(_OPEN).fetchall()]
    finally:
        cursor.close()
    if tops:
        with store.transaction() as con:
            end_rebuilt(con, tops, now_ns - int(SILENCE_S * 1e9))


def _write_content(
    store: Store,
    con: duckdb.DuckDBPyConnection,
    rows: list[Row],
    sources: Sequence[Segment],
) -> None:
    """Texts to a Parquet segment, then its index: a crash in between leaves a file that the next try overwrites."""
    if not rows:
        return
    rows = list({(row["attempt_id"], row["role"]): row for row in rows}.values())
    if not sources:
        keys = " ".join(sorted(f"{row['attempt_id']}/{row['role']}" for row in rows))
        name = content.segment_file("import-" + hashlib.sha256(keys.encode()).hexdigest()[:16], 0)
    else:
        source = max(sources, key=lambda source: source.records).name  # it moves on, so the name is not used again
        found = con.execute("SELECT offset_bytes FROM ingest_ledger WHERE segment = ?", [source]).fetchall()
        name = content.segment_file(source, found[0][0] if found else 0)
    content.write_segment(store.content_dir, name, rows)
    index = [{key: value for key, value in row.items() if key != "body"} | {"segment": name} for row in rows]
    replace_rows(con, "content", index, ("attempt_id", "role"))


def _write_ledger(con: duckdb.DuckDBPyConnection, segment: Segment) -> None:
    """Say how far a segment is in the store. UPDATE first: DuckDB plans it in a quarter of the time of an upsert."""
    values = [segment.offset, segment.records, segment.closed, time.time_ns(), segment.name]
    (changed,) = con.execute(
        "UPDATE ingest_ledger SET offset_bytes = ?, records = records + ?, closed = ?, updated_ns = ?"
        " WHERE segment = ?",
        values,
    ).fetchall()
    if not changed[0]:
        con.execute(
            "INSERT INTO ingest_ledger (offset_bytes, records, closed, updated_ns, segment, process_id)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [*values, segment.process_id],
        )
