"""``escalate``: a cheaper model answers first, and the call's own one where a check turns that answer down."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
import trio

import trimtab
from trimtab_tracer import verifiers as module
from trimtab_tracer.verifiers import Answer

USER: Any = {"role": "user", "content": "hi"}
CHECKS = ["nonempty", "not_truncated", "no_refusal"]
CHEAP = {"knob": "escalate", "value": {"model": "cheap", "verify": CHECKS}}


@pytest.fixture
def own_checks() -> Iterator[None]:
    """Forgets what a test registered."""
    yield
    module.verifiers._own.clear()


def verdicts(agent: Any) -> list[tuple[Any, str, str | None, float]]:
    """Value, source, verdict and odds of the decisions to escalate."""
    found = [d for d in agent.choices() if d.knob == "escalate"]
    return [(d.value, d.source, d.verdict, d.propensity) for d in found]


def test_good_answer_of_the_cheap_model_is_handed_out(agent: Any, ask: Any, request: pytest.FixtureRequest) -> None:
    """One request, to the cheap model; a stream goes to the code's own model, for nothing of it can be taken back."""
    provider = agent.provider({"text": "I am {model}."})
    agent.obey(CHEAP)
    answer = ask(provider.url)
    (entry,) = provider.log.entries
    is_stream = "stream" in request.node.callspec.id
    assert (entry.model == "cheap") is not is_stream
    assert f"I am {entry.model}." == answer
    passed = [] if is_stream else [(CHEAP["value"], "human", "passed", 1.0)]
    assert passed == verdicts(agent)
    (model,) = [d for d in agent.choices() if d.knob == "model"]
    assert (model.value.endswith("old"), "code", None) == (True, model.source, model.rule_id)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"text": ""}, "nonempty"),
    ({"text": "x", "fault": {"status": 503}}, "server"),
    ({"text": "x", "fault": "drop"}, "connection"),
    ({"text": "a b", "finish": "length"}, "not_truncated"),
    ({"text": "I'm sorry, but I can't help with that."}, "no_refusal"),
    ({"text": "x", "fault": {"status": 404}}, "not_found"),
]
"""What a cheap model may answer, and why that is turned down."""


@pytest.mark.parametrize(
    ("cheap", "why", "way"),
    [*((*bad, "sync") for bad in BAD), *((*bad, way) for bad in BAD[:3] for way in ("async", "trio"))],
)
def test_bad_answer_is_replaced(agent: Any, cheap: dict[str, Any], why: str, way: str) -> None:
    """What fails a check, or at all, is not handed out: the code's own model is asked in the same call, at once."""
    provider = agent.provider({"model": "cheap", **cheap}, {"text": "I am {model}."})
    agent.obey(CHEAP)

    async def ask() -> str:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="any") as client:
            said = await client.messages.create(model="own", max_tokens=50, messages=[USER])
            return str(said.content[0].text)

    if way == "sync":
        with anthropic.Anthropic(base_url=provider.url, api_key="any") as client:
            answer = client.messages.create(model="own", max_tokens=50, messages=[USER]).content[0].text
    else:
        answer = asyncio.run(ask()) if way == "async" else trio.run(ask)
    assert "I am own." == answer
    assert ["cheap", "own"] == [entry.model for entry in provider.log.entries]
    first, second = agent.attempts()
    assert (first.call_id, 1, 2) == (second.call_id, first.number, second.number)
    ((value, _, verdict, _),) = verdicts(agent)
    assert (CHEAP["value"], f"failed: {why}") == (value, verdict)


def test_cheap_model_that_is_down_costs_one_request(agent: Any) -> None:
    """After it failed it is left alone for a while, so an outage costs one request more and not one per call."""
    provider = agent.provider({"model": "cheap", "fault": {"status": 500}}, {"text": "ok"})
    agent.obey(CHEAP)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for _ in range(5):
            client.chat.completions.create(model="own", messages=[USER])
    assert ["cheap", *["own"] * 5] == [entry.model for entry in provider.log.entries]
    assert 1 == len(verdicts(agent))


