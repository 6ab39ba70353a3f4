from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer import records as r
from trimtab_tracer.ingest import NOT_STORABLE, close_vanished, ingest
from trimtab_tracer.store import FEW, Store, execute_for
from trimtab_tracer.tool_pairs import Executed, Requested, pair

SECOND = 10**9
PROCESS = r.Process("p", 77, SECOND, "shop-agent", "a.py", "/", "3.11", "0.1", "full", "boot")
START = r.RunStart("run", "p", SECOND, "buy", "explicit", attributes={"size": 3, "odd": float("nan")})


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
    kept = [name for name in tables if name not in ("migrations", "ingest_ledger", "content")]
    return {name: con.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in kept}


def rows(store: Store, sql: str) -> list[Any]:
    """What a query gives."""
    return store.cursor().execute(sql).fetchall()


def attempt(call: str, number: int = 1, start: int = 1, **more: Any) -> r.Attempt:
    """An attempt of one second that began ``start`` seconds after the epoch."""
    ids = (f"{call}/{number}", call, "run", "p", number, start * SECOND, SECOND)
    wire = ("openai.chat", "POST", "api.openai.com", "/v1/chat/completions", "site")
    return r.Attempt(*ids, *wire, **{"end": "complete", "http_status": 200, "model": "gpt-4o"} | more)


def exchange(call: str, number: int = 1, **more: Any) -> r.Exchange:
    """What that attempt said: 100 tokens in, 10 out, which is 350 micro-USD."""
    said = {"input_tokens": 100, "output_tokens": 10, "usage_source": "reported", "finish_reason": "stop"} | more
    return r.Exchange(f"{call}/{number}", call, "run", "openai.chat", "gpt-4o", **said)


def asked(name: str, args: str = "x", index: int = 0) -> r.ToolRequest:
    """A tool call that the model asked for."""
    return r.ToolRequest(index, f"id{index}", name, args, True)


def tool_run(run_id: str, start_ns: int, name: str = "search", args: str | None = "x", **more: Any) -> r.ToolRun:
    """A tool execution of one microsecond."""
    return r.ToolRun(run_id, "run", "p", name, start_ns, 1000, **{"status": "ok", "args_digest": args} | more)


def story() -> list[r.Record]:
    """A run with a retried call, a rejected answer, and tools that were asked for, answered and seen in all ways."""
    offered = ("search", "buy")
    slow_down = {"provider_error_type": "rate_limit_error", "provider_error_message": "slow down"}
    no_usage = {"input_tokens": None, "output_tokens": None, "usage_source": "unknown", "finish_reason": None}
    asks = (asked("search"), asked("buy", "y", 1), asked("fly", "z", 2))
    answers = (r.ToolResult("c1:0", 8 * SECOND, "ok"), r.ToolResult("c1:1", 8 * SECOND, "error", "Oops"))
    rejects = {"rejects_call_id": "c1", "rejection_text": "no"}
    return [
        PROCESS,
        r.Harness("p", "abc123"),
        START,
        r.Site("site", "a.py", "main", 3, 3, "client.create()"),
        r.Site("site", "a.py", "main", 3, 3, "client.create()", via=("crewai", "openai")),
        attempt("c1", 1, 1, http_status=429, retry_after_s=2.0),
        exchange("c1", 1, tools_offered=offered, **slow_down | no_usage),
        attempt("c1", 2, 4),
        exchange("c1", 2, tools_offered=offered, tool_requests=asks),
        tool_run("t1", 6 * SECOND),
        tool_run("t2", 7 * SECOND),
        attempt("c2", 1, 8, usage_fragment='{"prompt_tokens":100,"completion_tokens":10}'),
        exchange("c2", cost_reported_usd="0.001", tool_results=answers, **rejects),
        attempt("c3", 1, 10, end="error", http_status=None, error_type="httpx.ReadTimeout"),
        r.Decision("d1", "run", "model", "gpt-4o", "code", "site", SECOND, "c1"),
        r.Decision("d2", "run", "temperature", None, "default", "site", SECOND, "c1"),
        r.Decision("d3", "run", "depth", 2, "code", "site", SECOND, None, 1.0, "knob", choices=(1, 2, None, "deep")),
        r.Decision("d4", "run", "depth", 2, "experiment", "site", SECOND, rule_id="exp-1.2", seen={"calls": 2}),
        r.Outcome("o1", "run", 12 * SECOND, False, 0.5),
        r.HttpSpan("h1", "run", "p", "GET", 5 * SECOND, 10, "GET", "http://x"),
        r.Loss("p", "content", "spool nearly full", 2, 200, 5),
        r.RunEnd("run", 12 * SECOND, "error", "block exit", "ValueError", "bad"),
    ]


