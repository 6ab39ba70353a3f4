"""Spans and attempts of the same calls become one row each, in whatever order and batches they arrive."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer import records as r
from trimtab_tracer.ingest import ingest
from trimtab_tracer.prices import PriceList
from trimtab_tracer.reprice import reprice
from trimtab_tracer.setting_values import PriceOverride
from trimtab_tracer.span_calls import MAX_STRETCHES, stretches
from trimtab_tracer.store import Store

SECOND = 10**9
USAGE = {"input_tokens": 100, "output_tokens": 10}
START = r.RunStart("run", "p", SECOND, "buy", "explicit")


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
    return {
        name: con.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in tables if name != "migrations"
    }


def rows(store: Store, sql: str) -> list[Any]:
    """What a query gives."""
    return store.cursor().execute(sql).fetchall()


def attempt(call: str, start: float = 1, number: int = 1, **more: Any) -> r.Attempt:
    """An attempt of one second that began ``start`` seconds after the epoch."""
    ids = (f"{call}/{number}", call, "run", "p", number, int(start * SECOND), SECOND)
    wire = ("openai.chat", "POST", "api.openai.com", "/v1/chat/completions", "site")
    return r.Attempt(*ids, *wire, **{"end": "complete", "http_status": 200, "model": "gpt-4o"} | more)


def exchange(call: str, number: int = 1, **more: Any) -> r.Exchange:
    """What that attempt said: 100 tokens in, 10 out, which is 350 micro-USD."""
    said = USAGE | {"usage_source": "reported", "finish_reason": "stop"} | more
    return r.Exchange(f"{call}/{number}", call, "run", "openai.chat", **{"model": "gpt-4o"} | said)


def span(key: str, start: float = 0.9, length: float = 1.2, **more: Any) -> r.GenAiSpan:
    """A call span around an attempt that began at second 1, on a gpt-4o, with that attempt's tokens."""
    said = {"model": "gpt-4o", "provider": "openai", "subject": "call", "operation": "chat", "name": f"chat {key}"}
    facts = {"run_id": "run", "process_id": "p", "scope": "s", "trace_id": "t"} | said | USAGE | more
    return r.GenAiSpan(span_id=key, ts_ns=int(start * SECOND), duration_ns=int(length * SECOND), **facts)


def joins(store: Store) -> list[tuple[str, str, str]]:
    """Span, call and rule."""
    return rows(store, "SELECT span_id, call_id, joined_by FROM gen_ai_spans WHERE subject = 'call' ORDER BY span_id")


def story() -> list[r.Record]:
    """Calls seen by hook and spans in every combination, calls seen by spans alone, and tools seen twice."""
    told = {"input_tokens": None, "output_tokens": None}
    return [
        r.Process("p", 77, SECOND, "shop-agent", "a.py", "/", "3.11", "0.1", "full", "boot"),
        START,
        r.Site("site", "a.py", "main", 3, 3, "client.create()"),
        # c1: a native span by its ids, a third party's around it, a framework's around both
        attempt("c1", 1, trace_id="t", span_id="native", request_id="req1"),
        exchange("c1", response_id="msg1"),
        span("frame", 0.7, 1.5),
        span("third", 0.8, 1.4, response_id="msg1", parent_span_id="frame"),
        span("native", 0.9, 1.2, response_id="msg1", request_id="req1", parent_span_id="third"),
        # c2: a retried call; one span by parentage around both attempts, one by its tokens
        attempt("c2", 11, http_status=429, trace_id="t", span_id="retried"),
        attempt("c2", 14, 2, trace_id="t", span_id="retried"),
        exchange("c2", 2, response_id="chatcmpl-2"),
        span("retried", 10.9, 5, **told),
        span("counted", 13.9, 1.2, trace_id="another"),
        # a call over gRPC: a framework's span, and the SDK's inside it
        span("outer", 20, 3, parent_span_id="agent", **told),
        span(
            "inner", 20.1, 2, parent_span_id="outer", response_id="x1", provider="x_ai", model="grok-4", site_id="site"
        ),
        span("agent", 19, 9, subject="agent", operation="invoke_agent", agent_name="buyer"),
        # two calls at once over WebSockets that look alike, and one that failed
        span("left", 30, 2, response_id="l"),
        span("right", 30, 2, response_id="r"),
        span("failed", 40, 1, status="error", error_type="TimeoutError", trace_id="alone", **told),
        # a tool as it ran, as its span tells, and one that only a span tells of
        exchange("c1", response_id="msg1", tool_requests=(r.ToolRequest(0, "call_1", "search", "x", True),)),
        r.ToolRun("tool", "run", "p", "search", 3 * SECOND, SECOND, "ok", args_digest="x", site_id="site"),
        r.ToolRun(
            *("ttool", "run", "p", "search", 3 * SECOND - 5, SECOND + 9, "ok"), provider_id="call_1", span_scope="s"
        ),
        r.ToolRun("tmcp", "run", "p", "search", 3 * SECOND - 2, SECOND + 5, "unknown", span_scope="mcp"),
        r.ToolRun("tlone", "run", "p", "fly", 7 * SECOND, SECOND, "error", span_scope="s"),
        r.RunEnd("run", 50 * SECOND, "ok", "block exit"),
    ]


