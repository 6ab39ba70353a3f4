"""The hook on aiohttp: its LLM calls are captured like any other, and the agent notices nothing."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp.streams import StreamReader

import trimtab
from trimtab_tracer.instrument import aiohttp_client
from trimtab_tracer.records import Attempt, CallDecisions, Decision, Exchange
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tuner.provider import Provider

Recorded = Callable[[type], list[Any]]
ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
STREAM: Any = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
PATH = "/v1/chat/completions"


def within(provider: Provider, work: Callable[[aiohttp.ClientSession, str], Awaitable[Any]], **options: Any) -> Any:
    """What ``work`` gives in a session of its own; no connection is left in use."""

    async def run() -> Any:
        async with aiohttp.ClientSession(**options) as session:
            given = await work(session, provider.url + PATH)
            assert not session.connector._acquired
            return given

    return asyncio.run(run())


def test_call_is_one_attempt_with_its_usage(recorded: Recorded, serve: Any) -> None:
    """A plain call leaves one attempt and one exchange that agree with what the provider sent; it is no stream."""
    provider = serve(
        {"rules": [{"text": "hello", "usage": {"input_tokens": 9, "cached_tokens": 4, "output_tokens": 3}}]}
    )

    async def ask(session: aiohttp.ClientSession, url: str) -> Any:
        async with session.post(url, json=ASK) as response:
            return await response.json()

    answer = within(provider, ask, timeout=aiohttp.ClientTimeout(total=60, sock_read=7))
    (attempt,), (exchange,), (entry,) = recorded(Attempt), recorded(Exchange), provider.log.entries
    assert "hello" == answer["choices"][0]["message"]["content"]
    assert (200, "complete", "openai.chat", "gpt-4o") == (attempt.http_status, attempt.end, attempt.api, attempt.model)
    assert (entry.body_digest, entry.request_id) == (attempt.body_digest, attempt.request_id)
    assert (False, None, 0, 7) == (attempt.stream, attempt.ttft_ns, attempt.chunks, attempt.timeout_s)
    assert (9, 4, 3) == (exchange.input_tokens, exchange.cache_read_tokens, exchange.output_tokens)
    assert provider.url.endswith(attempt.host)


async def _lines(content: StreamReader) -> bytes:
    return b"".join([line async for line in content])


async def _by_16(content: StreamReader) -> bytes:
    return b"".join([part async for part in content.iter_chunked(16)])


async def _any(content: StreamReader) -> bytes:
    return b"".join([part async for part in content.iter_any()])


async def _chunks(content: StreamReader) -> bytes:
    return b"".join([part async for part, _ in content.iter_chunks()])


async def _events(content: StreamReader) -> bytes:
    parts = []
    while part := await content.readuntil(b"\n\n"):
        parts.append(part)
    return b"".join(parts)


async def _exactly(content: StreamReader) -> bytes:
    parts = []
    try:
        while True:
            parts.append(await content.readexactly(100))
    except asyncio.IncompleteReadError as error:
        return b"".join([*parts, error.partial])


async def _whole(content: StreamReader) -> bytes:
    return await content.read()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("read", [_lines, _by_16, _any, _chunks, _events, _exactly, _whole])
def test_stream_is_captured_however_it_is_read(
    recorded: Recorded, serve: Any, read: Callable[[StreamReader], Awaitable[bytes]], compressed: bool
) -> None:
    """Each way to read gives all bytes to the caller, and to us the same, once, with usage and its end."""
    provider = serve({"gzip": compressed, "rules": [{"words": 40, "chunks": 40, "chunk_delay_s": 0.0002}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> bytes:
        async with session.post(url, json=STREAM) as response:
            assert isinstance(response.content, StreamReader)
            return await read(response.content)

    body = within(provider, ask)
    (attempt,), (exchange,), (entry,) = recorded(Attempt), recorded(Exchange), provider.log.entries
    assert body.endswith(b"data: [DONE]\n\n")
    assert (len(body), "complete", True) == (attempt.response_bytes, attempt.end, attempt.stream)
    assert 0 < attempt.ttft_ns < attempt.duration_ns
    assert (entry.usage["output_tokens"], "stop") == (exchange.output_tokens, exchange.finish_reason)


def test_chunks_are_those_of_the_wire(serve: Any, tmp_path: Path, strict: None) -> None:
    """The caller gets the same chunks with their ends as without us."""
    provider = serve({"rules": [{"words": 30, "chunks": 30, "chunk_delay_s": 0.001}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> list[bool]:
        async with session.post(url, json=STREAM) as response:
            return [end async for _, end in response.content.iter_chunks()]

    bare = within(provider, ask)
    trimtab.instrument(home=tmp_path)
    try:
        traced = within(provider, ask)
    finally:
        trimtab.uninstrument()
    assert sum(bare) == sum(traced) == 34


@pytest.mark.parametrize("by_session", [False, True])
def test_body_left_compressed_is_captured_compressed(recorded: Recorded, serve: Any, by_session: bool) -> None:
    """Where the caller undoes the compression itself, we do so too."""
    provider = serve({"gzip": True, "rules": [{"text": "one two three"}]})
    options = {"auto_decompress": False}

    async def ask(session: aiohttp.ClientSession, url: str) -> bytes:
        async with session.post(url, json=STREAM, **({} if by_session else options)) as response:
            await asyncio.sleep(0.05)  # all of it is here before it is read
            return await response.read()

    body = within(provider, ask, **(options if by_session else {}))
    assert gzip.decompress(body).endswith(b"data: [DONE]\n\n")
    assert ["stop"] == [e.finish_reason for e in recorded(Exchange)]
    assert ["complete"] == [a.end for a in recorded(Attempt)]


def test_stream_left_early_is_abandoned(recorded: Recorded, serve: Any) -> None:
    """A response that is let go of before its end says so."""
    provider = serve({"rules": [{"words": 200, "chunks": 200, "chunk_delay_s": 0.002}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> bytes:
        async with session.post(url, json=STREAM) as response:
            return await response.content.readline()

    assert within(provider, ask).startswith(b"data: ")
    assert [("abandoned", None)] == [(a.end, a.error_type) for a in recorded(Attempt)]


def test_stream_closed_at_its_last_event_is_complete(recorded: Recorded, serve: Any) -> None:
    """A reader that stops at the event which says that all is said has read everything."""
    provider = serve({"rules": [{"words": 20, "chunks": 20}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        response = await session.post(url, json=STREAM)
        while await response.content.readline() != b"data: [DONE]\n":
            pass
        response.close()

    within(provider, ask)
    assert ["complete"] == [a.end for a in recorded(Attempt)]


def test_forgotten_response_is_recorded(recorded: Recorded, serve: Any) -> None:
    """A response that nobody closes is recorded once it has come in and aiohttp lets go of it, too."""
    provider = serve({"rules": [{"words": 50, "chunks": 50, "chunk_delay_s": 0.002}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        response = await session.post(url, json=STREAM)
        await response.content.readline()
        del response
        while session.connector._acquired:  # as long as its body comes in
            await asyncio.sleep(0.01)

    within(provider, ask)
    gc.collect()
    assert ["abandoned"] == [a.end for a in recorded(Attempt)]


def test_body_outlives_its_response(recorded: Recorded, serve: Any) -> None:
    """Whoever keeps only the reader reads everything, and so do we."""
    provider = serve({"rules": [{"text": "one two three"}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> bytes:
        content = (await session.post(url, json=ASK)).content
        await asyncio.sleep(0.05)
        gc.collect()
        return await content.read()

    assert b"one two three" in within(provider, ask)
    assert ["complete"] == [a.end for a in recorded(Attempt)]
    assert ["stop"] == [e.finish_reason for e in recorded(Exchange)]


def test_drop_mid_stream_raises_as_without_us(recorded: Recorded, serve: Any) -> None:
    """A connection lost inside a stream raises what aiohttp raises, and the attempt names it."""
    provider = serve({"rules": [{"words": 50, "fault": {"kind": "drop_mid_stream", "after_chunks": 5}}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(url, json=STREAM) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()

    within(provider, ask)
    (attempt,) = recorded(Attempt)
    assert ("error", 200) == (attempt.end, attempt.http_status)
    assert attempt.error_type.endswith("ClientPayloadError")


def test_refused_call_keeps_status_and_message(recorded: Recorded, serve: Any) -> None:
    """A status is an answer: read it tells why, unread it is complete all the same; raised by aiohttp it is kept."""
    provider = serve({"rules": [{"fault": {"status": 429, "retry_after_ms": 80}}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(url, json=ASK) as response:
            await response.read()
        async with session.post(url, json=ASK) as response:
            with pytest.raises(aiohttp.ClientResponseError):
                response.raise_for_status()
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.post(url, json=ASK, raise_for_status=True)
        assert caught.value.status == 429

    within(provider, ask)
    attempts = recorded(Attempt)
    assert [(429, "complete"), (429, "complete"), (429, "error")] == [(a.http_status, a.end) for a in attempts]
    assert [0.08] * 3 == [a.retry_after_s for a in attempts]
    assert "rate_limit_exceeded" in {e.provider_error_code for e in recorded(Exchange)}


def test_failed_connection_is_an_attempt(recorded: Recorded) -> None:
    """A host that does not answer is an attempt without a status."""

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await session.post("http://127.0.0.1:9" + PATH, json=ASK)

    with pytest.raises(aiohttp.ClientConnectorError):
        asyncio.run(ask())
    (attempt,) = recorded(Attempt)
    assert (None, "error", "127.0.0.1:9") == (attempt.http_status, attempt.end, attempt.host)
    assert attempt.error_type.endswith("ClientConnectorError")


@pytest.mark.parametrize("rule", [{"text": "late", "delay_s": 5}, {"words": 50, "chunks": 50, "chunk_delay_s": 0.2}])
def test_timeout_before_and_inside_the_answer(recorded: Recorded, serve: Any, rule: dict[str, Any]) -> None:
    """A call that takes too long is told with the limit in force, wherever it was."""

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(url, json=STREAM, timeout=aiohttp.ClientTimeout(total=0.3)) as response:
            await response.read()

    with pytest.raises(TimeoutError):
        within(serve({"rules": [rule]}), ask)
    (attempt,) = recorded(Attempt)
    assert ("error", 0.3) == (attempt.end, attempt.timeout_s)
    assert attempt.error_type.endswith("TimeoutError")


@pytest.mark.parametrize("rule", [{"text": "late", "delay_s": 5}, {"words": 50, "chunks": 50, "chunk_delay_s": 0.2}])
def test_cancelled_call_is_recorded_and_stays_cancelled(recorded: Recorded, serve: Any, rule: dict[str, Any]) -> None:
    """Cancellation passes through the hook untouched, before the answer and inside it."""

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        async def call() -> None:
            async with session.post(url, json=STREAM) as response:
                await response.read()

        task = asyncio.create_task(call())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    within(serve({"rules": [rule]}), ask)
    assert [("error", "asyncio.exceptions.CancelledError")] == [(a.end, a.error_type) for a in recorded(Attempt)]


def test_wait_that_is_given_up_and_begun_again_ends_nothing(recorded: Recorded, serve: Any) -> None:
    """A caller who looks at the clock between two parts of a stream still reads all of it."""
    provider = serve({"rules": [{"words": 4, "chunks": 4, "chunk_delay_s": 0.1}]})

    async def ask(session: aiohttp.ClientSession, url: str) -> int:
        given_up = 0
        async with session.post(url, json=STREAM) as response:
            while not response.content.at_eof():
                try:
                    await asyncio.wait_for(response.content.readany(), 0.02)
                except TimeoutError:
                    given_up += 1
        return given_up

    assert within(provider, ask) > 1
    assert [("complete", None)] == [(a.end, a.error_type) for a in recorded(Attempt)]
    assert ["stop"] == [e.finish_reason for e in recorded(Exchange)]


def test_bodies_are_seen_and_never_consumed(recorded: Recorded, serve: Any) -> None:
    """Text, bytes and JSON are known; what can be read only once reaches the provider whole, as an attempt."""
    provider = serve({})
    text = json.dumps(ASK)

    async def parts() -> Any:
        yield text[:20].encode()
        yield text[20:].encode()

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        for body in (text, text.encode(), bytearray(text.encode()), aiohttp.BytesPayload(text.encode()), parts()):
            async with session.post(url, data=body) as response:
                assert response.status == 200
        async with session.request("post", url, json=ASK) as response:
            assert response.status == 200

    within(provider, ask)
    attempts = recorded(Attempt)
    assert [ASK] * 6 == [entry.body for entry in provider.log.entries]
    assert [e.body_digest for e in provider.log.entries][:4] == [a.body_digest for a in attempts][:4]
    assert [None, "gpt-4o"] == [a.model for a in attempts[4:]]


@pytest.mark.parametrize("option", ["json_serialize", "json_serialize_bytes"])
@pytest.mark.parametrize("path", [PATH, "/other"])
def test_json_is_serialised_once(recorded: Recorded, serve: Any, option: str, path: str) -> None:
    """A caller's serializer runs once and reads once, so what can be read only once reaches the provider whole."""
    provider = serve({})
    made: list[str] = []

    def dumps(value: Any) -> Any:
        made.append(json.dumps(value, default=list))
        return made[-1].encode() if option == "json_serialize_bytes" else made[-1]

    async def ask(session: aiohttp.ClientSession, url: str) -> str:
        body = {**ASK, "stop": (word for word in ("a", "b"))}
        async with session.post(url.removesuffix(PATH) + path, json=body) as response:
            return response.request_info.headers["content-type"]

    assert within(provider, ask, **{option: dumps}) == "application/json"
    assert [{**ASK, "stop": ["a", "b"]}] == [json.loads(text) for text in made]
    known = [made[0].encode()] if path == PATH else []
    assert [len(body) for body in known] == [a.request_bytes for a in recorded(Attempt)]
    assert [{**ASK, "stop": ["a", "b"]} if known else None] == [entry.body for entry in provider.log.entries]