@pytest.fixture(scope="module")
def expected(opened: Store) -> dict[str, list[Any]]:
    """The store after the story was ingested as it happened."""
    ingest(emptied(opened), story())
    return dump(opened)


def test_what_a_knob_may_become_is_kept(store: Store) -> None:
    """The choices that the code names for a knob of its own are JSON beside the value; NULL where it names none."""
    ingest(store, story())
    sql = "SELECT knob, value, choices FROM decisions WHERE decision_id IN ('d1', 'd3') ORDER BY decision_id"
    assert [("model", '"gpt-4o"', None), ("depth", "2", '[1, 2, null, "deep"]')] == rows(store, sql)


def test_the_rule_that_was_obeyed_is_kept(store: Store) -> None:
    """A steered decision names its rule and what that saw of the run; NULL for what the code decided."""
    ingest(store, story())
    sql = "SELECT rule_id, seen, verdict FROM decisions WHERE decision_id IN ('d1', 'd4') ORDER BY decision_id"
    assert [(None, None, None), ("exp-1.2", '{"calls": 2}', None)] == rows(store, sql)


@given(st.integers(0, 10**9), st.integers(1, 4), st.booleans())
@settings(max_examples=15)
def test_any_order_and_any_batches(
    opened: Store, expected: dict[str, list[Any]], seed: int, batches: int, again: bool
) -> None:
    """However the records are shuffled, split and repeated, the store ends up the same."""
    chance = random.Random(seed)
    records = story()
    chance.shuffle(records)
    emptied(opened)
    for at in range(batches):
        ingest(opened, records[at::batches])
    if again:
        ingest(opened, chance.sample(records, 8))
    assert expected == dump(opened)


def test_the_same_batch_twice_is_once(store: Store, expected: dict[str, list[Any]]) -> None:
    """Ingesting a batch again changes no row of any table."""
    for _ in range(2):
        ingest(store, [*story(), *story()])
    assert expected == dump(store)


def test_large_and_small_batches_give_the_same(store: Store) -> None:
    """Rows are found by look-up in small batches and by a join in large ones; either replaces what is there."""
    records: list[r.Record] = [START]
    for n in range(FEW + 50):
        records += [attempt(f"c{n}", 1, n), exchange(f"c{n}", tool_requests=(asked("search"),)), tool_run(f"t{n}", n)]
    ingest(store, records)
    large = dump(store)
    for again in (records, records[:7], records[5:19]):
        ingest(store, again)
        assert dump(store) == large


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("attempts", name) for name in ("attempt_id", "call_id", "run_id", "rejects_call_id")),
        *(("tool_requests", name) for name in ("call_id", "run_id")),
        *(("calls", "call_id"), ("tool_results", "tool_id"), ("tool_runs", "run_id")),
        *(("tool_calls", "call_id"), ("decisions", "decision_id"), ("content", "call_id")),
    ],
)
def test_a_small_batch_looks_rows_up_in_an_index(store: Store, table: str, column: str) -> None:
    """What ingestion asks of a table is answered from an index, so that it costs the same in a store of any size."""
    second = exchange("z", rejects_call_id="y", tool_requests=(asked("search"),))
    others = [replace(record, run_id="other") for record in (attempt("z"), second, tool_run("t9", 5))]
    texts = [r.Content(f"{call}/1", call, "run", "request", 1, "text") for call in ("c1", "z")]
    ingest(store, [*story(), *others, *texts])  # two values at least, or the planner needs no table to answer
    con = store.cursor()
    wanted = [value for (value,) in con.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall() if value]
    sql = f"EXPLAIN ANALYZE SELECT * FROM {table} WHERE {column} IN (SELECT {column} FROM wanted)"
    ((_, plan),) = execute_for(con, sql, wanted=[*wanted, "another"]).fetchall()
    assert "Index Scan" in plan


