"""Keeps in the store which run each call belongs to.

In: a batch of records and the attempts it is about. Out: the places of these calls and of all that they concern
(``call_places``), rows of other calls moved to another run, and rebuilt runs. What belongs together is decided by
:mod:`.rebuild`; this module fetches for it and writes what it found, inside the batch's transaction. Apart from
:mod:`.ingest` because it is a stage of its own: without it every call stays in the run it was recorded in.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from .call_graph import Call, Column, Graph, Link, Near
from .ingest_rows import Row
from .rebuild import settle
from .records import Exchange, RunStart
from .store import arrow_table, execute_for, query, replace_rows, rows_where, table_schema

if TYPE_CHECKING:
    import duckdb

_COLUMNS: Final = tuple(field.name for field in fields(Call))
_facts = attrgetter(*_COLUMNS)
_MOVES: Final = pa.schema([("call_id", pa.string()), ("old_run", pa.string()), ("new_run", pa.string())])
_LINKED: Final = pa.schema(
    [("call_id", pa.string()), ("conversation_id", pa.string()), ("parent", pa.string()), ("rule", pa.string())]
)


class _Move(NamedTuple):
    call_id: str
    old_run: str
    new_run: str


class Places:
    """The places of the calls that one batch is about.

    Args:
        con: Inside the batch's transaction.

    Attributes:
        moved_calls: Calls of the store that are in another run now; tool calls have to be derived anew for them,
        moved_tool_runs: for these executions of tools,
        moved_runs: and for the runs that they left or came to.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._stored = _Stored(con)
        self._graph = Graph(self._stored)
        self._starts: dict[str, str] = {}
        self.moved_calls: set[str] = set()
        self.moved_tool_runs: set[str] = set()
        self.moved_runs: set[str] = set()

    def place(
        self, starts: Iterable[RunStart], attempts: Collection[Row], exchanges: Iterable[Exchange], named: Iterable[str]
    ) -> None:
        """Find and write the places of calls.

        Args:
            starts: Runs that begin in the batch.
            attempts: Whole rows of attempts, as they will be written.
            exchanges: All of the batch, also those that wait for their attempt.
            named: Calls that other records of the batch belong to.
        """
        graph = self._graph
        links = [Link(e.call_id, key, True) for e in exchanges for key in e.links_out]
        links += [Link(e.call_id, key, False) for e in exchanges for key in e.links_in]
        self._starts = {start.run_id: start.origin for start in starts}
        touched = self._repool()
        ids = {row["call_id"] for row in attempts}
        named = {*named, *(link.call_id for link in links)} - ids
        if not (ids or named or touched):
            return
        before = {i for row in attempts if (i := row.get("after_call_id"))}
        graph.look_around(ids | named | before, {link.key for link in links})
        new = {row["call_id"] for row in attempts if row["call_id"] not in graph.calls}
        pools = self._pools({row["run_id"] for row in attempts if row["call_id"] in new})
        for row in attempts:
            self._learn(row, pools)
        touched |= {link.call_id for link in self._add_links(links) if link.call_id in graph.calls}
        touched |= {i for i in ids if self._stored.is_changed(graph.calls[i])}
        if touched:
            settle(graph, sorted(touched))
            self._write(new)
        if awaited := named - graph.calls.keys():
            rows = [{"call_id": i} for i in sorted(awaited)]
            self._con.register("batch_awaited", arrow_table(rows, table_schema(self._con, "awaited_calls")))
            self._con.execute("INSERT INTO awaited_calls BY NAME SELECT * FROM batch_awaited")

    def run_of(self, call_id: str | None, recorded: str) -> str:
        """The run of what was recorded in one and belongs to a call."""
        call = self._graph.calls.get(call_id or "")
        return call.run_id if call is not None and call.home == recorded else recorded

    def is_known(self, run_id: str) -> bool:
        """Whether the start of a run was in the store before the batch, as far as was asked."""
        return self._stored.is_known(run_id)

    def place_attempt(self, row: Row) -> None:
        """Put an attempt into its call's run."""
        row["run_id"] = self._graph.calls[row["call_id"]].run_id

    def tops(self) -> set[str]:
        """Outermost conversations of rebuilt runs that something changed in."""
        changed = [c for c in self._graph.calls.values() if self._stored.is_changed(c)]
        left = [b for c in changed if (b := self._stored.before.get(c.call_id)) is not None]
        return {c.top_id for c in (*changed, *left) if c.run_id != c.home}

    # --- what is known -------------------------------------------------------------------------------------------

    def _repool(self) -> set[str]:
        """Calls of processes' runs whose start comes only now."""
        late = [run_id for run_id, origin in self._starts.items() if origin == "process"]
        if not late:
            return set()
        touched = set()
        for call in self._graph.find("home", late):
            if call.pool:
                call.pool = ""
                touched.add(call.call_id)
        return touched

    def _pools(self, homes: set[str]) -> dict[str, str]:
        origins = self._stored.origins(homes - self._starts.keys()) | self._starts
        return {home: "" if origins.get(home) == "process" else home for home in homes}

    def _learn(self, row: Row, pools: dict[str, str]) -> None:
        """Take in what an attempt says of its call; the same in whatever order attempts come."""
        call, number = self._graph.calls.get(row["call_id"]), row["number"]
        seen = 2 * number + row["parsed"]
        if call is None:
            ids = (row["call_id"], row["run_id"], pools[row["run_id"]], row["process_id"])
            call = Call(*ids, row["started_ns"], row["ended_ns"], first_number=number + 1)
            self._graph.put(call)
        elif row["started_ns"] < call.started_ns or number < call.first_number:
            self._graph.earlier.add(call.call_id)
        call.started_ns = min(call.started_ns, row["started_ns"])
        call.ended_ns = max(call.ended_ns, row["ended_ns"])
        if number < call.first_number:
            call.first_number = number
            self._graph.change(call, "after", row.get("after_call_id"))
            call.is_branch = bool(row.get("is_branch"))
            if number == 1:  # of no other: no call may leave a trace, see `traces`
                self._graph.change(call, "trace_id", row.get("trace_id"))
        if seen >= call.last_seen:
            call.last_seen, call.state, call.tools_digest = seen, _state(row), row["tools_digest"]

    def _add_links(self, links: list[Link]) -> list[Link]:
        """Those that are not there yet, written."""
        new = [link for link in dict.fromkeys(links) if link not in self._stored.links_there]
        for link in new:
            self._graph.link(link)
        if new:
            rows = [link._asdict() for link in new]
            self._con.register("batch_links", arrow_table(rows, table_schema(self._con, "call_links")))
            self._con.execute("INSERT INTO call_links BY NAME SELECT * FROM batch_links")
        return new

    # --- what follows --------------------------------------------------------------------------------------------

    def _write(self, new: set[str]) -> None:
        graph, stored, con = self._graph, self._stored, self._con
        changed = [call for call in graph.calls.values() if stored.is_changed(call)]
        if old := [call.call_id for call in changed if call.call_id in stored.before]:
            execute_for(con, "DELETE FROM call_places WHERE call_id IN (SELECT call_id FROM batch_old)", batch_old=old)
        if changed:
            rows = [_row(call) for call in changed]
            con.register("batch_places_found", arrow_table(rows, table_schema(con, "call_places")))
            con.execute("INSERT INTO call_places BY NAME SELECT * FROM batch_places_found")
        if graph.widened:
            rows = [{"trace_id": trace_id} for trace_id in sorted(graph.widened)]
            replace_rows(con, "wide_traces", rows, ("trace_id",))
        late = new & stored.awaited
        if late:
            execute_for(
                con, "DELETE FROM awaited_calls WHERE call_id IN (SELECT call_id FROM batch_late)", batch_late=late
            )
        moves = [_Move(c.call_id, c.home, c.run_id) for c in changed if c.call_id in late and c.run_id != c.home]
        before = [(call, stored.before[call.call_id]) for call in changed if call.call_id in stored.before]
        moves += [_Move(c.call_id, b.run_id, c.run_id) for c, b in before if b.run_id != c.run_id]
        if moves:
            con.register("batch_moves", arrow_table([move._asdict() for move in moves], _MOVES))
            self.moved_tool_runs |= {i for (i,) in con.execute(query("calls_moved")).fetchall()}
            self.moved_calls |= {move.call_id for move in moves}
            self.moved_runs |= {run for move in moves for run in (move.old_run, move.new_run)}
        again = [c for c, b in before if (c.conversation_id, c.parent, c.rule) != (b.conversation_id, b.parent, b.rule)]
        if again:
            con.register("batch_linked", arrow_table([_row(call) for call in again], _LINKED))
            con.execute(
                "UPDATE calls SET conversation_id = l.conversation_id, continues_call_id = l.parent, linked_by = l.rule"
                " FROM batch_linked AS l WHERE calls.call_id = l.call_id"
            )

    def write_runs(self) -> None:
        """Write the rebuilt runs that begin or are no more, and mark the processes' runs that are split."""
        con, graph, stored = self._con, self._graph, self._stored
        runs: dict[str, Call] = {}
        gone: set[str] = set()
        for call in graph.calls.values():
            before = stored.before.get(call.call_id)
            if before is not None and before.run_id != before.home and before.top_id == before.call_id:
                gone.add(before.run_id)
            if call.run_id != call.home and call.top_id == call.call_id:
                runs[call.run_id] = call
        stay = {run_id for run_id in runs if run_id in gone}
        if gone := gone - stay:
            execute_for(con, "DELETE FROM runs WHERE run_id IN (SELECT run_id FROM batch_gone)", batch_gone=gone)
        if begun := [call for run_id, call in runs.items() if run_id not in stay or stored.is_changed(call)]:
            self._write_begun(begun)
        changed = {home: is_split for home, is_split in graph.homes.items() if is_split != (home in stored.was_split)}
        for value in (True, False):
            sql = f"UPDATE runs SET is_split = {value} WHERE run_id IN (SELECT run_id FROM batch_split)"
            if homes := [home for home, is_split in changed.items() if is_split is value]:
                execute_for(con, sql, batch_split=homes)

    def _write_begun(self, begun: list[Call]) -> None:
        """Rows of rebuilt runs; service, harness and name are those of the process's run that its first call was in."""
        ids = {run_id for call in begun for run_id in (call.home, call.run_id)}
        before = {row["run_id"]: row for row in rows_where(self._con, "runs", "run_id", ids)}
        rows = []
        for call in begun:
            home = before[call.home]
            row = before.get(call.run_id) or dict.fromkeys(home) | {"status": None}
            row |= {name: home[name] for name in ("service", "name", "harness", "attributes")}
            row |= {"run_id": call.run_id, "parent_run_id": call.home, "process_id": call.process_id}
            row |= {"origin": "rebuilt", "started_ns": call.started_ns, "conversation_id": call.call_id}
            row["is_split"] = False
            rows.append(row)
        replace_rows(self._con, "runs", rows, ("run_id",))


