"""The setting include_usage: streams tell us their usage, and the agent sees what it would have seen."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from langchain_openai import ChatOpenAI

import trimtab
from trimtab_tracer.records import Attempt, Exchange
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tuner.provider import Provider, Scenario

MESSAGES: Any = [{"role": "user", "content": "hi"}]
ASK: Any = {"model": "gpt-4o", "messages": MESSAGES, "stream": True}
ANSWER: Any = {"text": 'one "two", three.', "usage": {"input_tokens": 9, "output_tokens": 3}}
OPTION = {"include_usage": True}
REFUSES: Any = {"status": 400, "message": "Unrecognized request argument supplied: stream_options", "times": 1}


class Asking:
    """This process with the setting on, and a provider."""

    def __init__(self, home: Path, provider: Provider) -> None:
        self.home = home
        self.provider = provider

    def on(self, **settings: Any) -> None:
        """Start to trace."""
        trimtab.instrument(home=self.home, flush_interval_s=0.001, **{"include_usage": True, **settings})

    def records(self, kind: type) -> list[Any]:
        """What was recorded so far."""
        trimtab.flush()
        lines = [line for path in list_segments(self.home / "spool") for line in read_segment(path)]
        return [line.record for line in lines if isinstance(line.record, kind)]

    def asked(self) -> list[Any]:
        """The option in each request that reached the provider."""
        return [entry.body.get("stream_options") for entry in self.provider.log.entries]


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Asking]]:
    """Starts a provider with one rule; traced from :meth:`Asking.on` to the test's end."""
    monkeypatch.setenv("TRIMTAB_STRICT", "1")
    started: list[Provider] = []

    def start(*rules: Any, **scenario: Any) -> Asking:
        started.append(Provider(Scenario.from_dict({"rules": [*rules, ANSWER], **scenario})))
        return Asking(tmp_path, started[-1].__enter__())

    yield start
    trimtab.uninstrument()
    for provider in started:
        provider.__exit__(None, None, None)


def seen(values: Any) -> list[str]:
    """What a caller saw, without what differs from one request to the next."""
    return [re.sub(r"scripted_\w+|lc_run-+[\w-]+|run-+[\w-]+|created\D+\d+", "", repr(v)) for v in values]


def sdk(url: str) -> list[Any]:
    with openai.OpenAI(base_url=url, api_key="k") as client:
        return [chunk.to_dict() for chunk in client.chat.completions.create(**ASK)]


def awaited_sdk(url: str) -> list[Any]:
    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=url, api_key="k") as client:
            return [chunk.to_dict() async for chunk in await client.chat.completions.create(**ASK)]

    return asyncio.run(ask())


def helper(url: str) -> list[Any]:
    with (
        openai.OpenAI(base_url=url, api_key="k") as client,
        client.chat.completions.stream(model="gpt-4o", messages=MESSAGES) as events,
    ):
        return [*(event.to_dict() for event in events), events.get_final_completion().to_dict()]


def langchain(url: str) -> list[Any]:
    with httpx2.Client() as http:
        model = ChatOpenAI(model="gpt-4o", base_url=url, api_key="k", http_client=http)
        return [chunk.model_dump() for chunk in model.stream("hi")]


def raw(module: Any, kind: str = "raw") -> Callable[[str], list[Any]]:
    def ask(url: str) -> list[Any]:
        with module.Client() as http, http.stream("POST", url + "/chat/completions", json=ASK) as response:
            return list(getattr(response, f"iter_{kind}")())

    return ask


def awaited_raw(module: Any, kind: str = "lines") -> Callable[[str], list[Any]]:
    def ask(url: str) -> list[Any]:
        async def run() -> list[Any]:
            where = url + "/chat/completions"
            async with module.AsyncClient() as http, http.stream("POST", where, json=ASK) as response:
                return [part async for part in getattr(response, f"aiter_{kind}")()]

        return asyncio.run(run())

    return ask


WAYS = {
    "sdk": sdk,
    "awaited_sdk": awaited_sdk,
    "helper": helper,
    "langchain": langchain,
    "httpx": raw(httpx),
    "httpx2": raw(httpx2),
    "awaited_httpx": awaited_raw(httpx),
    "awaited_httpx2": awaited_raw(httpx2),
}