def test_a_retried_call(store: Store) -> None:
    """429, then 200: one call of two attempts with the wait between; the failed attempt cost nothing."""
    ingest(store, story())
    found = rows(
        store, "SELECT attempts, wait_ns, status, http_status, cost_musd, cost_source FROM calls WHERE call_id = 'c1'"
    )
    assert found == [(2, 2 * SECOND, "ok", 200, 350, "estimated")]
    found = rows(store, "SELECT error_class, cost_musd, cost_source FROM attempts WHERE call_id = 'c1' ORDER BY number")
    assert found == [("rate_limit", 0, "unbilled"), (None, 350, "estimated")]


def test_where_costs_come_from(store: Store) -> None:
    """A provider's own price wins and the computed one stands beside it; a timeout's cost is not known."""
    ingest(store, story())
    found = rows(
        store, "SELECT cost_musd, cost_source, cost_reported_musd, cost_computed_musd FROM calls WHERE call_id = 'c2'"
    )
    assert found == [(1000, "reported", 1000, 350)]
    found = rows(store, "SELECT status, error_class, cost_musd, cost_source FROM calls WHERE call_id = 'c3'")
    assert found == [("error", "timeout", None, "unknown")]


@pytest.mark.parametrize(
    ("attempts", "cost"),
    [
        ([{"error_type": "httpx.ReadTimeout"}, {"tokens": True}], (350, "estimated")),
        ([{"tokens": True, "model": "no-such-model"}, {"tokens": True}], (None, "unknown")),
        ([{"http_status": 500}, {"http_status": 529}], (0, "unbilled")),
        ([{"http_status": 500}, {"error_type": "httpx.ReadTimeout"}], (None, "unknown")),
        ([{"error_type": "httpx.ConnectError"}], (0, "unbilled")),
        ([{"http_status": 200, "end": "abandoned", "stream": True}], (None, "unknown")),
        ([{"tokens": True}, {"tokens": True}], (700, "estimated")),
    ],
)
def test_what_a_call_cost(store: Store, attempts: list[dict[str, Any]], cost: tuple[int | None, str]) -> None:
    """A call's cost is known as soon as every attempt with tokens has a price; see the top of the migration."""
    for number, given_ in enumerate(attempts, 1):
        failed = {"http_status": None, "end": "error"} if "error_type" in given_ else {}
        usage = '{"prompt_tokens":100,"completion_tokens":10}' if given_.pop("tokens", False) else None
        ingest(store, [attempt("c", number, number * 2, usage_fragment=usage, **failed | given_)])
    assert [cost] == rows(store, "SELECT cost_musd, cost_source FROM calls")