@pytest.fixture(scope="module")
def expected(opened: Store) -> dict[str, list[Any]]:
    """The store after the story was ingested as it happened."""
    ingest(emptied(opened), story())
    return dump(opened)


@given(st.integers(0, 10**9), st.integers(1, 9), st.booleans())
@settings(max_examples=6)
def test_any_order_and_any_batches(
    opened: Store, expected: dict[str, list[Any]], seed: int, batches: int, again: bool
) -> None:
    """However attempts, exchanges and spans are shuffled, split and repeated, the store ends up the same."""
    chance = random.Random(seed)
    records = story()
    first = next(n for n, record in enumerate(records) if isinstance(record, r.Exchange))
    del records[first]  # of two exchanges of one attempt the later one counts, which is another rule
    chance.shuffle(records)
    emptied(opened)
    for at in range(batches):
        ingest(opened, records[at::batches])
    if again:
        ingest(opened, chance.sample(records, 8))
    assert expected == dump(opened)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 20)).map(lambda t: (t[0], t[0] + t[1])), max_size=40))
def test_stretches_cover_and_leave_the_widest_gaps(times: list[tuple[int, int]]) -> None:
    """Every time lies in one stretch; stretches are in order, apart, few, and begin and end with a time."""
    found = stretches(times)
    assert len(found) <= MAX_STRETCHES
    assert all(any(a <= start and end <= b for a, b in found) for start, end in times)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    assert {a for a, _ in found} <= {start for start, _ in times}
    assert {b for _, b in found} <= {end for _, end in times}


SMALL = st.sampled_from([None, "x", "y"])
DRAWN = st.tuples(
    *(st.booleans(), st.integers(0, 12), st.integers(0, 3), SMALL, SMALL),
    *(st.sampled_from([None, *"0123456789"]), st.sampled_from([None, 100]), st.sampled_from("pq")),
)


@given(st.lists(DRAWN, min_size=2, max_size=10), st.randoms(use_true_random=False), st.integers(2, 5))
@settings(max_examples=3)
def test_any_set_in_any_batches(opened: Store, drawn: list[Any], chance: random.Random, batches: int) -> None:
    """Whatever overlaps, nests and shares ids, one batch and several shuffled ones give the same rows, and each call
    that a span belongs to is there."""
    records: list[r.Record] = [START]
    for n, (is_span, start, length, response_id, request_id, other, tokens, process) in enumerate(drawn):
        if is_span:
            facts = {"response_id": response_id, "request_id": request_id, "input_tokens": tokens}
            records.append(span(str(n), start, length, parent_span_id=other, process_id=process, **facts))
        else:
            sent = attempt(f"c{n}", start, request_id=request_id, trace_id="t", span_id=other)
            source = "estimated" if length == 1 else "reported"
            said = exchange(f"c{n}", response_id=response_id, input_tokens=tokens, usage_source=source)
            records += [replace(sent, duration_ns=length * SECOND, process_id=process), said]
    ingest(emptied(opened), records)
    whole = dump(opened)
    chance.shuffle(records)
    emptied(opened)
    for at in range(batches):
        ingest(opened, records[at::batches])
    assert whole == dump(opened)
    assert [] == rows(opened, "SELECT span_id FROM gen_ai_spans ANTI JOIN calls USING (call_id)")
    lone = rows(opened, "SELECT span_key FROM gen_ai_spans WHERE joined_by = 'alone' ORDER BY ALL")
    assert lone == rows(opened, "SELECT call_id FROM calls WHERE api = 'otel' ORDER BY ALL")


