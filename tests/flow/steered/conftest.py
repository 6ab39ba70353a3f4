"""An agent that obeys a policy file: this process, with tracing on, and every way in which it may ask a provider."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
import trio

import trimtab
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import Attempt, CallDecisions, Decision
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tuner.provider import Provider, Scenario

BACKOFF = {"knob": "backoff", "value": {"initial_s": 0.001, "factor": 1, "max_s": 0.001, "jitter": 0}}
"""Keeps the tests quick."""
WAIT_S = 20.0


class Agent:
    """This process as an agent, its home and its provider."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home = home
        self._stack = stack
        self._version = 0

    def provider(self, *rules: dict[str, Any], **scenario: Any) -> Provider:
        """A running provider that answers by these rules."""
        return self._stack.enter_context(Provider(Scenario.from_dict({"rules": list(rules), **scenario})))

    def publish(self, *rules: dict[str, Any], **fields: Any) -> int:
        """Publish a policy, as the sidecar does; gives its version."""
        self._version += 1
        document: dict[str, Any] = {
            "schema": 1,
            "version": self._version,
            "issued_ns": time.time_ns(),
            "lifetime_s": 3600,
            "frozen": False,
            "rules": [
                {"rule_id": f"rule-{i}", "match": {}, "sticky": "run", "source": "human", **rule}
                for i, rule in enumerate(rules)
            ],
            **fields,
        }
        self.home.mkdir(exist_ok=True)
        new = self.home / "policy.new"
        new.write_text(json.dumps(document), encoding="utf-8")
        new.chmod(0o600)
        new.replace(self.home / "policy.json")
        return self._version

    def begin(self, **settings: Any) -> None:
        """Switch tracing on."""
        trimtab.instrument(home=self.home, flush_interval_s=0.001, **settings)

    def obey(self, *rules: dict[str, Any], **fields: Any) -> None:
        """Publish a policy and go on when this process obeys it, or, where it is frozen, none any more."""
        version = self.publish(*rules, **fields)
        if switch.active() is None:
            self.begin()
        wanted = None if fields.get("frozen") else version
        self.wait(lambda: self.obeyed() == wanted)

    def obeyed(self) -> int | None:
        """Version of the policy that is obeyed now."""
        tracer = switch.active()
        policy = tracer.steering.policy() if tracer is not None else None
        return policy.version if policy is not None else None

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until it is done."""
        end = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    def attempts(self) -> list[Attempt]:
        """The attempts on record."""
        return [record for record in self._records() if isinstance(record, Attempt)]

    def decisions(self, knob: str) -> list[tuple[Any, str, float, int | None]]:
        """Value, source, propensity and policy version of each decision about ``knob`` on record."""
        return [(d.value, d.source, d.propensity, d.policy_version) for d in self.choices() if d.knob == knob]

    def choices(self) -> list[Decision]:
        """All decisions on record, calls' and declared knobs'."""
        found: list[Decision] = []
        for record in self._records():
            found += record.decisions() if isinstance(record, CallDecisions) else ()
            found += [record] if isinstance(record, Decision) else []
        return found

    def _records(self) -> list[Any]:
        trimtab.flush()
        return [line.record for path in list_segments(self.home / "spool") for line in read_segment(path)]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent that is not traced yet."""
    monkeypatch.setenv("TRIMTAB_STRICT", "1")
    with ExitStack() as stack:
        yield Agent(tmp_path / "home", stack)
        trimtab.uninstrument()


MESSAGES: Any = [{"role": "user", "content": "hi"}]
Ask = Callable[..., str]
"""``ask(url, model=…, max_retries=…, timeout=…)``: the answer's text; raises as the SDK or library does."""


def with_openai(url: str, model: str = "gpt-old", messages: Any = MESSAGES, **options: Any) -> str:
    with openai.OpenAI(base_url=url + "/v1", api_key="any", **options) as client:
        return str(client.chat.completions.create(model=model, messages=messages).choices[0].message.content)


