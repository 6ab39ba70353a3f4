"""Temperature, effort and cache hints of a steered agent: only where its request takes them, and back where not."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest

import trimtab

USER: Any = {"role": "user", "content": "hi"}
COOL = {"knob": "temperature", "value": 0.25}
HARDER = {"knob": "reasoning_effort", "value": "high"}
CACHED = {"knob": "prompt_cache", "value": "1h"}


def test_values_of_the_code_are_replaced(agent: Any) -> None:
    """Each API gets temperature and effort where the code says one, and in the code's spelling."""
    provider = agent.provider({"text": "ok"})
    agent.obey(COOL, HARDER)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        client.chat.completions.create(model="m", messages=[USER], temperature=1, reasoning_effort="low")
        client.responses.create(model="m", input="hi", temperature=1, reasoning={"effort": "low"})
    with anthropic.Anthropic(base_url=provider.url, api_key="any") as client:
        client.messages.create(model="m", max_tokens=50, messages=[USER], output_config={"effort": "low"})
    chat, responses, messages = (entry.body for entry in provider.log.entries)
    assert (0.25, "high") == (chat["temperature"], chat["reasoning_effort"])
    assert (0.25, {"effort": "high"}) == (responses["temperature"], responses["reasoning"])
    assert ({"effort": "high"}, False) == (messages["output_config"], "temperature" in messages)
    assert [(0.25, "human", 1.0, 1)] * 2 == agent.decisions("temperature")[:2]
    assert ["high", "high", "high"] == [value for value, source, *_ in agent.decisions("reasoning_effort")]


def test_what_the_code_does_not_say_is_not_sent(agent: Any, ask: Any) -> None:
    """No request gets a parameter that its code did not give, and none of these is in the experiment."""
    provider = agent.provider({"text": "ok"})
    arms = [{"value": 0.25, "weight": 0.5}, {"incumbent": True, "weight": 0.5}]
    agent.obey({"knob": "temperature", "source": "experiment", "arms": arms}, HARDER)
    ask(provider.url)
    (entry,) = provider.log.entries
    assert not {"temperature", "reasoning_effort", "reasoning", "thinking", "output_config"} & set(entry.body)
    assert {"default"} == {source for _, source, *_ in agent.decisions("temperature")}
    assert [] == [source for _, source, *_ in agent.decisions("reasoning_effort") if source != "default"]


@pytest.mark.parametrize("way", ["sync", "async", "stream"])
def test_refused_parameter_is_left_alone(agent: Any, way: str) -> None:
    """The request goes out once more as the code made it, and later ones without the parameter; other lines go on."""
    refusal = {"status": 400, "message": "Unsupported value: 'temperature' does not support 0.25 with this model."}
    provider = agent.provider({"body": '"temperature":0.25', "fault": refusal}, {"text": "ok"})
    agent.obey(COOL)

    def here(client: Any, model: str) -> str:
        asked: Any = {"model": model, "messages": [USER], "temperature": 1}
        if way == "stream":
            chunks = client.chat.completions.create(**asked, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return str(client.chat.completions.create(**asked).choices[0].message.content)

    async def there(client: Any, model: str) -> str:
        answer = await client.chat.completions.create(model=model, messages=[USER], temperature=1)
        return str(answer.choices[0].message.content)

    async def ask_async(models: list[str]) -> list[str]:
        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="any") as client:
            return [await there(client, model) for model in models]

    models = ["one", "one", "two"]
    if way == "async":
        answers = asyncio.run(ask_async(models))
    else:
        with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
            answers = [here(client, model) for model in models]
    assert ["ok"] * 3 == answers
    sent = [(entry.model, entry.body["temperature"]) for entry in provider.log.entries]
    assert [("one", 0.25), ("one", 1), ("one", 1), ("two", 0.25), ("two", 1)] == sent
    assert [1, 2, 1, 1, 2] == [attempt.number for attempt in agent.attempts()]
    assert 3 == len({attempt.call_id for attempt in agent.attempts()})


def test_wrong_request_is_wrong_anyway(agent: Any, openai_ask: Any) -> None:
    """A refusal that names nothing of ours is handed on as it is, after one request."""
    provider = agent.provider({"fault": {"status": 400, "message": "messages: too few"}})
    agent.obey(COOL)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client, pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="m", messages=[USER], temperature=1)
    assert 1 == len(provider.log.entries)


def test_refused_parameter_of_a_call_in_our_loop(agent: Any, backoff: Any) -> None:
    """Retries go on without the parameter, and the refusal takes none of them."""
    refusal = {"status": 400, "message": "temperature is not supported"}
    provider = agent.provider(
        {"body": '"temperature":0.25', "fault": refusal}, {"text": "ok", "fault": {"status": 500, "times": 2}}
    )
    agent.obey(COOL, {"knob": "max_retries", "value": 2}, backoff)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any", max_retries=0) as client:
        client.chat.completions.create(model="m", messages=[USER], temperature=1)
    sent = [(entry.status, entry.body["temperature"]) for entry in provider.log.entries]
    assert [(400, 0.25), (500, 1), (500, 1), (200, 1)] == sent


def test_cache_hints_are_added(agent: Any) -> None:
    """Anthropic gets marks behind tools, prompt and last message; OpenAI one key for requests that begin alike."""
    provider = agent.provider({"text": "ok"})
    agent.obey(CACHED)
    tools: Any = [{"name": n, "description": "d", "input_schema": {"type": "object"}} for n in ("a", "b")]
    with anthropic.Anthropic(base_url=provider.url, api_key="any") as client:
        client.messages.create(model="m", max_tokens=9, system="Be kind.", tools=tools, messages=[USER])
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for content in ("one", "two"):
            asked: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": content}]
            client.chat.completions.create(model="m", messages=asked)
        client.responses.create(model="m", input="hi", prompt_cache_key="mine")
    marked, one, two, own = (entry.body for entry in provider.log.entries)
    mark = {"type": "ephemeral", "ttl": "1h"}
    assert [None, mark] == [tool.get("cache_control") for tool in marked["tools"]]
    assert [{"type": "text", "text": "Be kind.", "cache_control": mark}] == marked["system"]
    assert [{"type": "text", "text": "hi", "cache_control": mark}] == marked["messages"][0]["content"]
    assert one["prompt_cache_key"] == two["prompt_cache_key"]
    assert "mine" == own["prompt_cache_key"]
    assert [("1h", "human", 1.0, 1)] * 3 == agent.decisions("prompt_cache")


def test_draws_are_recorded_as_they_were(agent: Any) -> None:
    """An experiment's arms arrive with their odds; where the code's own was drawn its value stands."""
    provider = agent.provider({"text": "ok"})
    arms = [{"value": 0.25, "weight": 0.5}, {"incumbent": True, "weight": 0.5}]
    agent.obey({"knob": "temperature", "source": "experiment", "arms": arms})
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for _ in range(14):
            with trimtab.run("r"):
                client.chat.completions.create(model="m", messages=[USER], temperature=1)
    sent = [entry.body["temperature"] for entry in provider.log.entries]
    assert {0.25, 1} == set(sent)
    assert [(value, "experiment", 0.5, 1) for value in sent] == agent.decisions("temperature")