def test_failures_of_the_own_model_are_the_sdks(agent: Any) -> None:
    """Beyond the one request to the cheap model an outage costs what it costs without us."""
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    agent.obey(CHEAP)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                client.chat.completions.create(model="own", messages=[USER])
    assert ["cheap", *["own"] * 6] == [entry.model for entry in provider.log.entries]


def test_retries_ask_the_own_model_alone(agent: Any, backoff: Any) -> None:
    """Once the cheap answer was turned down, neither the SDK's loop nor ours begins with that model again."""
    provider = agent.provider(
        {"model": "cheap", "text": ""}, {"text": "ok", "fault": {"status": 500, "retry_after_ms": 1, "times": 1}}
    )
    agent.obey(CHEAP)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        client.chat.completions.create(model="own", messages=[USER])
    own = agent.provider(
        {"model": "cheap", "text": ""}, {"text": "ok", "fault": {"status": 500, "retry_after_ms": 1, "times": 1}}
    )
    agent.obey(CHEAP, {"knob": "max_retries", "value": 1}, backoff)
    with openai.OpenAI(base_url=own.url + "/v1", api_key="any") as client:
        client.chat.completions.create(model="own", messages=[USER])
    for asked in (provider, own):
        assert ["cheap", "own", "own"] == [entry.model for entry in asked.log.entries]
    assert ["failed: nonempty"] * 2 == [verdict for _, _, verdict, _ in verdicts(agent)]
    assert [1, 2, 3, 1, 2, 3] == [attempt.number for attempt in agent.attempts()]


def test_json_is_checked_by_the_request(agent: Any) -> None:
    """Text by the response format's schema, tool calls by their tools."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    provider = agent.provider(
        {"model": "cheap", "contains": "good", "text": '{"n": 3}'},
        {"model": "cheap", "contains": "bad", "text": '{"n": "three"}'},
        {"model": "cheap", "contains": "prose", "text": "n is 3"},
        {"model": "cheap", "contains": "tool", "tool_calls": [{"name": "count", "arguments": '{"m": 1}'}]},
        {"text": '{"n": 4}'},
    )
    agent.obey({"knob": "escalate", "value": {"model": "cheap", "verify": ["json", "tool_args_valid"]}})
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    tool: Any = {"type": "function", "function": {"name": "count", "parameters": schema}}
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for content in ("good", "bad", "prose", "tool"):
            asked: Any = [{"role": "user", "content": content}]
            client.chat.completions.create(model="own", messages=asked, response_format=wanted, tools=[tool])
    assert ["passed", *["failed: json"] * 3] == [verdict for _, _, verdict, _ in verdicts(agent)]
    assert 7 == len(provider.log.entries)


def test_own_check_of_the_agent(agent: Any, own_checks: None) -> None:
    """A registered function decides; what it asks a model itself is its own matter; unknown names are never obeyed."""
    provider = agent.provider({"text": "I am {model}."})

    @module.register(name="is_long")
    def check(answer: Answer) -> bool:
        with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as judge:
            judge.chat.completions.create(model="judge", messages=[USER])
        assert answer.request["messages"] == [USER]
        return len(answer.text) > 100

    def obey(name: str) -> None:
        agent.obey({"knob": "escalate", "value": {"model": "cheap", "verify": ["nonempty", name]}})

    obey("is_long")
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        client.chat.completions.create(model="own", messages=[USER])
        obey("unknown")
        client.chat.completions.create(model="own", messages=[USER])
    assert ["cheap", "judge", "own", "own"] == [entry.model for entry in provider.log.entries]
    assert ["cheap", "own", "own"] == [attempt.model for attempt in agent.attempts()]
    assert ["failed: is_long"] == [verdict for _, _, verdict, _ in verdicts(agent)]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_check_that_breaks_escalates(
    agent: Any, own_checks: None, monkeypatch: pytest.MonkeyPatch, kind: str, is_async: bool
) -> None:
    """A check that raises or takes too long is no yes: the code's own model answers, within the check's bound."""
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    provider = agent.provider({"text": "I am {model}."})
    release = threading.Event()

    def check(answer: Answer) -> bool:
        if kind == "raises":
            raise RuntimeError("boom")
        return release.wait(20)

    module.register(check, name="odd")
    agent.obey({"knob": "escalate", "value": {"model": "cheap", "verify": ["odd"]}})

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="any") as client:
            said = await client.chat.completions.create(model="own", messages=[USER])
            return str(said.choices[0].message.content)

    try:
        if is_async:
            answer = asyncio.run(ask())
        else:
            with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
                answer = str(client.chat.completions.create(model="own", messages=[USER]).choices[0].message.content)
    finally:
        release.set()
    assert "I am own." == answer
    assert ["failed: odd"] == [verdict for _, _, verdict, _ in verdicts(agent)]
    until = time.monotonic() + 10
    while module.verifiers.hanging and time.monotonic() < until:
        time.sleep(0.01)
    assert 0 == module.verifiers.hanging


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_unknown"}),
        ("/v1/messages", {"max_tokens": 9, "messages": [USER], "thinking": {"type": "adaptive"}}),
        ("/v1/messages", {"max_tokens": 9, "messages": [USER], "container": "box"}),
        ("/v1/chat/completions", {"messages": [USER], "n": 2}),
        ("/v1/chat/completions", {"messages": [USER], "stream": True}),
    ],
)
def test_what_binds_or_streams_is_not_escalated(agent: Any, path: str, body: dict[str, Any]) -> None:
    """A conversation that is bound to its model, several answers and streams go to the code's own model."""
    import httpx2

    provider = agent.provider({"text": "ok"})
    agent.obey(CHEAP)
    with httpx2.Client() as http:
        http.post(provider.url + path, json={"model": "own", **body})
    assert ["own"] == [entry.model for entry in provider.log.entries]
    assert [] == verdicts(agent)


