"""Faults of the scripted provider, as the SDKs and plain clients see them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx
import openai
import pytest

from trimtab_tuner.provider import Provider, Scenario

ASK: list[Any] = [{"role": "user", "content": "go"}]
CHAT = {"model": "gpt-x", "messages": ASK}
MESSAGE: dict[str, Any] = {"model": "claude-x", "max_tokens": 99, "messages": ASK}
ADD = {"name": "add", "arguments": {"a": 2, "b": 3}}


@contextmanager
def openai_client(rules: list[dict[str, Any]], **options: Any) -> Iterator[tuple[Provider, openai.OpenAI]]:
    """A provider with these rules, and an OpenAI client."""
    with (
        Provider(Scenario.from_dict({"rules": rules})) as provider,
        openai.OpenAI(base_url=provider.url + "/v1", api_key="k", **{"max_retries": 0, **options}) as client,
    ):
        yield provider, client


@contextmanager
def anthropic_client(rules: list[dict[str, Any]]) -> Iterator[tuple[Provider, anthropic.Anthropic]]:
    """A provider with these rules, and an Anthropic client that does not retry."""
    with (
        Provider(Scenario.from_dict({"rules": rules})) as provider,
        anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0) as client,
    ):
        yield provider, client


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_request_error", None),
        (401, openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        (404, openai.NotFoundError, "invalid_request_error", "model_not_found"),
        (422, openai.UnprocessableEntityError, "invalid_request_error", "unprocessable_entity"),
        (429, openai.RateLimitError, "requests", "rate_limit_exceeded"),
        (500, openai.InternalServerError, "server_error", None),
        (529, openai.InternalServerError, "server_error", "server_is_overloaded"),
    ],
)
def test_openai_errors(status: int, error: type[openai.APIStatusError], kind: str, code: str | None) -> None:
    """Each status reaches the OpenAI SDK as its own exception, with type, code and request id."""
    with openai_client([{"fault": {"status": status}}]) as (provider, client):
        with pytest.raises(error) as chat:
            client.chat.completions.create(**CHAT)
        with pytest.raises(error):
            client.responses.create(model="gpt-x", input="go", stream=True)
    assert (kind, code) == (chat.value.type, chat.value.code)
    assert chat.value.request_id == provider.log.entries[0].request_id
    assert [(status, "status"), (status, "status")] == [(e.status, e.fault) for e in provider.log.entries]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic._exceptions.OverloadedError, "overloaded_error"),
    ],
)
def test_anthropic_errors(status: int, error: type[anthropic.APIStatusError], kind: str) -> None:
    """Each status reaches the Anthropic SDK as its own exception, with the error's type and the request id."""
    with anthropic_client([{"fault": {"status": status}}]) as (provider, client), pytest.raises(error) as caught:
        client.messages.create(**MESSAGE)
    body: Any = caught.value.body
    assert (body["error"]["type"], body["request_id"]) == (kind, provider.log.entries[0].request_id)
    assert caught.value.request_id == provider.log.entries[0].request_id


def test_429_once_then_200() -> None:
    """One line of scenario makes the SDK wait the stated time, retry, and get the answer."""
    rule = {"text": "ok", "fault": {"status": 429, "retry_after_s": 0.15, "times": 1}}
    with openai_client([rule], max_retries=2) as (provider, client):
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "ok"
    first, second = provider.log.entries
    assert (first.status, second.status) == (429, 200)
    assert 0.15 <= (second.received_ns - first.finished_ns) / 1e9 < 2
    assert first.body_digest == second.body_digest
    assert second.headers["x-stainless-retry-count"] == "1"


def test_retry_headers_are_sent_as_told() -> None:
    """Retry-After (also in milliseconds) and x-should-retry go out, and the latter stops the SDK's retries."""
    fault = {"status": 500, "retry_after_s": 2, "retry_after_ms": 1500, "should_retry": False}
    with (
        openai_client([{"fault": fault}], max_retries=2) as (provider, client),
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(**CHAT)
    sent = caught.value.response.headers
    assert (sent["retry-after"], sent["retry-after-ms"], sent["x-should-retry"]) == ("2", "1500", "false")
    assert sent["x-trimtab-provider"] == "scripted"
    assert len(provider.log.entries) == 1


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1beta/models/g:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}, "RESOURCE_EXHAUSTED"),
        ("/api/chat", {"model": "l", "messages": ASK}, "too many requests"),
        ("/v1/embeddings", {"model": "e", "input": "x"}, "rate_limit_exceeded"),
    ],
)
def test_other_envelopes(path: str, body: dict[str, Any], expected: str) -> None:
    """A 429 wears the envelope of the API that was asked; embeddings meet only rules that name their API."""
    rules = [{"api": "openai.embeddings", "fault": {"status": 429}}, {"fault": {"status": 429}}]
    with Provider(Scenario.from_dict({"rules": rules})) as provider:
        response = httpx.post(provider.url + path, json=body)
    assert response.status_code == 429
    assert expected in json.dumps(response.json()["error"])