def test_an_attempt_alone_keeps_its_tokens(store: Store) -> None:
    """Tokens in the attempt's own usage fragment are counted and priced, though no exchange ever follows."""
    usage = '{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":40}}'
    ingest(store, [attempt("c", usage_fragment=usage)])
    found = rows(
        store, "SELECT input_tokens, cache_read_tokens, output_tokens, cost_musd, usage_source, parsed FROM attempts"
    )
    assert found == [(100, 40, 10, 60 * 5 // 2 + 50 + 100, "reported", False)]
    ingest(store, [exchange("c", input_tokens=None, output_tokens=None, usage_source="unknown")])
    assert rows(store, "SELECT input_tokens, output_tokens, parsed FROM attempts") == [(100, 10, True)]


def test_what_tokens_were_is_kept_and_priced(store: Store) -> None:
    """Audio, an hour's cache, searches and the terms of a request stand beside its tokens, and its cost follows."""
    parts = {"cache_read_tokens": 40, "input_audio_tokens": 20, "web_searches": 2, "service_tier": "flex"}
    ingest(store, [attempt("c", model="gpt-audio"), replace(exchange("c", **parts), model="gpt-audio")])
    found = rows(store, "SELECT input_audio_tokens, web_searches, service_tier, cost_musd FROM attempts")
    # 80 x 2.50 and 20 x 32 in, of which the list knows no cached price, 10 x 10 out
    assert [(20, 2, "flex", 80 * 5 // 2 + 20 * 32 + 100)] == found


def test_estimated_tokens_stay_marked(store: Store) -> None:
    """A call is estimated as soon as one of its attempts is, whatever the others report."""
    ingest(store, [attempt("c"), exchange("c"), attempt("c", 2, 3), exchange("c", 2, usage_source="estimated")])
    assert [("reported",), ("estimated",)] == rows(store, "SELECT usage_source FROM attempts ORDER BY number")
    assert [(200, "estimated")] == rows(store, "SELECT input_tokens, usage_source FROM calls")


def test_a_site_keeps_the_packages_below_it(store: Store) -> None:
    """A later process that has not made a request from there does not know the way, and takes nothing away."""
    site = r.Site("site", "a.py", "main", 3, 3, "client.create()", via=("crewai", "openai"))
    ingest(store, [site])
    ingest(store, [replace(site, line=5, via=())])
    assert [(5, ["crewai", "openai"])] == rows(store, "SELECT line, via FROM sites")


def test_an_exchange_waits_for_its_attempt(store: Store) -> None:
    """An exchange that comes first is kept aside and is no call until its attempt is there."""
    ingest(store, [exchange("c")])
    assert rows(store, "FROM calls") == []
    ingest(store, [attempt("c")])
    assert rows(store, "SELECT call_id, cost_musd FROM calls") == [("c", 350)]
    assert rows(store, "FROM waiting_exchanges") == []


def test_an_exchange_that_comes_again_waits_no_more(store: Store) -> None:
    """An exchange that waited, and comes once more together with its attempt, leaves nothing waiting and counts."""
    ingest(store, [exchange("c", finish_reason="length")])
    ingest(store, [attempt("c"), exchange("c")])
    assert rows(store, "SELECT finish_reason FROM attempts") == [("stop",)]
    assert rows(store, "FROM waiting_exchanges") == []


def test_an_exchange_that_fits_no_attempt_does_not_wait(store: Store) -> None:
    """A value that no column takes is refused when it comes, not when its attempt does."""
    with pytest.raises((OverflowError, ValueError)):
        ingest(store, [exchange("c", input_tokens=2**70)])
    assert rows(store, "FROM waiting_exchanges") == []


@pytest.mark.parametrize("text", ['{"kind":"exchange"}', "no JSON", None])
def test_a_bad_exchange_that_waits_costs_itself_only(store: Store, text: str | None) -> None:
    """An attempt whose exchange waited and can't be used is kept, and the exchange is counted as lost."""
    text = text or json.dumps(r.to_dict(exchange("c", output_tokens=2**70)))
    with store.transaction() as con:
        con.execute("INSERT INTO waiting_exchanges VALUES ('c/1', ?)", [text])
    ingest(store, [attempt("c")])
    assert rows(store, "SELECT attempt_id, parsed, output_tokens FROM attempts") == [("c/1", False, None)]
    assert rows(store, "SELECT lost_kind, reason, count FROM losses") == [("exchange", NOT_STORABLE, 1)]
    assert rows(store, "FROM waiting_exchanges") == []


def test_tool_calls_in_all_their_states(store: Store) -> None:
    """Observed executions have their own times, inferred ones the requests around them, unanswered ones no end."""
    ingest(store, story())
    columns = "tool_id, name, origin, status, offered, started_ns, ended_ns, is_upper_bound"
    assert rows(store, f"SELECT {columns} FROM tool_calls ORDER BY ALL") == [
        ("c1:0", "search", "observed", "ok", True, 7 * SECOND, 7 * SECOND + 1000, False),
        ("c1:1", "buy", "inferred", "error", True, 5 * SECOND, 8 * SECOND, True),
        ("c1:2", "fly", "requested", "unknown", False, 5 * SECOND, None, True),
        ("t1", "search", "observed", "ok", None, 6 * SECOND, 6 * SECOND + 1000, False),
    ]


def test_a_failed_observation_and_a_failed_result(store: Store) -> None:
    """A tool call failed if it raised, or if its result says so."""
    ask = exchange("c1", tool_requests=(asked("search", "x"), asked("search", "y", 1)))
    results = (
        r.ToolResult("c1:0", 9 * SECOND, "unknown"),
        r.ToolResult("c1:1", 9 * SECOND, "error", "ExitCode", "exit code 1"),
    )
    raised = tool_run("t1", 4 * SECOND, status="error", error_type="KeyError", error_message="k")
    ingest(
        store,
        [
            attempt("c1"),
            ask,
            raised,
            tool_run("t2", 5 * SECOND, args="y"),
            attempt("c2", 1, 9),
            exchange("c2", tool_results=results),
        ],
    )
    found = rows(store, "SELECT tool_id, status, error_type, tool_run_id FROM tool_calls ORDER BY ALL")
    assert found == [("c1:0", "error", "KeyError", "t1"), ("c1:1", "error", "ExitCode", "t2")]


def test_the_answer_of_a_dropped_attempt_asks_for_nothing(store: Store) -> None:
    """Of several attempts that asked for tools only the last one's requests count."""
    ingest(store, [attempt("c", 1, 1, end="error"), exchange("c", 1, tool_requests=(asked("a"), asked("b", "y", 1)))])
    assert len(rows(store, "FROM tool_calls")) == 2
    ingest(store, [attempt("c", 2, 3), exchange("c", 2, tool_requests=(asked("b"),))])
    assert rows(store, "SELECT tool_id, name FROM tool_calls") == [("c:0", "b")]


def test_a_rejected_answer_names_who_rejected_it(store: Store) -> None:
    """The call whose answer was turned down points to the call that did."""
    ingest(store, story())
    found = rows(
        store, "SELECT call_id, rejected_by_call_id, rejection_text FROM calls WHERE rejected_by_call_id IS NOT NULL"
    )
    assert found == [("c1", "c2", "no")]


def test_a_run_takes_service_and_harness_from_its_process(store: Store) -> None:
    """A run that names neither has its process's; attributes that are no JSON become text."""
    ingest(store, story())
    found = rows(store, "SELECT service, harness, status, end_rule, attributes->>'odd' FROM runs")
    assert found == [("shop-agent", "abc123", "error", "block exit", "NaN")]


def test_a_run_without_a_start_has_a_place(store: Store) -> None:
    """Calls whose run's start was lost belong to a run of unknown origin, until the start comes after all."""
    ingest(store, [attempt("c", 1, 5), r.RunEnd("run", 9 * SECOND, "ok", "block exit")])
    assert rows(store, "SELECT origin, process_id, started_ns, status FROM runs") == [
        ("unknown", "p", 5 * SECOND, "ok")
    ]
    ingest(store, [START])
    assert rows(store, "SELECT origin, started_ns, status FROM runs") == [("explicit", SECOND, "ok")]


def test_a_vanished_process_ends_its_runs(store: Store) -> None:
    """Open runs of a process that is gone end in error with their last record; ended and imported ones stay."""
    done, imported = replace(START, run_id="done"), replace(START, run_id="i", origin="import")
    ingest(store, [START, attempt("c", 1, 5), done, r.RunEnd("done", 3, "ok", "block exit"), imported])
    close_vanished(store, ["p"])
    found = rows(store, "SELECT run_id, status, end_rule, ended_ns FROM runs ORDER BY ALL")
    assert found == [
        ("done", "ok", "block exit", 3),
        ("i", None, None, None),
        ("run", "error", "process vanished", 6 * SECOND),
    ]


def test_a_vanished_worker_has_not_failed(store: Store) -> None:
    """A pool ends its workers when it is done with them: their open runs end without being called failed."""
    ingest(store, [replace(PROCESS, is_child=True), START, attempt("c", 1, 5)])
    close_vanished(store, ["p"])
    assert rows(store, "SELECT status, end_rule FROM runs") == [("ok", "process vanished")]


def test_nothing_is_kept_of_a_batch_that_fails(store: Store) -> None:
    """A record that its table refuses takes the whole batch back, ledger included."""
    broken = replace(attempt("c2"), chunks="many")  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):
        ingest(store, [START, attempt("c1"), broken], segment=("s", "p", 10, 3, False))
    assert [*rows(store, "FROM runs"), *rows(store, "FROM attempts"), *rows(store, "FROM ingest_ledger")] == []


def test_texts_with_lone_surrogates_are_stored(store: Store) -> None:
    """Text that no encoding takes loses the odd character, not the record."""
    ingest(
        store,
        [
            replace(START, name="a\ud800b", attributes={"k\udfff": "\ud800"}),
            exchange("c", tools_offered=("\ud800",)),
            attempt("c"),
        ],
    )
    assert rows(store, "SELECT name, attributes FROM runs") == [("a?b", '{"k?": "?"}')]


NUMBER = st.integers(0, 30)
ID = st.sampled_from([None, None, "i", "j", "k"])


@given(
    st.lists(st.tuples(NUMBER, st.sampled_from("xy"), st.none() | NUMBER, ID), max_size=8),
    st.lists(st.tuples(NUMBER, st.sampled_from(["x", "y", "z", None]), ID), max_size=8),
    st.randoms(use_true_random=False),
)
def test_pairs_are_possible_and_unique(asked_for: list[Any], ran: list[Any], chance: random.Random) -> None:
    """A request and an execution pair at most once, never before it was asked for, after its answer, nor by two ids."""
    requests = [
        Requested(f"q{n}", (at, f"c{n}", 0), args, None if end is None else at + end, provider_id)
        for n, (at, args, end, provider_id) in enumerate(asked_for)
    ]
    runs = [Executed(f"t{n}", *facts) for n, facts in enumerate(ran)]
    pairs = pair(requests, runs)
    by_id = {request.tool_id: request for request in requests}
    assert len(pairs) == len(set(pairs.values()))
    for run in runs:
        if (found := by_id.get(pairs.get(run.tool_run_id, ""))) is not None:
            assert found.position[0] <= run.started_ns <= (found.answered_ns or run.started_ns)
            if run.provider_id in {q.provider_id for q in requests} - {None}:
                assert run.provider_id == found.provider_id
            else:
                known = {q.args_digest for q in requests}
                assert run.args_digest in (found.args_digest, None) or run.args_digest not in known
    assert pairs == pair(chance.sample(requests, len(requests)), chance.sample(runs, len(runs)))


def test_an_execution_goes_to_the_newest_request() -> None:
    """An identical request that was never carried out does not take the execution of a later one."""
    requests = [Requested("old", (1, "c1", 0), "x", None), Requested("new", (5, "c2", 0), "x", None)]
    assert pair(requests, [Executed("t", 6, "x")]) == {"t": "new"}
    assert pair(requests, [Executed("t", 2, "x"), Executed("u", 6, "x")]) == {"t": "old", "u": "new"}


def test_the_models_id_pairs_before_all_else() -> None:
    """Equal parallel requests get the executions that know their ids; one without an id takes what is left."""
    requests = [Requested(f"t{n}", (1, "c", n), "x", 9, f"id{n}") for n in range(3)]
    runs = [Executed("u", 4, "x", "id0"), Executed("v", 3, "other", "id1"), Executed("w", 2, "x")]
    assert pair(requests, runs) == {"u": "t0", "v": "t1", "w": "t2"}


def test_an_unknown_id_is_none() -> None:
    """An id that no request has tells nothing, and of two executions with one id the last stands for the request."""
    requests = [Requested("t0", (1, "c", 0), "x", 9, "id0"), Requested("t1", (1, "c", 1), "x", 9, None)]
    assert pair(requests, [Executed("u", 2, "x", "elsewhere")]) == {"u": "t1"}
    assert pair(requests, [Executed("u", 2, "x", "id0"), Executed("v", 3, "x", "id0")]) == {"v": "t0"}


def test_arguments_that_differ_by_a_default_still_pair() -> None:
    """Where no request has an execution's arguments, it takes what the exact ones left over."""
    requests = [Requested("a", (1, "c", 0), "x", None), Requested("b", (1, "c", 1), "y", None)]
    assert pair(requests, [Executed("t", 2, "with default"), Executed("u", 3, "y")]) == {"t": "a", "u": "b"}
