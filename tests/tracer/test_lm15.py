"""The hook on lm15, DSPy's HTTP client over plain sockets: captured like any other, and the agent notices nothing."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm15.transports import (
    ConnectError,
    ReadError,
    ReadTimeout,
    StdlibAsyncTransport,
    StdlibTransport,
    TransportError,
    TransportRequest,
)

import trimtab
from trimtab_tracer.instrument import lm15
from trimtab_tracer.records import Attempt, CallDecisions, Exchange
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tuner.provider import Provider

Recorded = Callable[[type], list[Any]]
ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
STREAM: Any = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


def request(url: str, body: Any, **options: Any) -> TransportRequest:
    headers = [("Content-Type", "application/json"), ("Accept-Encoding", "gzip")]
    return TransportRequest("POST", url + "/v1/chat/completions", headers, json.dumps(body).encode(), **options)


def sync(url: str, body: Any, **options: Any) -> bytes:
    """A body, read by the blocking transport."""
    with StdlibTransport(trust_env=False) as transport, transport.stream(request(url, body, **options)) as response:
        return response.read()


def awaited(url: str, body: Any, **options: Any) -> bytes:
    """The same, awaited."""

    async def ask() -> bytes:
        sent = request(url, body, **options)
        async with StdlibAsyncTransport(trust_env=False) as transport, transport.stream(sent) as response:
            return await response.read()

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [sync, awaited])


@both
def test_call_is_one_attempt_with_its_usage(recorded: Recorded, serve: Any, ask: Any) -> None:
    """A plain call leaves one attempt and one exchange that agree with what the provider sent; it is no stream."""
    provider = serve({"rules": [{"text": "hello", "usage": {"input_tokens": 9, "output_tokens": 3}}]})
    body = ask(provider.url, ASK, read_timeout=7.0)
    (attempt,), (exchange,), (entry,) = recorded(Attempt), recorded(Exchange), provider.log.entries
    assert "hello" == json.loads(body)["choices"][0]["message"]["content"]
    assert (200, "complete", "openai.chat", "gpt-4o") == (attempt.http_status, attempt.end, attempt.api, attempt.model)
    assert (entry.body_digest, entry.request_id) == (attempt.body_digest, attempt.request_id)
    assert (False, len(body), 7.0) == (attempt.stream, attempt.response_bytes, attempt.timeout_s)
    assert (9, 3) == (exchange.input_tokens, exchange.output_tokens)
    assert provider.url.endswith(attempt.host)


@both
@pytest.mark.parametrize("compressed", [False, True])
def test_stream_is_captured_whole(recorded: Recorded, serve: Any, ask: Any, compressed: bool) -> None:
    """A stream reaches the caller and us, with time to first token, usage and end, also where it came compressed."""
    provider = serve({"gzip": compressed, "rules": [{"words": 40, "chunks": 40, "chunk_delay_s": 0.001}]})
    body = ask(provider.url, STREAM)
    (attempt,), (exchange,), (entry,) = recorded(Attempt), recorded(Exchange), provider.log.entries
    assert body.endswith(b"data: [DONE]\n\n")
    assert (len(body), "complete", True) == (attempt.response_bytes, attempt.end, attempt.stream)
    assert 0 < attempt.ttft_ns < attempt.duration_ns
    assert (entry.usage["output_tokens"], "stop") == (exchange.output_tokens, exchange.finish_reason)


@both
def test_refused_call_tells_why(recorded: Recorded, serve: Any, ask: Any) -> None:
    """A status is an answer, with the provider's words."""
    ask(serve({"rules": [{"fault": {"status": 429, "retry_after_ms": 80}}]}).url, ASK)
    (attempt,), (exchange,) = recorded(Attempt), recorded(Exchange)
    assert (429, "complete", 0.08) == (attempt.http_status, attempt.end, attempt.retry_after_s)
    assert "rate_limit_exceeded" == exchange.provider_error_code


@both
@pytest.mark.parametrize(
    ("rule", "error", "status"),
    [
        ({"text": "late", "delay_s": 5}, ReadTimeout, None),
        ({"words": 50, "chunks": 50, "chunk_delay_s": 3}, ReadTimeout, 200),
        ({"words": 50, "fault": {"kind": "drop_mid_stream", "after_chunks": 5}}, TransportError, 200),
        ({"fault": "drop"}, ReadError, None),
    ],
)
def test_failure_raises_as_without_us(
    recorded: Recorded, serve: Any, ask: Any, rule: dict[str, Any], error: type[Exception], status: int | None
) -> None:
    """What breaks raises lm15's own exception, before the answer and inside it, and the attempt names it."""
    with pytest.raises(error):
        ask(serve({"rules": [rule]}).url, STREAM, read_timeout=0.8)
    (attempt,) = recorded(Attempt)
    assert ("error", status) == (attempt.end, attempt.http_status)
    assert attempt.error_type.startswith("lm15.transports._exceptions.")