def test_drop_before_the_response() -> None:
    """Both SDKs see a connection error, and the log a request without a status."""
    for make, call in (
        (openai_client, lambda c: c.chat.completions.create(**CHAT)),
        (anthropic_client, lambda c: c.messages.create(**MESSAGE)),
    ):
        errors = (openai.APIConnectionError, anthropic.APIConnectionError)
        with make([{"fault": "drop"}]) as (provider, client), pytest.raises(errors):
            call(client)
        entry = provider.log.entries[0]
        assert (entry.status, entry.fault, entry.response_id, entry.client_closed) == (None, "drop", None, False)


def test_drop_mid_stream_after_n_chunks() -> None:
    """The client gets exactly the first n events and then a connection error; the log says what was sent."""
    rule = {"words": 20, "fault": {"kind": "drop_mid_stream", "after_chunks": 6, "times": 1}}
    with openai_client([rule]) as (provider, client):
        stream = client.chat.completions.create(**CHAT, stream=True)
        got = [next(stream).choices[0].delta.content for _ in range(6)]
        with pytest.raises(openai.APIConnectionError):
            next(stream)
        assert len(list(client.chat.completions.create(**CHAT, stream=True))) > 20
    entry = provider.log.entries[0]
    assert "".join(got) == entry.text
    assert (entry.chunks, entry.status, entry.finish, entry.usage) == (6, 200, None, None)


def test_drop_in_the_middle_of_a_body() -> None:
    """Without a stream half of the body is sent."""
    scenario = Scenario.from_dict({"rules": [{"text": "ok", "fault": "drop_mid_stream"}]})
    with Provider(scenario) as provider, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{provider.url}/v1/chat/completions", json=CHAT)
    entry = provider.log.entries[0]
    assert (entry.status, entry.text, entry.finish) == (200, "", None)
    assert entry.response_bytes > 0


def test_error_inside_a_stream() -> None:
    """An error event reaches each SDK as its own exception after the text before it."""
    fault = {"kind": "stream_error", "status": 529, "after_chunks": 5}
    with anthropic_client([{"words": 9, "fault": fault}]) as (provider, client):
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"), client.messages.stream(**MESSAGE) as stream:
            for _ in stream:
                pass
        assert provider.log.entries[0].text == "this is"
    with openai_client([{"words": 9, "fault": fault}]) as (_, client):
        with pytest.raises(openai.APIError, match="overloaded"):
            list(client.chat.completions.create(**CHAT, stream=True))
        events = list(client.responses.create(model="gpt-x", input="go", stream=True))
        assert [events[-1].type, events[-1].response.status] == ["response.failed", "failed"]


def test_delay_beyond_the_timeout() -> None:
    """A client that gives up is a timeout to its SDK and an early close in the log; the next request is answered."""
    rule = {"text": "ok", "fault": {"kind": "delay", "delay_s": 30, "times": 1}}
    with openai_client([rule]) as (provider, client):
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**CHAT, timeout=0.2)
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "ok"
        slow = provider.log.wait_for(2)[0]
    assert (slow.status, slow.client_closed, slow.fault) == (None, True, "delay")
    assert 0.2 <= (slow.finished_ns - slow.received_ns) / 1e9 < 5


def test_chunks_keep_their_distance() -> None:
    """``chunk_delay_s`` passes before each event, ``delay_s`` before the headers."""
    with openai_client([{"text": "a b c", "delay_s": 0.1, "chunk_delay_s": 0.03}]) as (_, client):
        start = time.monotonic()
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            headers_s = time.monotonic() - start
            count = len(list(stream)) + 1
        total_s = time.monotonic() - start
    assert headers_s >= 0.1
    assert total_s >= 0.1 + count * 0.03


def test_client_that_leaves_a_stream_early() -> None:
    """Closing a stream is noticed at once, not at its end."""
    with openai_client([{"words": 500, "chunk_delay_s": 0.01}]) as (provider, client):
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            for _, _chunk in zip(range(5), stream, strict=False):
                pass
        entry = provider.log.wait_for(1)[0]
    assert entry.client_closed
    assert 5 <= entry.chunks < 400
    assert entry.text.startswith("this is a")


@pytest.mark.parametrize("streams", [True, False])
def test_malformed_arguments(streams: bool) -> None:
    """Broken arguments arrive as they were logged: raw with OpenAI and in Anthropic's stream, else under a key."""
    rules = [{"tool_calls": [ADD], "fault": "malformed_arguments"}]
    with openai_client(rules) as (provider, client):
        response = client.responses.create(model="gpt-x", input="go", stream=streams)
        last = list(response)[-1].response if streams else response
        broken = provider.log.entries[0].tool_calls[0].arguments
        assert last.output[0].arguments == broken
        with pytest.raises(json.JSONDecodeError):
            json.loads(broken)
    with anthropic_client(rules) as (_, claude):
        if streams:
            events = list(claude.messages.create(**MESSAGE, stream=True))
            deltas = [e.delta.partial_json for e in events if e.type == "content_block_delta"]
            assert "".join(deltas) == broken
        else:
            assert claude.messages.create(**MESSAGE).content[0].input == {"INVALID_JSON": broken}