def test_arms_of_an_experiment(agent: Any) -> None:
    """Half of the runs try the cheap model; the others are in the experiment too, with the code's own."""
    provider = agent.provider({"text": "ok"})
    arms = [{"value": CHEAP["value"], "weight": 0.5}, {"incumbent": True, "weight": 0.5}]
    agent.obey({"knob": "escalate", "source": "experiment", "arms": arms})
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for _ in range(14):
            with trimtab.run("r"):
                client.chat.completions.create(model="own", messages=[USER])
    models = [entry.model for entry in provider.log.entries]
    assert {"cheap", "own"} == set(models)
    decisions = [d for d in agent.choices() if d.knob == "escalate"]
    drawn = sorted((d.value is not None, d.verdict or "", d.propensity) for d in decisions)
    assert [(False, "", 0.5)] * models.count("own") + [(True, "passed", 0.5)] * models.count("cheap") == drawn


@pytest.mark.parametrize(("threshold", "model"), [(0.5, "cheap"), (0.9, "own")])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_grade_decides_by_the_policys_threshold(
    agent: Any, own_checks: None, threshold: float, model: str, way: str
) -> None:
    """The same answer is good enough under one threshold and not under another; the grade is on record."""
    module.register(lambda given: 0.7, name="likes")
    provider = agent.provider({"text": "I am {model}."})
    value = {"model": "cheap", "verify": ["likes"], "threshold": threshold}
    agent.obey({"knob": "escalate", "value": value})

    async def ask() -> str:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="any") as client:
            said = await client.messages.create(model="own", max_tokens=50, messages=[USER])
            return str(said.content[0].text)

    if way == "sync":
        with anthropic.Anthropic(base_url=provider.url, api_key="any") as client:
            answer = client.messages.create(model="own", max_tokens=50, messages=[USER]).content[0].text
    else:
        answer = asyncio.run(ask())
    assert f"I am {model}." == answer
    verdict = "passed 0.7" if model == "cheap" else "failed: likes 0.7"
    assert [(value, "human", verdict, 1.0)] == verdicts(agent)