@pytest.mark.parametrize("way", WAYS)
def test_caller_sees_what_it_would_have_seen(asking: Callable[..., Asking], way: str) -> None:
    """Through every client the chunks equal the bare ones, and the records hold what the provider reported."""
    one = asking()
    url = one.provider.url + "/v1"
    bare = WAYS[way](url)
    one.on()
    assert seen(bare) == seen(WAYS[way](url))
    assert [None, OPTION] == one.asked()
    (attempt,), (exchange,) = one.records(Attempt), one.records(Exchange)
    assert ("complete", 200, one.provider.log.entries[1].body_digest) == (
        attempt.end,
        attempt.http_status,
        attempt.body_digest,
    )
    assert (9, 3, "reported") == (exchange.input_tokens, exchange.output_tokens, exchange.usage_source)


@pytest.mark.parametrize("way", ["sdk", "awaited_sdk"])
def test_answer_that_is_compressed_all_the_same(asking: Callable[..., Asking], way: str) -> None:
    """We ask for an answer without compression; a server that sends gzip anyhow changes nothing for the caller."""
    one = asking()
    squeezed = Squeezing(one.provider.url)
    bare = WAYS[way](one.provider.url + "/v1")
    one.on()
    with squeezed as url:
        assert seen(bare) == seen(WAYS[way](url + "/v1"))
    assert [("complete", 3)] == [
        (a.end, e.output_tokens) for a, e in zip(one.records(Attempt), one.records(Exchange), strict=True)
    ]


@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize("make", [raw, awaited_raw])
def test_compression_that_breaks_raises_what_the_library_raises(
    asking: Callable[..., Asking], module: Any, make: Any
) -> None:
    """An answer that says gzip and is none raises the library's error, with the same words as without us."""
    one = asking()
    errors = []
    with Squeezing(one.provider.url, pack=lambda body: gzip.compress(body)[:10] + b"\xff" * 20) as url:
        for _ in range(2):
            with pytest.raises(module.DecodingError) as caught:
                make(module, "text")(url + "/v1")
            errors.append((str(caught.value), caught.value.request.method))
            one.on()
    assert errors[0] == errors[1]
    assert [None, OPTION] == one.asked()
    assert 1 == len(one.records(Attempt))


@pytest.mark.parametrize("fault", [REFUSES, {"status": 422, "message": "Extra inputs are not permitted", "times": 1}])
def test_server_that_refuses_gets_the_request_as_it_was(asking: Callable[..., Asking], fault: Any) -> None:
    """A refused option costs one request, both are told, and this server is not asked again."""
    one = asking({**ANSWER, "fault": fault})
    one.on()
    url = one.provider.url + "/v1"
    assert [sdk(url)[0]["object"], awaited_sdk(url)[0]["object"]] == ["chat.completion.chunk"] * 2
    assert [OPTION, None, None] == one.asked()
    attempts = one.records(Attempt)
    assert [(fault["status"], 1), (200, 2), (200, 1)] == [(a.http_status, a.number) for a in attempts]
    assert attempts[0].call_id == attempts[1].call_id != attempts[2].call_id


def test_refusal_of_the_request_itself_is_handed_on(asking: Callable[..., Asking]) -> None:
    """Where the server knows the option, an error is the agent's own, and comes once."""
    one = asking({"contains": "bad", "fault": {"status": 400, "message": "no such thing"}})
    one.on()
    with openai.OpenAI(base_url=one.provider.url + "/v1", api_key="k") as client:
        list(client.chat.completions.create(**ASK))
        with pytest.raises(openai.BadRequestError, match="no such thing"):
            client.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": "bad"}]})
    assert [OPTION, OPTION] == one.asked()


def test_request_that_fails_either_way_raises_its_own_error(asking: Callable[..., Asking]) -> None:
    """A first request that is wrong by itself raises what it raises without us."""
    one = asking({"fault": {"status": 400, "message": "no such thing"}})
    one.on()
    with pytest.raises(openai.BadRequestError, match="no such thing"):
        sdk(one.provider.url + "/v1")
    assert [OPTION, None] == one.asked()


def test_request_that_fails_either_way_says_nothing_about_the_server(asking: Callable[..., Asking]) -> None:
    """A first request that is wrong by itself turns the option off for none after it."""
    one = asking({"contains": "long", "fault": {"status": 400, "message": "maximum context length exceeded"}})
    one.on()
    with openai.OpenAI(base_url=one.provider.url + "/v1", api_key="k") as client:
        with pytest.raises(openai.BadRequestError, match="context length"):
            client.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": "long"}]})
        for _ in range(2):
            list(client.chat.completions.create(**ASK))
    assert [OPTION, None, OPTION, OPTION] == one.asked()
    assert [2, 1, 1] == [a.number for a in one.records(Attempt)][1:]


