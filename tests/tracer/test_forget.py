"""Forgetting runs: nothing of theirs stays, nothing of others goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab_tracer.forget import OF_A_RUN
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import (
    Attempt,
    Content,
    Decision,
    Exchange,
    GenAiSpan,
    HttpSpan,
    Outcome,
    Record,
    RunStart,
    Saga,
    SagaStep,
    ToolRequest,
    ToolResult,
    ToolRun,
)
from trimtab_tracer.store import Store

API = ("openai.chat", "POST", "h", "/", "s")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "t.duckdb") as opened:
        yield opened


def _run(run: str) -> list[Record]:
    """A run with a row in every table that holds rows of runs."""
    return [
        RunStart(run, "p", 1, "n", "explicit"),
        Attempt(f"{run}.a", f"{run}.c", run, "p", 1, 1, 1, *API, "complete"),
        Exchange(f"{run}.a", f"{run}.c", run, "openai.chat", "m", tool_requests=(ToolRequest(0, "t", "f", "d", True),)),
        Exchange(
            f"{run}.late",
            f"{run}.c2",
            run,
            "openai.chat",
            "m",
            tool_results=(ToolResult(f"{run}.c:0", 2, "ok", None, None, "d", 1),),
        ),
        ToolRun(f"{run}.t", run, "p", "f", 1, 1, "ok"),
        Decision(f"{run}.d", run, "model", "m", "code", "s", 1),
        Outcome(f"{run}.o", run, 1, True),
        SagaStep(f"{run}.g", 1, run, "f", "compensated", 1, 1),
        Saga(f"{run}.g", run, "p", 1, 1, "exception", "compensated", 1),
        HttpSpan(f"{run}.h", run, "p", "n", 1, 1, "GET", "u"),
        GenAiSpan(f"{run}.trace", "span", run, "p", "agent", "invoke_agent", "n", 1, 1, "scope"),
        Content(f"{run}.a", f"{run}.c", run, "request", 1, "text"),
    ]


MONEY = "'agent', 'useful', NULL, NULL, NULL, 1, 1, 1, 0, 1, 1"
TIME = "'agent', true, 'idle', 'idle', NULL, NULL, NULL, 0, 1, 0"


def _rows(store: Store) -> dict[str, list[str]]:
    con = store.cursor()
    names = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    found = {name: [repr(row) for row in con.execute(f"FROM {name} ORDER BY ALL").fetchall()] for name in names}
    con.close()
    return found


def test_nothing_of_a_forgotten_run_stays(store: Store) -> None:
    """A run that is replaced by nothing leaves no row in any table, and the other run keeps every one of its own."""
    ingest(store, _run("r1"))
    before = _rows(store)
    ingest(store, _run("r2"))
    with store.transaction() as con:
        con.execute("INSERT INTO inferred_outcomes VALUES ('r2', false, 'cut_off', 0.9, NULL, 1)")
        for table, more in (("analysed_runs", "1, NULL"), ("run_money", MONEY), ("run_time", TIME)):
            con.execute(f"INSERT INTO {table} VALUES ('r2', {more})")
    filled = {name for name, rows in _rows(store).items() if any("r2" in row for row in rows)}
    ingest(store, [], replace_runs=["r2", "unknown"])
    assert _rows(store) == before
    assert filled == {*OF_A_RUN, "tool_results", "waiting_exchanges"}


def test_another_runs_span_stays_when_its_call_goes(store: Store) -> None:
    """A span that told of a forgotten run's call is joined again when that comes again; else it stands for its call."""
    told = ("p", "call", "chat", "n", 1, 1, "scope")
    span = GenAiSpan("trace", "span", "r2", *told, response_id="x", model="m")
    around = replace(span, span_id="around", duration_ns=9)
    call = [RunStart("r1", "q", 1, "n", "import"), Attempt("a", "c", "r1", "q", 1, 1, 1, *API, "complete")]
    call.append(Exchange("a", "c", "r1", "openai.chat", "m", response_id="x"))
    ingest(store, [RunStart("r2", "p", 1, "n", "process"), around, span])
    alone = _rows(store)
    ingest(store, call)
    joined = _rows(store)
    assert {("c", "r1", "r2")} == _joined(store)
    ingest(store, call, replace_runs=["r1"])
    assert joined == _rows(store)
    ingest(store, [], replace_runs=["r1"])
    assert alone == _rows(store)
    assert {("tracespan", "r2", "r2")} == _joined(store)


def _joined(store: Store) -> set[tuple[str, ...]]:
    with closing(store.cursor()) as con:
        return set(con.execute("SELECT call_id, run_id, home FROM gen_ai_spans").fetchall())


def test_a_replacement_that_fails_changes_nothing(store: Store) -> None:
    """Where a record does not fit, what it was to replace is still there."""
    ingest(store, _run("r1"))
    before = _rows(store)
    with pytest.raises(OverflowError):
        ingest(store, [Attempt("b", "c", "r1", "p", 1, 2**70, 1, *API, "complete")], replace_runs=["r1"])
    assert _rows(store) == before


def test_every_table_of_runs_is_named(store: Store) -> None:
    """A table that gets a column ``run_id`` must be forgotten too; but for the note that an experiment learned from a
    run, or what is imported again would be learned from again."""
    con = store.cursor()
    named = "SELECT table_name FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (table_name)"  # no views
    found = con.execute(f"{named} WHERE column_name = 'run_id'").fetchall()
    con.close()
    assert {name for (name,) in found} - {"campaign_units"} == set(OF_A_RUN)
