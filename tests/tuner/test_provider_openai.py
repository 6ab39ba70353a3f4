"""The scripted provider as the real OpenAI SDK sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from trimtab_tuner.provider import Provider, Scenario

ADD = {"name": "add", "arguments": {"a": 2, "b": 3}}
ASK: list[Any] = [{"role": "user", "content": "2+3?"}]
TOOL_LOOP = {"rules": [{"step": 0, "tool_calls": [ADD]}, {"text": "The answer is {last_tool_result}."}]}


@contextmanager
def served(scenario: dict[str, Any], **options: Any) -> Iterator[tuple[Provider, openai.OpenAI]]:
    """A provider and a client that talks to it."""
    with (
        Provider(Scenario.from_dict(scenario)) as provider,
        openai.OpenAI(base_url=provider.url + "/v1", api_key="k", **{"max_retries": 0, **options}) as client,
    ):
        yield provider, client


def test_chat_tool_loop() -> None:
    """A tool call is answered by its id, and the next step's rule echoes the tool's result."""
    with served(TOOL_LOOP) as (provider, client):
        first = client.chat.completions.create(model="gpt-x", messages=ASK)
        call = first.choices[0].message.tool_calls[0]
        assert (
            first.choices[0].finish_reason,
            call.function.name,
            json.loads(call.function.arguments),
        ) == ("tool_calls", "add", {"a": 2, "b": 3})
        result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
        history = [*ASK, first.choices[0].message.model_dump(exclude_none=True), result]
        second = client.chat.completions.create(model="gpt-x", messages=history)
        assert second.choices[0].message.content == "The answer is 5."
        assert (call.id,) == provider.log.entries[1].tool_result_ids
        assert [entry.step for entry in provider.log.entries] == [0, 1]


@pytest.mark.parametrize("asks_usage", [True, False])
def test_chat_stream_sends_usage_only_when_asked(asks_usage: bool) -> None:
    """The usage event comes last, has no choices, and is missing where the request does not ask for it."""
    usage = {"input_tokens": 50, "cached_tokens": 20, "output_tokens": 30, "reasoning_tokens": 10}
    options: Any = {"stream_options": {"include_usage": True}} if asks_usage else {}
    with served({"rules": [{"text": "one two three", "usage": usage}]}) as (provider, client):
        chunks = list(client.chat.completions.create(model="gpt-x", messages=ASK, stream=True, **options))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert next(c.choices[0].finish_reason for c in reversed(chunks) if c.choices) == "stop"
    assert asks_usage is (chunks[-1].usage is not None) is (provider.log.entries[0].usage is not None)
    if asks_usage:
        sent = chunks[-1].usage
        assert (sent.prompt_tokens, sent.completion_tokens, sent.total_tokens) == (50, 30, 80)
        assert sent.prompt_tokens_details.cached_tokens == 20
        assert sent.completion_tokens_details.reasoning_tokens == 10


def test_reported_price_and_missing_usage() -> None:
    """A scenario can report a price as routers do, or send no usage at all, which the log then says."""
    rules = [{"text": "x", "usage": {"cost_usd": 0.0125}, "times": 1}, {"text": "x", "usage": False}]
    with served({"rules": rules}) as (provider, client):
        priced = client.chat.completions.create(model="gpt-x", messages=ASK)
        bare = client.chat.completions.create(model="gpt-x", messages=ASK)
    assert priced.usage.model_extra == {"cost": 0.0125}
    assert bare.usage is None
    assert [e.usage and e.usage["cost_usd"] for e in provider.log.entries] == [0.0125, None]


def test_chat_stream_of_parallel_tool_calls() -> None:
    """Pieces of several tool calls add up to their arguments, each under its own index and id."""
    calls = [ADD, {"name": "mul", "arguments": {"a": 4, "text": "é {model}"}}]
    with (
        served({"rules": [{"text": "Both.", "tool_calls": calls}]}) as (provider, client),
        client.chat.completions.stream(model="gpt-x", messages=ASK) as stream,
    ):
        message = stream.get_final_completion().choices[0].message
    seen = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls]
    assert [s[1:] for s in seen] == [("add", {"a": 2, "b": 3}), ("mul", {"a": 4, "text": "é gpt-x"})]
    assert [s[0] for s in seen] == [c.id for c in provider.log.entries[0].tool_calls]
    assert len({s[0] for s in seen}) == 2


def test_six_hundred_chunks() -> None:
    """A text of 600 words comes in 600 deltas."""
    with served({"rules": [{"words": 600}]}) as (provider, client):
        chunks = list(client.chat.completions.create(model="gpt-x", messages=ASK, stream=True))
    deltas = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(deltas) == 600
    assert provider.log.entries[0].text == "".join(deltas)
    assert len(chunks) + 1 == provider.log.entries[0].chunks  # the SDK swallows [DONE]


def test_responses_continue_by_id() -> None:
    """A response continued by ``previous_response_id`` is one step further, though no history was sent."""
    with served(TOOL_LOOP) as (provider, client):
        first = client.responses.create(model="gpt-x", input="2+3?")
        call = first.output[0]
        second = client.responses.create(
            model="gpt-x",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "5"}],
        )
        assert (second.status, second.output_text) == ("completed", "The answer is 5.")
        assert [(0, ()), (1, (call.call_id,))] == [(e.step, e.tool_result_ids) for e in provider.log.entries]
        with pytest.raises(openai.BadRequestError, match="not found") as unknown:
            client.responses.create(model="gpt-x", previous_response_id="resp_none", input="and?")
        assert unknown.value.code == "previous_response_not_found"


def test_responses_stream_passes_the_sdks_checks() -> None:
    """The SDK's stream helper, which checks the order of events, builds the same response as without streaming."""
    rule = {"text": "I add.", "tool_calls": [ADD], "usage": {"reasoning_tokens": 4, "cached_tokens": 2}}
    with served({"rules": [rule]}) as (provider, client):
        whole = client.responses.create(model="gpt-x", input="2+3?")
        with client.responses.stream(model="gpt-x", input="2+3?") as stream:
            events = [event.type for event in stream]
            streamed = stream.get_final_response()
    assert (events[0], events[-1]) == ("response.created", "response.completed")
    assert [item.type for item in streamed.output] == ["reasoning", "message", "function_call"]
    assert whole.output_text == streamed.output_text
    assert whole.output[2].arguments == streamed.output[2].arguments
    assert (
        streamed.usage.input_tokens_details.cached_tokens,
        streamed.usage.output_tokens_details.reasoning_tokens,
    ) == (2, 4)
    assert provider.log.entries[1].tool_calls[0].id == streamed.output[2].call_id


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [("truncate", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter")],
)
def test_responses_incomplete(fault: str, status: str, reason: str) -> None:
    """A cut or filtered answer is an incomplete response that says why, streamed and not."""
    with served({"rules": [{"text": "one two three four", "fault": fault}]}) as (_, client):
        whole = client.responses.create(model="gpt-x", input="go")
        last = list(client.responses.create(model="gpt-x", input="go", stream=True))[-1]
    assert (status, reason) == (whole.status, whole.incomplete_details.reason)
    assert ("response.incomplete", reason) == (last.type, last.response.incomplete_details.reason)


def test_embeddings_are_the_same_in_both_encodings() -> None:
    """Base64 (the SDK's default) and floats give the same vectors, and equal texts equal ones."""
    with served({"rules": [{"text": "never for embeddings"}]}) as (provider, client):
        packed = client.embeddings.create(model="emb", input=["a", "b", "a"], dimensions=4)
        plain = client.embeddings.create(model="emb", input=["a", "b", "a"], dimensions=4, encoding_format="float")
    assert [len(d.embedding) for d in plain.data] == [4, 4, 4]
    assert plain.data[0].embedding == plain.data[2].embedding != plain.data[1].embedding
    assert plain.data[1].embedding == pytest.approx(packed.data[1].embedding, abs=1e-6)
    assert provider.log.entries[0].api == "openai.embeddings"
    assert packed.usage.prompt_tokens == provider.log.entries[0].usage["input_tokens"]


def test_async_clients_in_parallel() -> None:
    """Twenty streams at once are each complete and logged once."""

    async def main(url: str) -> list[str]:
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k") as client:

            async def one(i: int) -> str:
                ask: list[Any] = [{"role": "user", "content": f"number {i}"}]
                stream = await client.chat.completions.create(model="gpt-x", messages=ask, stream=True)
                return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

            return await asyncio.gather(*(one(i) for i in range(20)))

    with Provider(Scenario.from_dict({"rules": [{"text": "You said {last_user}."}]})) as provider:
        said = asyncio.run(main(provider.url))
    assert [f"You said number {i}." for i in range(20)] == said
    assert sorted(said) == sorted(entry.text for entry in provider.log.entries)


def test_models() -> None:
    """The scenario's models are listed, can be looked up, and are the only ones that answer."""
    with served({"models": ["gpt-x", "gpt-y"]}) as (provider, client):
        assert [m.id for m in client.models.list()] == ["gpt-x", "gpt-y"]
        assert client.models.retrieve("gpt-y").id == "gpt-y"
        with pytest.raises(openai.NotFoundError, match="gpt-z") as missing:
            client.chat.completions.create(model="gpt-z", messages=ASK)
    assert missing.value.code == "model_not_found"
    assert provider.log.entries[-1].fault == "model_not_found"