def test_what_aiohttp_refuses_is_refused_by_aiohttp(recorded: Recorded) -> None:
    """Arguments that can't be sent raise what they raise without us, and are no attempt."""

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError):
                await session.post("http://127.0.0.1:9" + PATH, json={"model": object()})
            with pytest.raises(aiohttp.InvalidURL):
                await session.post("http:///", json=ASK)
            with pytest.raises(ValueError, match="data and json"):
                await session.post("http://127.0.0.1:9" + PATH, json=ASK, data=b"{}")

    asyncio.run(ask())
    assert [] == recorded(Attempt)


def test_other_requests_are_left_alone(recorded: Recorded, serve: Any) -> None:
    """Requests that are no LLM calls leave nothing."""
    provider = serve({})

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        for sent in (session.get(provider.url + "/v1/models"), session.post(provider.url + "/surveys", json=ASK)):
            async with sent as response:
                await response.read()

    within(provider, ask)
    assert [] == recorded(Attempt)


def test_httpx_over_aiohttp_is_one_attempt(recorded: Recorded, serve: Any) -> None:
    """A client of httpx that sends through aiohttp makes one attempt per request, whole and streamed."""
    provider = serve({})

    async def ask() -> None:
        async with openai.DefaultAioHttpClient() as http:
            client = openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="none", http_client=http)
            await client.chat.completions.create(**ASK)
            async for _ in await client.chat.completions.create(**STREAM):
                pass

    asyncio.run(ask())
    assert [("complete", False), ("complete", True)] == [(a.end, a.stream) for a in recorded(Attempt)]
    assert 2 == len(provider.log.entries)