@pytest.mark.parametrize(
    ("fault", "finish", "content"),
    [("truncate", "length", "one two "), ("content_filter", "content_filter", ""), ("empty", "stop", "")],
)
def test_chat_finish_reasons(fault: str, finish: str, content: str) -> None:
    """Truncation, filter and an empty answer end a chat completion as OpenAI words them."""
    with openai_client([{"text": "one two three 4", "fault": fault}]) as (provider, client):
        whole = client.chat.completions.create(**CHAT).choices[0]
        streamed = list(client.chat.completions.create(**CHAT, stream=True))
    assert (whole.finish_reason, whole.message.content) == (finish, content[:7])
    assert streamed[-1].choices[0].finish_reason == finish
    assert [e.finish for e in provider.log.entries] == [finish, finish]


def test_faults_follow_each_other() -> None:
    """A rule works off its faults in order and then answers; a rule of faults only is passed once it is used up."""
    rules = [
        {"fault": {"status": 500, "times": 1}},
        {"text": "ok", "faults": [{"status": 429, "times": 2}, {"status": 529, "times": 1}]},
    ]
    with Provider(Scenario.from_dict({"rules": rules})) as provider, httpx.Client() as client:
        seen = [client.post(f"{provider.url}/v1/chat/completions", json=CHAT).status_code for _ in range(6)]
    assert seen == [500, 429, 429, 529, 200, 200]
    assert [e.rule for e in provider.log.entries] == [0, 1, 1, 1, 1, 1]


def test_max_tokens_are_honoured_when_told() -> None:
    """A request with too small a limit gets a cut answer that used exactly its limit; a larger one gets all."""
    scenario = Scenario.from_dict({"honour_max_tokens": True, "rules": [{"words": 40, "usage": {"output_tokens": 80}}]})
    with Provider(scenario) as provider, httpx.Client() as client:
        cut, whole = (
            client.post(f"{provider.url}/v1/chat/completions", json={**CHAT, "max_tokens": n}).json() for n in (20, 80)
        )
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 20)
    assert (whole["choices"][0]["finish_reason"], whole["usage"]["completion_tokens"]) == ("stop", 80)
    assert whole["choices"][0]["message"]["content"].startswith(cut["choices"][0]["message"]["content"])


@pytest.mark.parametrize("stream", [True, False])
def test_gzip(stream: bool) -> None:
    """Compressed responses decode to the plain ones, also chunk by chunk."""
    bodies = []
    for gzip in (True, False):
        with Provider(Scenario.from_dict({"gzip": gzip, "rules": [{"words": 30}]})) as provider:
            response = httpx.post(f"{provider.url}/v1/chat/completions", json={**CHAT, "stream": stream})
        assert (response.headers.get("content-encoding") == "gzip") is gzip
        assert provider.log.entries[0].response_bytes == len(response.content)
        bodies.append(response.content)
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "words"),
    [
        ("POST", "/v1/chat/completions", b"{", 400, "could not parse the JSON"),
        ("POST", "/v1/chat/completions", b"[]", 400, "expected an object"),
        ("POST", "/v1/chat/completions", b'{"model": "m"}', 400, "messages"),
        ("POST", "/v1/messages", b'{"model": "m", "messages": []}', 400, "max_tokens"),
        ("POST", "/v1/responses", b'{"input": "x"}', 400, "model"),
        ("POST", "/v1/nothing", b"{}", 404, "nothing at POST /v1/nothing"),
        ("GET", "/v1/chat/completions", b"", 405, "use POST"),
        ("POST", "/v1/chat/completions", b'{"model": "m", "messages": [{}]}', 400, "no rule for api 'openai.chat'"),
    ],
)
def test_bad_requests(method: str, path: str, content: bytes, status: int, words: str) -> None:
    """What can't be answered is refused with a sentence in the API's envelope, and logged."""
    rules = [{"model": "another", "text": "x"}]
    with Provider(Scenario.from_dict({"rules": rules})) as provider:
        response = httpx.request(method, provider.url + path, content=content)
    assert response.status_code == status
    assert words in response.json()["error"]["message"]
    assert provider.log.entries[0].status == status


def test_websocket_handshake_is_refused() -> None:
    """A WebSocket handshake gets 426, on which clients fall back to HTTP."""
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    with Provider() as provider:
        assert httpx.get(f"{provider.url}/v1/responses", headers=headers).status_code == 426


def test_pipelined_requests_and_garbage() -> None:
    """Requests that arrive together are answered in order; what is no HTTP only ends its own connection."""
    body = json.dumps(CHAT).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with Provider(Scenario.from_dict({"rules": [{"text": "number {n}"}]})) as provider:
        with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
            client.sendall(request * 3)
            provider.log.wait_for(3)
        with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
            client.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert client.recv(100) == b""
        assert httpx.post(f"{provider.url}/v1/chat/completions", json=CHAT).status_code == 200
    assert [e.text for e in provider.log.entries] == ["number 1", "number 2", "number 3", "number 4"]
