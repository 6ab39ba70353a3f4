from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab_tracer import records as r
from trimtab_tracer import traces
from trimtab_tracer.ingest import close_silent, close_vanished, ingest
from trimtab_tracer.rebuild import rebuilt_run_id
from trimtab_tracer.rebuilt_ends import SILENCE_S
from trimtab_tracer.store import Store

SECOND = 10**9


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for all tests of this module."""
    with Store.open(tmp_path_factory.mktemp("home") / "trimtab.duckdb") as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    """An empty store."""
    return emptied(opened)


def emptied(store: Store) -> Store:
    """The store without its rows."""
    with store.transaction() as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            if table != "migrations":
                con.execute(f"DELETE FROM {table}")
    return store


def dump(store: Store) -> dict[str, list[Any]]:
    """Every row of every table that records fill, in an order of its own."""
    con = store.cursor()
    tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    kept = [name for name in tables if name not in ("migrations", "ingest_ledger")]
    columns = {"content": "* EXCLUDE (segment)"}  # files are named after their batch
    return {name: con.execute(f"SELECT {columns.get(name, '*')} FROM {name} ORDER BY ALL").fetchall() for name in kept}


def rows(store: Store, sql: str) -> list[Any]:
    """What a query gives."""
    return store.cursor().execute(sql).fetchall()


def process(name: str = "p") -> list[r.Record]:
    """A process and its run ``run-<name>``."""
    return [
        r.Process(name, 77, SECOND, "shop", "a.py", "/", "3.11", "0.1", "full", "boot"),
        r.RunStart(f"run-{name}", name, SECOND, "shop", "process"),
    ]


def turn(agent: str, n: int, at: int, *, last: int, run: str = "run-p", of: str = "p", **more: Any) -> list[r.Record]:
    """One turn of an agent: it asks for a tool until turn ``last``, which is its answer."""
    call = f"{agent}{n}"
    ids = (f"{call}/1", call, run, of, 1, at * SECOND, SECOND // 2)
    wire = ("openai.chat", "POST", "api.openai.com", "/v1/chat/completions", "site", "complete")
    asked = () if n == last else (r.ToolRequest(0, f"id-{call}", "search", agent, True),)
    came = (r.ToolResult(f"{agent}{n - 1}:0", at * SECOND, "ok"),) if n else ()
    said = {"tool_requests": asked, "tool_results": came, "finish_reason": "tool_calls" if asked else "stop"}
    links = {"links_in": (f"s{agent}{n - 1}",) if n else (), "links_out": (f"s{agent}{n}",) if asked else ()}
    tokens = {"input_tokens": 100, "output_tokens": 10, "usage_source": "reported"}
    return [
        r.Attempt(*ids, *wire, http_status=200, model="gpt-4o", **more),
        r.Exchange(f"{call}/1", call, run, "openai.chat", "gpt-4o", **said | links | tokens),
        r.CallDecisions(call, run, "site", at * SECOND, (r.Choice("model", "gpt-4o", "code"),)),
        r.Content(f"{call}/1", call, run, "request", at * SECOND, "{}"),
    ]


def two_tasks() -> list[r.Record]:
    """Two tasks at once in one process, one with an agent for a tool, another process's turn, and all that belongs."""
    return [
        *process(),
        *process("q"),
        r.Harness("p", "v1"),
        *turn("a", 0, 2, last=2),
        *turn("a", 1, 6, last=2, after_call_id="a0"),
        *turn("a", 2, 8, last=2, after_call_id="a1"),
        *turn("b", 0, 3, last=2),
        *turn("b", 1, 5, last=2, run="run-q", of="q"),
        *turn("b", 2, 9, last=2),
        *turn("n", 0, 3, last=1, after_call_id="a0", is_branch=True),
        *turn("n", 1, 4, last=1, after_call_id="n0"),
        *turn("c", 0, 10, last=0),
        *turn("d", 0, 11, last=3, run="mine"),
        r.RunStart("mine", "p", SECOND, "told", "explicit", parent_run_id="run-p"),
        r.ToolRun("t1", "run-p", "p", "search", 4 * SECOND, 9, "ok", "b", after_call_id="b0"),
        r.ToolRun("t2", "run-p", "p", "other", 4 * SECOND, 9, "ok", "x", after_call_id="a0"),
        r.Outcome("o1", "run-p", 12 * SECOND, True, after_call_id="a2"),
        r.Outcome("o2", "run-p", 12 * SECOND, False, after_call_id="b2"),
        r.Outcome("o3", "run-p", 12 * SECOND, False),
        r.HttpSpan("h1", "run-p", "p", "GET", 4 * SECOND, 9, "GET", "http://x", after_call_id="n0"),
        r.Decision("d1", "run-p", "depth", 2, "code", "site", SECOND, None, 1.0, "knob"),
        r.RunEnd("run-p", 20 * SECOND, "ok", "process exit"),
    ]