class _Stored:
    """The calls in the store, and how they were there."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self.before: dict[str, Call] = {}
        self.was_split: set[str] = set()
        self.awaited: set[str] = set()
        self.links_there: set[Link] = set()
        self._origins: dict[str, str | None] = {}

    def near(self, call_ids: Collection[str], keys: Collection[str]) -> Near:
        """What lies around these calls and keys."""
        found = execute_for(self._con, query("links_near"), batch_ids=call_ids, batch_keys=keys).fetchall()
        links = [Link(*row) for row in found if row[1]]
        self.links_there |= set(links)
        self.awaited |= {call_id for call_id, key, _ in found if not key}
        around = {*call_ids, *(link.call_id for link in links)}
        calls = self._calls(query("calls_near"), batch_around=around)
        return Near(calls, links)

    def is_changed(self, call: Call) -> bool:
        """Whether a call is otherwise than in the store."""
        before = self.before.get(call.call_id)
        return before is None or _facts(before) != _facts(call)

    def calls(self, column: Column, values: Collection[str]) -> list[Call]:
        """Calls with these values."""
        sql = f"SELECT * FROM call_places WHERE {column} IN (SELECT {column} FROM batch_values)"
        return self._calls(sql, batch_values=values)

    def _calls(self, sql: str, **relations: Collection[str]) -> list[Call]:
        found = execute_for(self._con, sql, **relations).fetchall()
        at = [[name for name, *_ in self._con.description or ()].index(column) for column in _COLUMNS]
        rows = {row[at[0]]: [row[i] for i in at] for row in found}
        self.before |= {call_id: Call(*row) for call_id, row in rows.items() if call_id not in self.before}
        return [Call(*row) for row in rows.values()]

    def links(self, column: Literal["call_id", "key"], values: Collection[str]) -> list[Link]:
        """Links with these values."""
        sql = f"SELECT call_id, key, is_offer FROM call_links WHERE {column} IN (SELECT {column} FROM batch_values)"
        return [Link(*row) for row in execute_for(self._con, sql, batch_values=values).fetchall()]

    def split(self, homes: Collection[str]) -> set[str]:
        """Recorded runs that are split."""
        self.origins(homes)
        return self.was_split & set(homes)

    def wide(self, trace_ids: Collection[str]) -> set[str]:
        """Traces that too many calls share."""
        return {row["trace_id"] for row in rows_where(self._con, "wide_traces", "trace_id", trace_ids)}

    def is_known(self, run_id: str) -> bool:
        """Whether the start of a recorded run is here, as far as was asked."""
        return self._origins.get(run_id) not in (None, "unknown")

    def origins(self, homes: Collection[str]) -> dict[str, str]:
        """Origins of recorded runs."""
        if new := [home for home in homes if home not in self._origins]:
            sql = "SELECT run_id, origin, is_split FROM runs WHERE run_id IN (SELECT run_id FROM batch_values)"
            found = execute_for(self._con, sql, batch_values=new).fetchall()
            self.was_split |= {run_id for run_id, _, is_split in found if is_split}
            self._origins |= dict.fromkeys(new) | {run_id: origin for run_id, origin, _ in found}
        return {home: origin for home in homes if (origin := self._origins[home]) is not None}


def _row(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in _COLUMNS}


def _state(row: Row) -> str:
    """What an attempt tells of its call: see :class:`.call_graph.Call`."""
    if row["error_class"] is not None or row["end"] == "error":
        return "failed"
    if row["end"] == "abandoned":
        return "abandoned"
    if not row["parsed"]:
        return "unknown"
    return "waiting" if row["finish_reason"] == "tool_calls" and not _is_forced(row["params"]) else "answered"


def _is_forced(params: str | None) -> bool:
    """Whether the model had to call a tool: then the call is the answer, in a shape that the agent asked for."""
    choice = json.loads(params).get("tool_choice") if params and '"tool_choice"' in params else None
    return choice is not None and str(choice).lower() not in ("auto", "none")