def test_the_story(store: Store) -> None:
    """Two calls of the hook, and one call for each that only spans tell of."""
    ingest(store, story())
    assert [
        ("counted", "c2", "containment"),
        ("failed", "alonefailed", "alone"),
        ("frame", "c1", "parentage"),
        ("inner", "tinner", "alone"),
        ("left", "tleft", "alone"),
        ("native", "c1", "response id"),
        ("outer", "tinner", "parentage"),
        ("retried", "c2", "parentage"),
        ("right", "tright", "alone"),
        ("third", "c1", "response id"),
    ] == joins(store)
    found = "SELECT call_id, api, attempts, input_tokens, status, cost_musd IS NOT NULL FROM calls ORDER BY ALL"
    assert [
        ("alonefailed", "otel", 1, None, "error", False),
        ("c1", "openai.chat", 1, 100, "ok", True),
        ("c2", "openai.chat", 2, 100, "ok", True),
        ("tinner", "otel", 1, 100, "ok", True),
        ("tleft", "otel", 1, 100, "ok", True),
        ("tright", "otel", 1, 100, "ok", True),
    ] == rows(store, found)


def test_a_call_that_only_spans_tell_of(store: Store) -> None:
    """It has the span's site, model, provider, tokens and price, and says that nobody saw its request."""
    ingest(store, [START, span("grpc", host="api.x.ai", provider="x_ai", model="grok-3", site_id="site", stream=True)])
    columns = (
        "run_id, site_id, api, provider, host, model, stream, input_tokens, output_tokens, usage_source, cost_source"
    )
    call = ("run", "site", "otel", "x-ai", "api.x.ai", "grok-3", True, 100, 10, "reported", "estimated")
    assert [call] == rows(store, f"SELECT {columns} FROM calls")
    assert [(450,)] == rows(store, "SELECT cost_musd FROM calls")


@pytest.mark.parametrize(
    ("provider", "model", "priced_by"),
    [
        ("anthropic", "claude-haiku-4-5", "anthropic"),
        ("aws.bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", "aws"),
        ("gcp.gemini", "gemini-2.5-flash", "google"),
        ("mistral_ai", "mistral-large-latest", "mistral"),
        ("someone", "their-model", "someone"),
        (None, "gpt-4o", "openai"),
    ],
)
def test_a_span_without_a_server_is_priced_by_its_provider(
    store: Store, provider: str | None, model: str, priced_by: str
) -> None:
    """The provider's name says whose price list counts; a model that no list has is unknown."""
    ingest(store, [span("x", provider=provider, model=model)])
    ((found, source),) = rows(store, "SELECT provider, cost_source FROM calls")
    assert (priced_by, "unknown" if provider == "someone" else "estimated") == (found, source)


def test_pricing_again_changes_nothing(store: Store) -> None:
    """What only spans tell of costs the same when it is priced again: by the provider that the span named, under each
    name that the price list spells otherwise, with a server or without."""
    models = {
        "aws.bedrock": ("anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock-runtime.us-east-1.amazonaws.com"),
        "azure.ai.inference": ("gpt-4o", "x.services.ai.azure.com"),
        "azure.ai.openai": ("gpt-4o", "x.openai.azure.com"),
        "gcp.gemini": ("gemini-2.5-flash", "generativelanguage.googleapis.com"),
        "gcp.gen_ai": ("gemini-2.5-flash", "10.0.0.1"),
        "gcp.vertex_ai": ("gemini-2.5-pro", "us-central1-aiplatform.googleapis.com"),
        "mistral_ai": ("mistral-large-latest", "api.mistral.ai"),
        "moonshot_ai": ("kimi-k2-0905-preview", "api.moonshot.ai"),
        "x_ai": ("grok-3", "api.x.ai"),
        "openai": ("gpt-4o", "10.0.0.1"),
        "someone": ("their-model", "10.0.0.1"),
    }
    told: list[r.Record] = []
    for number, (provider, (model, host)) in enumerate(models.items()):
        named = {"provider": provider, "model": model}
        told += [span(f"{number}{at}", len(told) * 9 + at, host=host if at else None, **named) for at in (0, 4)]
    ingest(store, [START, *told])
    priced = "SELECT call_id, provider, cost_musd, cost_source FROM {} ORDER BY ALL"
    before = [rows(store, priced.format(table)) for table in ("attempts", "calls")]
    assert 2 == sum(cost is None for *_, cost, _ in before[1])
    assert 0 == reprice(store, PriceList()).changed
    assert 2 == reprice(store, PriceList([PriceOverride("their-model", input=1.0, output=1.0)])).changed
    assert 2 == reprice(store, PriceList()).changed
    assert before == [rows(store, priced.format(table)) for table in ("attempts", "calls")]


