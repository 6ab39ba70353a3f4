"""Spans of what nobody declared and nobody saw on the wire: a server's tasks, and a call that only a span tells of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, Exchange, GenAiSpan, Process, Record, RunEnd, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.export.source import Range, Source
from trimtab_tuner.export.spans import spans_of
from trimtab_tuner.local import sidecar_or_store

T0 = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


def call(n: int, after: str | None, *, asks: str = "", answers: str = "") -> Iterator[Record]:
    """A call of the server; ``asks`` is the tool call that it ends in, ``answers`` the one that it goes on from."""
    ids = (f"a{n}", f"c{n}", "server")
    yield Attempt(
        *ids, "p1", 1, T0 + n * SECOND, SECOND // 2, "openai.chat", "POST", "api.openai.com", "/v1/chat/completions",
        "s1", "complete", http_status=200, model="gpt-4o", after_call_id=after, is_branch=bool(after and asks),
    )  # fmt: skip
    yield Exchange(
        *ids, "openai.chat", "gpt-4o", response_model="gpt-4o", finish_reason="tool_calls" if asks else "stop",
        input_tokens=1000, output_tokens=100, usage_source="reported",
        links_in=(answers,) if answers else (), links_out=(asks,) if asks else (),
    )  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[ReadableSpan]:
    """All spans of a server with two tasks of two calls each, and of its call over gRPC, of which only a span tells."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), port=0)
    records = [
        Process("p1", 1, T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted"),
        RunStart("server", "p1", T0, "shop", "process"),
        *call(1, None, asks="tX"), *call(2, "c1", answers="tX"),
        *call(3, "c2", asks="tY"), *call(4, "c3", answers="tY"),
        GenAiSpan(
            "e" * 32, "f" * 16, "server", "p1", "call", "chat", "chat", T0 + 60 * SECOND, SECOND, "grpc",
            provider="gcp.vertex_ai", model="gemini-2.5-pro", input_tokens=10, output_tokens=1,
        ),
        RunEnd("server", T0 + 90 * SECOND, "ok", "process exit"),
    ]  # fmt: skip
    with Store.open(settings.store_path) as store:
        ingest(store, records)
    with sidecar_or_store(settings) as client:
        source = Source(client, Range())
        return [span for portion in source.portions() for span in spans_of(portion, source)]


def named(spans: list[ReadableSpan], start: str) -> list[ReadableSpan]:
    """Those whose name begins so."""
    return [span for span in spans if span.name.startswith(start)]


def test_each_task_of_a_server_is_a_trace(exported: list[ReadableSpan]) -> None:
    """A rebuilt run has a trace of its own with itself as the root, and a link to the run of its process."""
    server, *tasks = named(exported, "invoke_agent")
    assert ["process", "rebuilt", "rebuilt"] == [(s.attributes or {})["trimtab.run.origin"] for s in (server, *tasks)]
    assert [None, None] == [task.parent for task in tasks]
    assert 3 == len({span.context.trace_id for span in (server, *tasks)})
    assert [[server.context], [server.context]] == [[link.context for link in task.links] for task in tasks]
    assert () == tuple(server.links)
    roots = {span.context.trace_id: span.context.span_id for span in (server, *tasks)}
    calls = named(exported, "chat")
    assert 5 == len(calls)
    assert all(c.parent is not None and c.parent.span_id == roots[c.context.trace_id] for c in calls)


def test_a_call_of_which_only_a_span_tells_has_no_request(exported: list[ReadableSpan]) -> None:
    """It is one span without a request below it, and no convention's attribute is there with nothing in it."""
    (call,) = [span for span in named(exported, "chat") if (span.attributes or {})["trimtab.call.api"] == "otel"]
    assert {"POST"} == {s.name for s in exported if not s.name.startswith(("chat", "invoke_agent"))}
    assert 4 == len(named(exported, "POST"))
    assert "server.address" not in (call.attributes or {})
    empty = {key for span in exported for key, value in (span.attributes or {}).items() if value == ""}
    assert set() == {key for key in empty if not key.startswith("trimtab.")}


def test_calls_name_their_conversation(exported: list[ReadableSpan]) -> None:
    """Calls that continue each other carry one conversation's id, and so does the run that was rebuilt of them."""
    conversations: dict[int, set[object]] = {}
    tasks = [span for span in exported if span.links]
    assert 2 == len(tasks)
    for span in (*tasks, *named(exported, "chat gpt-4o")):
        conversation = (span.attributes or {}).get("gen_ai.conversation.id")
        conversations.setdefault(span.context.trace_id, set()).add(conversation)
    assert [{"c1"}, {"c3"}] == [conversations[task.context.trace_id] for task in tasks]
