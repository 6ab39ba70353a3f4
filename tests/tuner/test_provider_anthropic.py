"""The scripted provider as the real Anthropic SDK sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx
import pytest

from trimtab_tuner.provider import Provider, Scenario

ADD = {"name": "add", "arguments": {"a": 2, "b": 3}}
ASK: list[Any] = [{"role": "user", "content": "2+3?"}]
TOOL_LOOP = Scenario.from_dict(
    {"rules": [{"step": 0, "text": "I add.", "tool_calls": [ADD]}, {"text": "The answer is {last_tool_result}."}]}
)


def test_tool_loop() -> None:
    """A tool_use block is answered by its id, and the text before it is its own block."""
    with Provider(TOOL_LOOP) as provider, anthropic.Anthropic(base_url=provider.url, api_key="k") as client:
        first = client.messages.create(model="claude-x", max_tokens=99, messages=ASK)
        text, tool = first.content
        assert (first.stop_reason, text.text, tool.input) == ("tool_use", "I add.", {"a": 2, "b": 3})
        result = {"type": "tool_result", "tool_use_id": tool.id, "content": [{"type": "text", "text": "5"}]}
        history = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        second = client.messages.create(model="claude-x", max_tokens=99, messages=history)
        assert (second.stop_reason, second.content[0].text) == ("end_turn", "The answer is 5.")
        assert (tool.id,) == provider.log.entries[1].tool_result_ids
        assert first._request_id == provider.log.entries[0].request_id


def test_stream_adds_up_to_the_whole() -> None:
    """The SDK's stream helper builds the same message as without streaming, its ids apart."""
    usage = {
        "input_tokens": 90,
        "cached_tokens": 40,
        "cache_write_tokens": 10,
        "output_tokens": 30,
        "reasoning_tokens": 5,
    }
    scenario = Scenario.from_dict({"rules": [{"text": "I add and", "tool_calls": [ADD, ADD], "usage": usage}]})
    with Provider(scenario) as provider, anthropic.Anthropic(base_url=provider.url, api_key="k") as client:
        whole = client.messages.create(model="claude-x", max_tokens=99, messages=ASK)
        with client.messages.stream(model="claude-x", max_tokens=99, messages=ASK) as stream:
            kinds = [event.type for event in stream]
            streamed = stream.get_final_message()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert [c.name for c in whole.content[1:]] == [c.name for c in streamed.content[1:]]
    assert [c.input for c in whole.content[1:]] == [c.input for c in streamed.content[1:]]
    for message in (whole, streamed):
        sent = message.usage
        assert (
            sent.input_tokens,
            sent.cache_read_input_tokens,
            sent.cache_creation_input_tokens,
            sent.output_tokens,
        ) == (40, 40, 10, 30)
        assert sent.output_tokens_details.thinking_tokens == 5


def test_tool_runner_continues_a_thread() -> None:
    """The SDK's tool runner, which sends no history after the first turn, is taken one step further by message id."""

    @anthropic.beta_tool
    def add(a: int, b: int) -> str:
        """Add."""
        return str(a + b)

    with Provider(TOOL_LOOP) as provider, anthropic.Anthropic(base_url=provider.url, api_key="k") as client:
        runner = client.beta.messages.tool_runner(model="claude-x", max_tokens=99, tools=[add], messages=ASK)
        messages = list(runner)
    assert messages[-1].content[0].text == "The answer is 5."
    assert [entry.step for entry in provider.log.entries] == [0, 1]
    sent = provider.log.entries[0].tool_calls[0].id
    assert (sent,) == provider.log.entries[1].tool_result_ids


def test_unknown_thread() -> None:
    """Continuing a message that was never sent is Anthropic's own 404."""
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": ASK,
        "thread": {"type": "continue", "previous_message_id": "msg_0"},
    }
    with Provider() as provider:
        response = httpx.post(f"{provider.url}/v1/messages", json=body)
    assert response.status_code == 404
    assert (response.json()["type"], response.json()["error"]["type"]) == ("error", "not_found_error")
    assert response.json()["error"]["details"]["error_code"] == "thread_not_found"


def test_async_stream() -> None:
    """The async client streams the text word by word."""

    async def main(url: str) -> list[str]:
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key="k") as client,
            client.messages.stream(model="claude-x", max_tokens=99, messages=ASK) as stream,
        ):
            return [text async for text in stream.text_stream]

    with Provider(Scenario.from_dict({"rules": [{"text": "one two three"}]})) as provider:
        assert asyncio.run(main(provider.url)) == ["one", " two", " three"]


@pytest.mark.parametrize(
    ("rule", "stop"),
    [
        ({"text": "one two", "fault": "truncate"}, "max_tokens"),
        ({"text": "one two", "fault": "content_filter"}, "refusal"),
        ({"text": "one two", "fault": "empty"}, "end_turn"),
    ],
)
def test_stop_reasons(rule: dict[str, Any], stop: str) -> None:
    """Truncation, filter and an empty answer have Anthropic's own stop reasons, streamed and not."""
    with (
        Provider(Scenario.from_dict({"rules": [rule]})) as provider,
        anthropic.Anthropic(base_url=provider.url, api_key="k") as client,
    ):
        whole = client.messages.create(model="claude-x", max_tokens=99, messages=ASK)
        with client.messages.stream(model="claude-x", max_tokens=99, messages=ASK) as stream:
            streamed = stream.get_final_message()
    assert [stop, stop] == [whole.stop_reason, streamed.stop_reason]


def test_models_in_anthropic_shape() -> None:
    """``GET /v1/models`` answers the SDK that asks."""
    with (
        Provider(Scenario.from_dict({"models": ["claude-x"]})) as provider,
        anthropic.Anthropic(base_url=provider.url, api_key="k") as client,
    ):
        assert [model.id for model in client.models.list()] == ["claude-x"]