def test_the_attempt_comes_later(store: Store) -> None:
    """A span that was alone gives up its call when the attempt arrives, and its tokens are not counted twice."""
    ingest(store, [START, span("s", response_id="msg")])
    assert [("ts", "otel", 100)] == rows(store, "SELECT call_id, api, input_tokens FROM calls")
    ingest(store, [attempt("c")])  # nothing says yet that it is the same
    assert 2 == len(rows(store, "FROM calls"))
    ingest(store, [exchange("c", response_id="msg")])
    assert [("c", "openai.chat", 100)] == rows(store, "SELECT call_id, api, input_tokens FROM calls")
    assert [("c/1",)] == rows(store, "SELECT attempt_id FROM attempts")
    assert [("s", "c", "response id")] == joins(store)


def test_ids_hold_only_for_the_same_time(store: Store) -> None:
    """A server that hands out an id again, minutes later, has answered another call."""
    ingest(
        store, [START, attempt("c"), exchange("c", response_id="chatcmpl-7"), span("s", 90, response_id="chatcmpl-7")]
    )
    assert [("s", "ts", "alone")] == joins(store)


def test_another_process_may_tell_of_it(store: Store) -> None:
    """Ids join across processes and traces; a span inside one that is joined says the same call as that."""
    other = {"process_id": "q", "trace_id": "u"}
    ingest(store, [START, attempt("c"), exchange("c", response_id="m"), span("a", response_id="m", **other)])
    ingest(store, [span("b", 0.95, 1, parent_span_id="a", **other), span("z", 0.95, 1, trace_id="v", process_id="q")])
    assert [("a", "c", "response id"), ("b", "c", "parentage"), ("z", "vz", "alone")] == joins(store)


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({}, "containment"),
        ({"input_tokens": 101}, "alone"),
        ({"model": "gpt-4o-mini"}, "alone"),
        ({"model": None}, "containment"),
        ({"response_model": "gpt-4o", "model": "alias"}, "containment"),
        ({"start": 1.2}, "alone"),
        ({"process_id": "q"}, "alone"),
        ({"response_id": "other"}, "alone"),
    ],
)
def test_containment(store: Store, more: dict[str, Any], rule: str) -> None:
    """Without ids a span is of the attempt within it that has its tokens, its model and its process."""
    ingest(store, [START, attempt("c"), exchange("c", response_id="id"), span("s", **more)])
    assert [rule] == [joined for *_, joined in joins(store)]


def test_estimated_tokens_compare_with_nothing(store: Store) -> None:
    """What we estimated for a stream without usage is not what a span counted."""
    guessed = exchange("c", usage_source="estimated")
    ingest(store, [START, attempt("c"), guessed, span("s"), span("t", input_tokens=None, output_tokens=None)])
    assert [("s", "ts", "alone"), ("t", "c", "containment")] == joins(store)


@pytest.mark.parametrize(
    ("said", "more", "expected"),
    [
        ({"usage_source": "estimated"}, [], ["containment", "c"]),
        ({"usage_source": "estimated"}, [span("frame", 0.8, 1.5)], ["containment", "c"]),
        ({"usage_source": "estimated", "model": "gpt-4o-mini"}, [], ["alone", "ts"]),
        ({"usage_source": "estimated"}, [span("t", 0.8, 1.5, input_tokens=7)], ["alone", "ts"]),
        ({"usage_source": "estimated"}, [attempt("d", 1.1, model="gpt-4o-mini")], ["alone", "ts"]),
        ({"usage_source": "unknown", "input_tokens": None, "output_tokens": None}, [], ["alone", "ts"]),
    ],
)
def test_a_call_whose_tokens_nobody_reported(
    store: Store, said: dict[str, Any], more: list[r.Record], expected: list[str]
) -> None:
    """A span with tokens is of the one call within it whose tokens we estimated, unless that may be another span's."""
    ingest(store, [START, attempt("c"), exchange("c", **said), *more, span("s")])
    assert [expected] == [[rule, call] for key, call, rule in joins(store) if key == "s"]


def test_a_framework_that_tries_two_models(store: Store) -> None:
    """A span around two calls belongs to the last; the first stays a call of its own."""
    ingest(
        store,
        [
            START,
            span("around", 1, 10),
            span("first", 2, 1, parent_span_id="around", status="error"),
            span("second", 5, 2, parent_span_id="around"),
        ],
    )
    assert [("around", "tsecond"), ("first", "tfirst"), ("second", "tsecond")] == [j[:2] for j in joins(store)]


def test_one_id_leads_to_the_others_attempt(store: Store) -> None:
    """A span made afterwards, of the same response as one that was current, is of that one's attempt."""
    current, late = span("s", 0.9, response_id="m"), span("z", 1, 0.5, response_id="m", trace_id="u")
    for records in ([current, late, attempt("c", trace_id="t", span_id="s")], [late, current]):
        ingest(store, [START, *records])
    assert [("s", "c", "parentage"), ("z", "c", "response id")] == joins(store)