def test_retry_of_the_sdk_goes_on_from_ours(asking: Callable[..., Asking]) -> None:
    """A request refused, sent without the option and failed, is one call with what the SDK sends after that."""
    failing = {"status": 500, "times": 2, "retry_after_ms": 5}
    one = asking({**ANSWER, "faults": [REFUSES, failing]})
    one.on()
    with openai.OpenAI(base_url=one.provider.url + "/v1", api_key="k", max_retries=3) as client:
        list(client.chat.completions.create(**ASK))
    attempts = one.records(Attempt)
    assert [(400, 1, 0), (500, 2, 0), (500, 3, 1), (200, 4, 2)] == [
        (a.http_status, a.number, a.sdk_retry) for a in attempts
    ]
    assert 1 == len({a.call_id for a in attempts})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({**ASK, "stream_options": {"include_usage": False}}, {}),
        ({**ASK, "stream": False}, {}),
        (ASK, {"x-amz-date": "20261130T000000Z"}),
        (ASK, {"authorization": "AWS4-HMAC-SHA256 Credential=x"}),
    ],
)
def test_what_is_not_asked_goes_out_as_it_was(asking: Callable[..., Asking], body: Any, headers: Any) -> None:
    """What says itself what it wants, is no stream or is signed goes out byte by byte."""
    one = asking()
    one.on()
    content = json.dumps(body, indent=1).encode()
    with httpx2.Client() as http:
        url, kind = one.provider.url + "/v1/chat/completions", {"content-type": "application/json"}
        with http.stream("POST", url, content=content, headers={**kind, **headers}) as response:
            response.read()
        http.post(url, json={**ASK})  # read as a whole, so nothing could be taken out on the way
    assert [body.get("stream_options"), None] == one.asked()
    assert [len(content), len(response.request.content)] == [len(content)] * 2
    assert content == response.request.content


def test_off_by_default(asking: Callable[..., Asking]) -> None:
    """Nobody is asked unless the setting says so."""
    one = asking()
    one.on(include_usage=None)
    sdk(one.provider.url + "/v1")
    assert [None] == one.asked()


def test_stream_left_early_and_stream_that_breaks(asking: Callable[..., Asking]) -> None:
    """A caller who leaves is let go, and one whose stream breaks has got everything before that."""
    one = asking({"model": "breaks", "words": 9, "fault": {"kind": "drop_mid_stream", "after_chunks": 4}})
    one.on()
    with openai.OpenAI(base_url=one.provider.url + "/v1", api_key="k", max_retries=0) as client:
        with client.chat.completions.create(**ASK) as chunks:
            next(iter(chunks))
        got: list[Any] = []
        chunks = client.chat.completions.create(**{**ASK, "model": "breaks"})
        with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
            got.extend(chunks)
    assert 4 == len(got)
    assert ["abandoned", "error"] == [a.end for a in one.records(Attempt)]


def test_holds_for_what_a_policy_makes_of_a_call(asking: Callable[..., Asking], publish: Any) -> None:
    """Model and retries of a policy and the option go together: each request of the call is asked, until refused."""
    overloaded = {"status": 503, "times": 1}
    one = asking({**ANSWER, "faults": [overloaded, REFUSES]})
    rules = [
        {"knob": "model", "value": "other"},
        {"knob": "max_retries", "value": {"other": 2}},
        {"knob": "backoff", "value": {"initial_s": 0.001, "factor": 1, "max_s": 0.001, "jitter": 0}},
    ]
    publish(one.home, *rules)
    one.on()
    assert "chat.completion.chunk" == sdk(one.provider.url + "/v1")[0]["object"]
    assert [OPTION, OPTION, None] == one.asked()
    assert {"other"} == {entry.body["model"] for entry in one.provider.log.entries}
    assert [(503, 1), (400, 2), (200, 3)] == [(a.http_status, a.number) for a in one.records(Attempt)]


class Squeezing:
    """A proxy that compresses every answer, whatever the client accepts."""

    def __init__(self, url: str, pack: Callable[[bytes], bytes] = gzip.compress) -> None:
        self._url = url
        self._pack = pack

    def __enter__(self) -> str:
        upstream, pack = self._url, self._pack

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                request = urllib.request.Request(upstream + self.path, body, {"content-type": "application/json"})
                with urllib.request.urlopen(request) as response:
                    packed = pack(response.read())
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-encoding", "gzip")
                self.send_header("content-length", str(len(packed)))
                self.end_headers()
                self.wfile.write(packed)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
