"""The hook on httpx and httpx2: everything is captured once, and the agent notices nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import trimtab
from trimtab_tracer.records import Attempt, Exchange, HttpSpan
from trimtab_tuner.provider import Provider

Recorded = Callable[[type], list[Any]]
ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


_opened: list[Any] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Closes what a test opened: the garbage collector may take a socket before the client that would close it."""
    yield
    while _opened:
        _opened.pop().close()


def client(provider: Provider, **options: Any) -> openai.OpenAI:
    _opened.append(openai.OpenAI(base_url=provider.url + "/v1", api_key="none", **options))
    api: openai.OpenAI = _opened[-1]
    return api


def test_call_is_one_attempt_with_its_usage(recorded: Recorded, serve: Any) -> None:
    """A plain call leaves one attempt and one exchange that agree with what the provider sent."""
    provider = serve(
        {"rules": [{"text": "hello", "usage": {"input_tokens": 9, "cached_tokens": 4, "output_tokens": 3}}]}
    )
    answer = client(provider).chat.completions.create(**ASK)
    (attempt,), (exchange,), (entry,) = recorded(Attempt), recorded(Exchange), provider.log.entries
    assert "hello" == answer.choices[0].message.content
    assert (200, "complete", "openai.chat", "gpt-4o") == (attempt.http_status, attempt.end, attempt.api, attempt.model)
    assert (entry.body_digest, entry.request_id) == (attempt.body_digest, attempt.request_id)
    assert (9, 4, 3) == (exchange.input_tokens, exchange.cache_read_tokens, exchange.output_tokens)
    assert attempt.usage_fragment is not None
    assert '"prompt_tokens"' in attempt.usage_fragment


def test_secret_in_a_name_is_not_kept(recorded: Recorded, serve: Any) -> None:
    """A key where a model's name belongs goes to the provider, and nowhere else."""
    key = "sk-proj-" + "Qz7a" * 6
    provider = serve({})
    client(provider).chat.completions.create(**{**ASK, "model": f"gpt-4o:{key}"})
    (attempt,), (entry,) = recorded(Attempt), provider.log.entries
    assert (f"gpt-4o:{key}", "gpt-4o:[REDACTED]") == (entry.body["model"], attempt.model)


def test_retried_call_is_one_call(recorded: Recorded, serve: Any) -> None:
    """429 and then 200 are two attempts of one call, with the wait between them."""
    provider = serve({"rules": [{"text": "ok", "fault": {"status": 429, "retry_after_ms": 80, "times": 1}}]})
    client(provider).chat.completions.create(**ASK)
    first, second = recorded(Attempt)
    assert first.call_id == second.call_id
    assert [(1, 429, 0), (2, 200, 1)] == [(a.number, a.http_status, a.sdk_retry) for a in (first, second)]
    assert second.ts_ns - (first.ts_ns + first.duration_ns) >= 80e6
    assert 0.08 == first.retry_after_s


def test_same_question_twice_is_two_calls(recorded: Recorded, serve: Any) -> None:
    """An identical body that is no retry of the SDK starts a call of its own."""
    provider = serve({})
    for _ in range(2):
        client(provider).chat.completions.create(**ASK)
    assert 2 == len({a.call_id for a in recorded(Attempt)})


def test_stream_has_first_token_time_usage_and_end(recorded: Recorded, serve: Any) -> None:
    """A stream of 600 chunks reaches the caller whole and is recorded with time to first token and usage."""
    provider = serve({"rules": [{"words": 600, "chunks": 600, "chunk_delay_s": 0.0005}]})
    stream = client(provider).chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    parts = [c for c in stream if c.choices and c.choices[0].delta.content]
    (attempt,), (exchange,) = recorded(Attempt), recorded(Exchange)
    assert 600 == len(parts)
    assert ("complete", True) == (attempt.end, attempt.stream)
    assert 0 < attempt.ttft_ns < attempt.duration_ns / 2
    assert provider.log.entries[0].usage["output_tokens"] == exchange.output_tokens


def test_stream_left_early_is_abandoned(recorded: Recorded, serve: Any) -> None:
    """A stream closed before its end says so, and its connection is released."""
    provider = serve({"rules": [{"words": 200, "chunks": 200, "chunk_delay_s": 0.002}]})
    with client(provider).chat.completions.create(**ASK, stream=True) as stream:
        next(iter(stream))
    assert ["abandoned"] == [a.end for a in recorded(Attempt)]


def test_stream_dropped_without_closing_is_recorded_when_collected(recorded: Recorded, serve: Any) -> None:
    """An iterator that the agent forgets is recorded by the garbage collector's visit at the latest."""
    provider = serve({"rules": [{"words": 50, "chunks": 50, "chunk_delay_s": 0.002}]})
    with (
        httpx2.Client() as http,
        http.stream("POST", provider.url + "/v1/chat/completions", json={**ASK, "stream": True}) as r,
    ):
        iterator = r.iter_raw()
        next(iterator)
        del iterator
        gc.collect()
        assert ["abandoned"] == [a.end for a in recorded(Attempt)]


def test_drop_mid_stream_raises_as_without_us(recorded: Recorded, serve: Any) -> None:
    """A connection lost inside a stream raises the same exception, and the attempt names it."""
    provider = serve({"rules": [{"words": 50, "fault": {"kind": "drop_mid_stream", "after_chunks": 5}}]})
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        list(client(provider, max_retries=0).chat.completions.create(**ASK, stream=True))
    (attempt,) = recorded(Attempt)
    assert ("error", 200) == (attempt.end, attempt.http_status)
    assert "RemoteProtocolError" in attempt.error_type