def test_session_built_before_is_captured_and_let_go_of(serve: Any, tmp_path: Path, strict: None) -> None:
    """instrument() reaches sessions that exist already; uninstrument() restores the class, also in mid-body."""
    provider = serve({"rules": [{"words": 9, "chunks": 9, "chunk_delay_s": 0.01}]})
    before = aiohttp.ClientSession._request

    async def ask(session: aiohttp.ClientSession, url: str) -> bytes:
        trimtab.instrument(home=tmp_path)
        async with session.post(url, json=STREAM) as response:
            first = await response.content.readline()
            trimtab.uninstrument()
            assert aiohttp.ClientSession._request is before
            rest = await response.content.read()
        async with session.post(url, json=ASK) as response:
            assert type(response.content) is StreamReader
        return first + rest

    assert within(provider, ask).endswith(b"data: [DONE]\n\n")
    assert 1 == sum(s.read_text().count('"kind":"attempt"') for s in (tmp_path / "spool").iterdir())


def test_attempt_survives_a_reader_that_is_another(
    recorded: Recorded, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a reader not as we know it, the agent would read its body and we record the attempt without it."""
    monkeypatch.setenv("TRIMTAB_STRICT", "0")
    monkeypatch.setattr(aiohttp_client, "Kept", None)

    async def ask(session: aiohttp.ClientSession, url: str) -> Any:
        async with session.post(url, json=ASK) as response:
            return await response.json()

    assert within(serve({"rules": [{"text": "hello"}]}), ask)["choices"]
    assert [(200, "abandoned", 0)] == [(a.http_status, a.end, a.response_bytes) for a in recorded(Attempt)]


def test_policy_leaves_these_calls_alone(serve: Any, publish: Any, tmp_path: Path, strict: None) -> None:
    """A rule about the model does not touch a call over aiohttp: the code's own value is sent, and recorded as such."""
    provider = serve({})
    publish(tmp_path, {"knob": "model", "value": "other"})

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(url, json=ASK) as response:
            await response.read()

    trimtab.instrument(home=tmp_path, flush_interval_s=0.001)
    openai.OpenAI(base_url=provider.url + "/v1", api_key="none").chat.completions.create(**ASK)
    within(provider, ask)
    trimtab.uninstrument()
    assert ["other", "gpt-4o"] == [entry.body["model"] for entry in provider.log.entries]
    lines = [line.record for path in list_segments(tmp_path / "spool") for line in read_segment(path)]
    decided = [d for r in lines if isinstance(r, CallDecisions) for d in r.decisions()]
    models: list[Decision] = [d for d in decided if d.knob == "model"]
    assert [("other", "human"), ("gpt-4o", "code")] == [(d.value, d.source) for d in models]