RUN_A, RUN_B, RUN_C = (rebuilt_run_id(call) for call in ("a0", "b0", "c0"))


def test_each_task_is_a_run_with_all_that_belongs_to_it(store: Store) -> None:
    """Calls, attempts, decisions, tool calls, texts, outcomes and spans are in the run of their task."""
    ingest(store, two_tasks())
    calls = dict(rows(store, "SELECT call_id, run_id FROM calls"))
    assert {RUN_A: {"a0", "a1", "a2", "n0", "n1"}, RUN_B: {"b0", "b1", "b2"}, RUN_C: {"c0"}, "mine": {"d0"}} == {
        run: {call for call, of in calls.items() if of == run} for run in calls.values()
    }
    for table in ("attempts", "decisions", "tool_calls", "content"):
        found = rows(store, f"SELECT call_id, run_id FROM {table} WHERE call_id IS NOT NULL")
        assert found, table
        assert {(call, calls[call]) for call, _ in found} == set(found), table
    assert {"o1": RUN_A, "o2": RUN_B, "o3": "run-p"} == dict(rows(store, "SELECT outcome_id, run_id FROM outcomes"))
    assert [(RUN_A,)] == rows(store, "SELECT run_id FROM spans")
    seen = "SELECT tool_run_id, tool_id, run_id FROM tool_calls WHERE origin = 'observed' ORDER BY ALL"
    assert [("t1", "b0:0", RUN_B), ("t2", "t2", RUN_A)] == rows(store, seen)