def test_timeout_is_recorded_with_the_limit_in_force(recorded: Recorded, serve: Any) -> None:
    """A read timeout is an attempt without status, with the timeout that was set."""
    provider = serve({"rules": [{"text": "late", "delay_s": 2}]})
    with pytest.raises(openai.APITimeoutError):
        client(provider, max_retries=0, timeout=0.1).chat.completions.create(**ASK)
    (attempt,) = recorded(Attempt)
    assert (None, "error", 0.1, 0) == (attempt.http_status, attempt.end, attempt.timeout_s, attempt.max_retries)
    assert attempt.error_type.endswith("ReadTimeout")


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_both_libraries_sync_and_async(recorded: Recorded, serve: Any, module: Any) -> None:
    """httpx and its fork are hooked alike, sync and async, read and streamed."""
    url = serve({}).url + "/v1/chat/completions"

    async def ask() -> None:
        async with module.AsyncClient() as http:
            await http.post(url, json=ASK)
            async with http.stream("POST", url, json={**ASK, "stream": True}) as response:
                assert [line async for line in response.aiter_lines()]

    with module.Client() as http:
        http.post(url, json=ASK)
        with http.stream("POST", url, json={**ASK, "stream": True}) as response:
            assert list(response.iter_lines())
    asyncio.run(ask())
    attempts = recorded(Attempt)
    assert [("complete", False), ("complete", True)] * 2 == [(a.end, a.stream) for a in attempts]
    assert 4 == len({a.call_id for a in attempts})


def test_compressed_answers_are_read(recorded: Recorded, serve: Any) -> None:
    """gzip on the wire changes nothing for the caller and hides nothing from us."""
    provider = serve({"gzip": True, "rules": [{"text": "one two three four"}]})
    api = client(provider)
    api.chat.completions.create(**ASK)
    list(api.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    plain, streamed = recorded(Exchange)
    assert (plain.output_tokens, "stop") == (streamed.output_tokens, streamed.finish_reason)
    assert plain.output_digest == streamed.output_digest
    assert ["complete", "complete"] == [a.end for a in recorded(Attempt)]


def test_generator_body_is_left_alone(recorded: Recorded, serve: Any) -> None:
    """A body that can be read only once reaches the provider whole; we know the attempt and not its text."""
    provider = serve({})
    with httpx2.Client() as http:
        parts = iter([b'{"model": "gpt-4o", ', b'"messages": [{"role": "user", "content": "hi"}]}'])
        response = http.post(provider.url + "/v1/chat/completions", content=parts)
    (attempt,) = recorded(Attempt)
    assert (200, ASK) == (response.status_code, provider.log.entries[0].body)
    assert (None, 200) == (attempt.body_digest, attempt.http_status)


def test_path_that_merely_looks_alike_is_no_call(recorded: Recorded, serve: Any) -> None:
    """Another service's /responses is not an LLM call: its body names no model."""
    provider = serve({})
    with httpx2.Client() as http:
        http.post(provider.url + "/surveys/7/responses", json={"answers": [1, 2]})
    assert [] == recorded(Attempt)
    assert 1 == len(recorded(HttpSpan))


def test_client_inside_a_transport_is_not_a_second_call(recorded: Recorded, serve: Any) -> None:
    """A transport that forwards through another client makes one attempt, not two."""
    provider = serve({})

    class Forwarding(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            with httpx2.Client() as inner:
                answer = inner.post(
                    str(request.url), content=request.content, headers={"content-type": "application/json"}
                )
            return httpx2.Response(answer.status_code, content=answer.content)

    with httpx2.Client(transport=Forwarding()) as http:
        http.post(provider.url + "/v1/chat/completions", json=ASK)
    assert (1, 1) == (len(recorded(Attempt)), len(provider.log.entries))


def test_hook_that_raises_for_a_status_still_tells_it(recorded: Recorded, serve: Any) -> None:
    """A user's event hook may raise inside send: the attempt keeps the status."""
    provider = serve({"rules": [{"fault": {"status": 503}}]})
    with (
        httpx2.Client(event_hooks={"response": [lambda r: r.raise_for_status()]}) as http,
        pytest.raises(httpx2.HTTPStatusError),
    ):
        http.post(provider.url + "/v1/chat/completions", json=ASK)
    assert [(503, "error")] == [(a.http_status, a.end) for a in recorded(Attempt)]


def test_cancelled_call_is_recorded_and_stays_cancelled(recorded: Recorded, serve: Any) -> None:
    """Cancellation passes through the hook untouched."""
    provider = serve({"rules": [{"text": "late", "delay_s": 5}]})

    async def ask() -> None:
        async with httpx2.AsyncClient() as http:
            await asyncio.wait_for(http.post(provider.url + "/v1/chat/completions", json=ASK), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    (attempt,) = recorded(Attempt)
    assert ("error", "asyncio.exceptions.CancelledError") == (attempt.end, attempt.error_type)


def test_client_built_before_is_captured(serve: Any, tmp_path: Any) -> None:
    """instrument() reaches clients that exist already, and uninstrument() lets go of them."""
    provider = serve({})
    api = anthropic.Anthropic(base_url=provider.url, api_key="none")
    _opened.append(api)
    ask: Any = {"model": "claude-sonnet-5", "max_tokens": 50, "messages": ASK["messages"]}
    before = httpx2.Client.send
    trimtab.instrument(home=tmp_path)
    api.messages.create(**ask)
    trimtab.uninstrument()
    api.messages.create(**ask)
    assert httpx2.Client.send is before
    assert 1 == sum(s.read_text().count('"kind":"attempt"') for s in (tmp_path / "spool").iterdir())