def with_openai_stream(url: str, model: str = "gpt-old", **options: Any) -> str:
    with openai.OpenAI(base_url=url + "/v1", api_key="any", **options) as client:
        chunks = client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def with_async_openai(url: str, model: str = "gpt-old", **options: Any) -> str:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="any", **options) as client:
            answer = await client.chat.completions.create(model=model, messages=MESSAGES)
            return str(answer.choices[0].message.content)

    return asyncio.run(ask())


def with_async_openai_stream(url: str, model: str = "gpt-old", **options: Any) -> str:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="any", **options) as client:
            chunks = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    return asyncio.run(ask())


def with_responses(url: str, model: str = "gpt-old", **options: Any) -> str:
    with openai.OpenAI(base_url=url + "/v1", api_key="any", **options) as client:
        return client.responses.create(model=model, input="hi").output_text


def with_anthropic(url: str, model: str = "claude-old", **options: Any) -> str:
    with anthropic.Anthropic(base_url=url, api_key="any", **options) as client:
        return client.messages.create(model=model, max_tokens=50, messages=MESSAGES).content[0].text


def with_anthropic_stream(url: str, model: str = "claude-old", **options: Any) -> str:
    with (
        anthropic.Anthropic(base_url=url, api_key="any", **options) as client,
        client.messages.stream(model=model, max_tokens=50, messages=MESSAGES) as events,
    ):
        return "".join(events.text_stream)


def with_async_anthropic(url: str, model: str = "claude-old", **options: Any) -> str:
    async def ask() -> str:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="any", **options) as client:
            return (await client.messages.create(model=model, max_tokens=50, messages=MESSAGES)).content[0].text

    return asyncio.run(ask())


def _raw(model: str) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES}


def _text(response: Any) -> str:
    response.raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"])


def with_httpx(url: str, model: str = "gpt-old", timeout: float = 5.0, max_retries: int = 0) -> str:
    with httpx.Client(timeout=timeout) as http:
        return _text(http.post(url + "/v1/chat/completions", json=_raw(model)))


def with_httpx2(url: str, model: str = "gpt-old", timeout: float = 5.0, max_retries: int = 0) -> str:
    with httpx2.Client(timeout=timeout) as http:
        return _text(http.post(url + "/v1/chat/completions", json=_raw(model)))


def with_async_httpx(url: str, model: str = "gpt-old", timeout: float = 5.0, max_retries: int = 0) -> str:
    async def ask() -> str:
        async with httpx.AsyncClient(timeout=timeout) as http:
            return _text(await http.post(url + "/v1/chat/completions", json=_raw(model)))

    return asyncio.run(ask())


def with_trio(url: str, model: str = "gpt-old", timeout: float = 5.0, max_retries: int = 0) -> str:
    async def ask() -> str:
        async with httpx2.AsyncClient(timeout=timeout) as http:
            return _text(await http.post(url + "/v1/chat/completions", json=_raw(model)))

    return trio.run(ask)


SDKS: dict[str, Ask] = {
    "openai": with_openai,
    "openai stream": with_openai_stream,
    "openai async": with_async_openai,
    "openai async stream": with_async_openai_stream,
    "openai responses": with_responses,
    "anthropic": with_anthropic,
    "anthropic stream": with_anthropic_stream,
    "anthropic async": with_async_anthropic,
}
RAW: dict[str, Ask] = {
    "httpx": with_httpx,
    "httpx2": with_httpx2,
    "httpx async": with_async_httpx,
    "httpx2 trio": with_trio,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that names ``sdk``, ``raw`` or ``ask`` is run for each of these ways to ask."""
    for name, ways in (("sdk", SDKS), ("raw", RAW), ("ask", SDKS | RAW)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(ways.values()), ids=list(ways))


@pytest.fixture
def openai_ask() -> Ask:
    """The plainest way of them all."""
    return with_openai


@pytest.fixture
def backoff() -> dict[str, Any]:
    """A rule for pauses that keep the tests quick."""
    return BACKOFF


os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")


@pytest.fixture
def ways() -> dict[str, Ask]:
    """All ways to ask, by name."""
    return SDKS | RAW