def test_rebuilt_runs_say_where_they_come_from(store: Store) -> None:
    """A rebuilt run has its process's service, name and harness, that process's run as parent, and its own times."""
    ingest(store, two_tasks())
    facts = "parent_run_id, process_id, service, name, harness, task, started_ns, ended_ns, status, end_rule"
    found = {row[0]: row[1:] for row in rows(store, f"SELECT run_id, {facts} FROM runs WHERE origin = 'rebuilt'")}
    ended = {RUN_A: (2 * SECOND, 8 * SECOND), RUN_B: (3 * SECOND, 9 * SECOND), RUN_C: (10 * SECOND, 10 * SECOND)}
    told = {
        run: ("run-p", "p", "shop", "shop", "v1", None, start, end + SECOND // 2, "ok", "final answer")
        for run, (start, end) in ended.items()
    }
    assert told == found
    split = rows(store, "SELECT run_id FROM runs WHERE is_split ORDER BY run_id")
    assert [("run-p",), ("run-q",)] == split


def test_the_same_again_changes_nothing(store: Store) -> None:
    """Records that come twice, whole or in part, leave every row as it was."""
    ingest(store, two_tasks())
    before = dump(store)
    ingest(store, two_tasks())
    ingest(store, two_tasks()[7:19])
    assert before == dump(store)


@pytest.fixture(scope="module")
def expected(opened: Store) -> dict[str, list[Any]]:
    """The store after all came at once."""
    ingest(emptied(opened), two_tasks())
    return dump(opened)


@given(st.integers(0, 10**9), st.integers(1, 8))
@settings(max_examples=6)
def test_any_order_and_any_batches(opened: Store, expected: dict[str, list[Any]], seed: int, batches: int) -> None:
    """However the records are shuffled and cut into batches, the rows are the same in the end."""
    records = two_tasks()
    random.Random(seed).shuffle(records)
    emptied(opened)
    for at in range(batches):
        ingest(opened, records[at::batches])
    assert expected == dump(opened)


def spans() -> list[r.Record]:
    """Spans of another tracer in and around those tasks; two tell of calls that were not seen otherwise."""

    def span(key: str, at: float, length: float, run: str = "run-p", **more: Any) -> r.GenAiSpan:
        said = {"model": "gpt-4o", "provider": "openai"} | more
        times = (int(at * SECOND), int(length * SECOND))
        return r.GenAiSpan(f"trace-{key}", key, run, "p", "call", "chat", "chat", *times, "x", **said)

    tokens = {"input_tokens": 100, "output_tokens": 10}
    return [
        span("seen", 1.9, 1, **tokens),
        span("without", 7.9, 1),  # looks like a2's until a2's answer says how many tokens it had
        span("inner", 30, 1, "mine", **tokens),
        span("outer", 29.9, 2, **tokens),
    ]


@pytest.fixture(scope="module")
def expected_with_spans(opened: Store) -> dict[str, list[Any]]:
    """The store after all came at once."""
    ingest(emptied(opened), two_tasks() + spans())
    return dump(opened)


@given(st.integers(0, 10**9), st.integers(1, 8))
@example(0, 30)
@settings(max_examples=2)
def test_spans_are_in_the_runs_of_their_calls(
    opened: Store, expected_with_spans: dict[str, list[Any]], seed: int, batches: int
) -> None:
    """Spans around calls that come to be in rebuilt and declared runs are there too, in any order and any batches."""
    records = two_tasks() + spans()
    random.Random(seed).shuffle(records)
    emptied(opened)
    for at in range(batches):
        ingest(opened, records[at::batches])
    assert expected_with_spans == dump(opened)
    found = rows(opened, "SELECT span_id, run_id FROM gen_ai_spans ORDER BY ALL")
    assert [("inner", "mine"), ("outer", "mine"), ("seen", RUN_A), ("without", "run-p")] == found


def test_a_script_keeps_the_run_of_its_process(store: Store) -> None:
    """One conversation makes no other run, and its calls say what they continue."""
    ingest(store, [*process(), *turn("a", 0, 2, last=1), *turn("a", 1, 3, last=1)])
    assert [("run-p", "process", False)] == rows(store, "SELECT run_id, origin, is_split FROM runs")
    told = "SELECT call_id, run_id, conversation_id, continues_call_id, linked_by FROM calls ORDER BY ALL"
    assert [("a0", "run-p", "a0", None, None), ("a1", "run-p", "a0", "a0", "messages and answer")] == rows(store, told)


def traced_tasks() -> list[r.Record]:
    """Prompts without links in two processes: of two tasks with a span each, and within a worker's span."""
    steps = [("T", "abc"), ("U", "xyz"), ("worker", "klmn")]
    calls = [
        turn(name, 0, 2 + at, last=0, run=f"run-{'pq'[at % 2]}", of="pq"[at % 2], trace_id=trace_id)
        for trace_id, names in steps
        for at, name in enumerate(names)
    ]
    (again, *_) = turn("n", 0, 5, last=0, run="run-q", of="q", trace_id="T")  # sent again within another span
    calls.append([replace(again, attempt_id="n0/2", number=2)])
    return [*process(), *process("q"), *(record for call in calls for record in call)]


@pytest.fixture(scope="module")
def expected_of_traces(opened: Store) -> dict[str, list[Any]]:
    """The store after all came at once, where a trace of more than three calls is a worker's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "MAX_CALLS", 3)
        ingest(emptied(opened), traced_tasks())
    return dump(opened)


@given(st.integers(0, 10**9), st.integers(1, 8))
@example(100, 3)  # the second attempt of n0, and with it one call too many in T, comes before the first one
@settings(max_examples=3)
def test_traces_tie_in_any_order_and_any_batches(
    opened: Store, expected_of_traces: dict[str, list[Any]], seed: int, batches: int
) -> None:
    """Calls are in the run of their trace, unless very many share it, however they come."""
    records = traced_tasks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "MAX_CALLS", 3)
        random.Random(seed).shuffle(records)
        emptied(opened)
        for at in range(batches):
            ingest(opened, records[at::batches])
    assert expected_of_traces == dump(opened)
    runs = dict(rows(opened, "SELECT call_id, run_id FROM calls"))
    assert {rebuilt_run_id("a0"): 3, rebuilt_run_id("x0"): 3} == {
        run: list(runs.values()).count(run) for run in (runs["c0"], runs["z0"])
    }
    assert 4 == len({runs[f"{name}0"] for name in "klmn"})
    assert [("worker",)] == rows(opened, "SELECT trace_id FROM wide_traces")


def test_a_call_that_is_found_to_have_begun_earlier_places_others_anew(store: Store) -> None:
    """What lies in a trace beside a later turn is nested in its conversation once that is known to be older."""
    (first, said, *_) = turn("m", 0, 2, last=0)
    again = replace(first, attempt_id="m0/2", number=2, ts_ns=6 * SECOND)
    said = replace(said, attempt_id="m0/2", links_out=("kmine",))
    beside = turn("b", 0, 5, last=0, run="run-q", of="q", trace_id="T")
    (later, goes_on, *_) = turn("z", 0, 9, last=0, trace_id="T")
    batches = [[*process(), *process("q")], [again, said], beside, [later, replace(goes_on, links_in=("kmine",))]]
    for batch in batches:
        ingest(store, batch)
    nested = "SELECT nested_in, top_id FROM call_places WHERE call_id = 'b0'"
    assert [(None, "b0")] == rows(store, nested)
    ingest(store, [first])
    assert [("m0", "m0")] == rows(store, nested)
    in_pieces = dump(store)
    ingest(emptied(store), [first, *(record for batch in batches for record in batch)])
    assert dump(store) == in_pieces


def open_tasks() -> list[r.Record]:
    """Two tasks; the second waits for a tool."""
    first = [*turn("a", 0, 2, last=1), *turn("a", 1, 4, last=1)]
    return [*process(), *first, *turn("b", 0, 3, last=9), *turn("b", 1, 5, last=9)]


def ends(store: Store) -> list[Any]:
    return rows(store, "SELECT status, end_rule, error_type FROM runs WHERE conversation_id = 'b0'")


def test_a_run_that_waits_for_a_tool_is_open_until_silence(store: Store) -> None:
    """An unanswered tool call ends a run when nothing followed it for a while; what follows all the same opens it."""
    ingest(store, open_tasks())
    assert [(None, None, None)] == ends(store)
    close_silent(store, 6 * SECOND)
    assert [(None, None, None)] == ends(store)
    close_silent(store, int((6 + SILENCE_S) * SECOND))
    assert [("ok", "unanswered tool call", None)] == ends(store)
    ingest(store, turn("b", 2, 2000, last=9))
    assert [(None, None, None)] == ends(store)
    ingest(store, turn("b", 3, 2001, last=3))
    assert [("ok", "final answer", None)] == ends(store)


def test_what_a_process_left_open_ends_with_it(store: Store) -> None:
    """Open runs end as their process did: with its exception, or as errors where it was gone without a word."""
    raised = r.RunEnd("run-p", 9 * SECOND, "error", "process exit", "ValueError", "bad")
    for records in ([*open_tasks(), raised], [raised, *open_tasks()]):
        ingest(emptied(store), records)
        assert [("error", "process exit", "ValueError")] == ends(store)
    ingest(emptied(store), open_tasks())
    close_vanished(store, ["p"])
    assert [("error", "process vanished", None)] == ends(store)
    answered = "SELECT status, end_rule FROM runs WHERE conversation_id = 'a0'"
    assert [("ok", "final answer")] == rows(store, answered)


def test_a_failed_last_call_is_an_error(store: Store) -> None:
    """A run whose last call failed has failed once nothing follows, and says how."""
    failed = [replace(record, http_status=500) if isinstance(record, r.Attempt) else record for record in open_tasks()]
    ingest(store, failed)
    close_silent(store, int(1e6 * SECOND))
    assert [("error", "failed call", "server")] == ends(store)