@both
def test_failed_connection_is_an_attempt(recorded: Recorded, ask: Any) -> None:
    """A host that does not answer is an attempt without a status."""
    with pytest.raises(ConnectError):
        ask("http://127.0.0.1:9", ASK)
    assert [(None, "error")] == [(a.http_status, a.end) for a in recorded(Attempt)]


def test_stream_left_early_is_abandoned(recorded: Recorded, serve: Any) -> None:
    """A stream that is closed, or forgotten, before its end says so; one without its end is not waited for."""
    url = serve({"rules": [{"words": 200, "chunks": 200, "chunk_delay_s": 0.002}]}).url

    async def leave() -> None:
        async with StdlibAsyncTransport(trust_env=False) as transport, transport.stream(request(url, STREAM)) as answer:
            async for _ in answer:
                break

    with StdlibTransport(trust_env=False) as transport:
        with transport.stream(request(url, STREAM)) as response:
            next(response.iter_lines())
        forgotten = transport.stream(request(url, STREAM))
        next(iter(forgotten))
        del forgotten
        gc.collect()
    asyncio.run(leave())
    assert ["abandoned"] * 3 == [a.end for a in recorded(Attempt)]


def test_cancelled_call_is_recorded_and_stays_cancelled(recorded: Recorded, serve: Any) -> None:
    """Cancellation passes through the hook untouched."""
    url = serve({"rules": [{"words": 50, "chunks": 50, "chunk_delay_s": 0.3}]}).url

    async def ask() -> None:
        transport = StdlibAsyncTransport(trust_env=False)
        async with transport, asyncio.timeout(0.2), transport.stream(request(url, STREAM)) as response:
            await response.read()

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    assert [("error", "asyncio.exceptions.CancelledError")] == [(a.end, a.error_type) for a in recorded(Attempt)]


def test_connection_is_used_again(recorded: Recorded, serve: Any) -> None:
    """A body that was read gives its connection back, as without us."""
    url = serve({}).url
    with StdlibTransport(trust_env=False) as transport:
        for _ in range(3):
            with transport.stream(request(url, ASK)) as response:
                response.read()
        assert {"idle": 1, "in_use": 0, "total_opened": 1}.items() <= transport.pool_stats().items()
    assert 3 == len({a.call_id for a in recorded(Attempt)})


def test_policy_leaves_these_calls_alone(serve: Any, publish: Any, tmp_path: Path, strict: None) -> None:
    """A rule about the model does not touch a call over lm15: the code's own value is sent, and recorded as such."""
    provider: Provider = serve({})
    publish(tmp_path, {"knob": "model", "value": "other"})
    trimtab.instrument(home=tmp_path, flush_interval_s=0.001)
    sync(provider.url, ASK)
    awaited(provider.url, ASK)
    trimtab.uninstrument()
    assert ["gpt-4o"] * 2 == [entry.body["model"] for entry in provider.log.entries]
    lines = [line.record for path in list_segments(tmp_path / "spool") for line in read_segment(path)]
    decided = [d for r in lines if isinstance(r, CallDecisions) for d in r.decisions()]
    assert [("gpt-4o", "code")] * 2 == [(d.value, d.source) for d in decided if d.knob == "model"]


def test_client_built_before_is_captured_and_let_go_of(serve: Any, tmp_path: Path, strict: None) -> None:
    """instrument() reaches transports that exist already, and uninstrument() restores both classes."""
    url = serve({}).url
    before = StdlibTransport.stream, StdlibAsyncTransport._do_stream
    with StdlibTransport(trust_env=False) as transport:
        trimtab.instrument(home=tmp_path)
        with transport.stream(request(url, ASK)) as response:
            response.read()
        trimtab.uninstrument()
        with transport.stream(request(url, ASK)) as response:
            response.read()
    assert before == (StdlibTransport.stream, StdlibAsyncTransport._do_stream)
    assert 1 == sum(s.read_text().count('"kind":"attempt"') for s in (tmp_path / "spool").iterdir())


def test_attempt_survives_a_response_that_is_another(
    recorded: Recorded, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a response not as we know it, the agent would read its body and we record the attempt without it."""
    monkeypatch.setenv("TRIMTAB_STRICT", "0")
    monkeypatch.setattr(lm15, "Told", None)
    assert json.loads(sync(serve({"rules": [{"text": "hello"}]}).url, ASK))["choices"]
    assert [(200, "abandoned", 0)] == [(a.http_status, a.end, a.response_bytes) for a in recorded(Attempt)]