def test_the_users_trace_is_kept(store: Store) -> None:
    """Each call can be found in the trace that the user knows, with its parents."""
    ingest(store, story())
    sql = """
        WITH RECURSIVE up AS (
            SELECT span_id, parent_span_id, subject, agent_name FROM gen_ai_spans WHERE call_id = 'tinner'
            UNION
            SELECT s.span_id, s.parent_span_id, s.subject, s.agent_name
            FROM gen_ai_spans s JOIN up ON s.span_id = up.parent_span_id AND s.trace_id = 't'
        )
        SELECT span_id, agent_name FROM up ORDER BY span_id
    """
    assert [("agent", "buyer"), ("inner", None), ("outer", None)] == rows(store, sql)
    assert [("t", "native")] == rows(store, "SELECT trace_id, span_id FROM attempts WHERE call_id = 'c1'")


def test_tools_seen_twice_are_one(store: Store) -> None:
    """The decorator's, the framework's and the MCP client's view of one execution make one tool call."""
    ingest(store, story())
    columns = "tool_id, name, origin, status, site_id, tool_run_id"
    assert [
        ("c1:0", "search", "observed", "ok", "site", "tool"),
        ("tlone", "fly", "observed", "error", None, "tlone"),
    ] == rows(store, f"SELECT {columns} FROM tool_calls ORDER BY ALL")
    same = "SELECT tool_run_id, same_as FROM tool_runs WHERE same_as IS NOT NULL ORDER BY ALL"
    assert [("tmcp", "tool"), ("ttool", "tool")] == rows(store, same)


def test_an_unknown_status_is_what_the_wire_says(store: Store) -> None:
    """An MCP client's span does not know whether the tool failed: its result does."""
    ask = exchange("c1", tool_requests=(r.ToolRequest(0, "i", "search", "x", True),))
    ran = r.ToolRun("t1", "run", "p", "search", 3 * SECOND, SECOND, "unknown", span_scope="mcp")
    answer = exchange("c2", tool_results=(r.ToolResult("c1:0", 8 * SECOND, "error", "ToolError"),))
    for records in ([attempt("c1"), ask, ran], [attempt("c2", 8), answer]):
        ingest(store, [START, *records])
    assert [("observed", "error", "ToolError")] == rows(store, "SELECT origin, status, error_type FROM tool_calls")


def test_a_vanished_process_ends_with_its_last_span(store: Store) -> None:
    """Spans count as signs of life of a run, and a run known from spans only has its place."""
    from trimtab_tracer.ingest import close_vanished

    ingest(store, [replace(START, run_id="other"), span("s", 5, 2, run_id="other"), span("u", 3, run_id="lost")])
    close_vanished(store, ["p"])
    found = rows(store, "SELECT run_id, started_ns, ended_ns FROM runs ORDER BY ALL")
    assert [("lost", 3 * SECOND, int(4.2 * SECOND)), ("other", SECOND, 7 * SECOND)] == found


def test_a_call_has_the_agent_around_it(store: Store) -> None:
    """The innermost agent span open in the call's trace names its agent; where none was, a nested run does."""
    nested = r.RunStart("inner", "p", SECOND, "helper", "explicit", parent_run_id="run")
    site = {"api": "openai.chat", "method": "POST", "host": "h", "path": "/", "site_id": "s", "end": "complete"}
    calls = [
        r.Attempt(name, name, run, "p", 1, at * SECOND, SECOND, trace_id=trace, **site)
        for name, run, at, trace in (("a", "run", 3, "t" * 32), ("b", "inner", 3, None), ("c", "run", 30, "t" * 32))
    ]
    around = r.GenAiSpan("t" * 32, "1" * 16, "run", "p", "agent", "invoke_agent", "x", SECOND, 9 * SECOND, "s")
    inner = replace(around, span_id="2" * 16, agent_name="worker", ts_ns=2 * SECOND, duration_ns=4 * SECOND)
    ingest(store, [START, nested, *calls])
    assert {("a", None), ("b", "helper"), ("c", None)} == set(rows(store, "SELECT call_id, agent FROM call_agents"))
    ingest(store, [replace(around, agent_name="lead"), inner])
    found = set(rows(store, "SELECT call_id, agent, agent_source FROM call_agents"))
    assert {("a", "worker", "span"), ("b", "helper", "run"), ("c", None, None)} == found
