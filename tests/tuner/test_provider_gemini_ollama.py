"""The scripted provider on the wire of Gemini and Ollama."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from trimtab_tuner.provider import Provider, Scenario

ADD = {"name": "add", "arguments": {"a": 2, "b": 3}}
USAGE = {"input_tokens": 50, "cached_tokens": 20, "output_tokens": 30, "reasoning_tokens": 10}
SCENARIO = Scenario.from_dict(
    {
        "defaults": {"usage": USAGE},
        "rules": [{"step": 0, "text": "I add.", "tool_calls": [ADD]}, {"text": "The answer is {last_tool_result}."}],
    }
)
GEMINI_ASK: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "2+3?"}]}]}
OLLAMA_ASK: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "2+3?"}]}


def test_gemini_tool_loop() -> None:
    """A function call comes with id and object; its result moves the conversation one step on."""
    with Provider(SCENARIO) as provider:
        url = f"{provider.url}/v1beta/models/gemini-x:generateContent?key=AIzaSecret"
        first = httpx.post(url, json=GEMINI_ASK).json()
        call = first["candidates"][0]["content"]["parts"][1]["functionCall"]
        result = {"functionResponse": {"id": call["id"], "name": "add", "response": {"result": 5}}}
        contents = [*GEMINI_ASK["contents"], first["candidates"][0]["content"], {"role": "user", "parts": [result]}]
        second = httpx.post(url, json={"contents": contents}).json()
    assert (call["name"], call["args"]) == ("add", {"a": 2, "b": 3})
    assert second["candidates"][0]["content"]["parts"][0]["text"] == "The answer is 5."
    assert second["usageMetadata"] == {
        "promptTokenCount": 50,
        "candidatesTokenCount": 20,
        "totalTokenCount": 80,
        "cachedContentTokenCount": 20,
        "thoughtsTokenCount": 10,
    }
    assert [("gemini-x", 0, ()), ("gemini-x", 1, (call["id"],))] == [
        (entry.model, entry.step, entry.tool_result_ids) for entry in provider.log.entries
    ]


@pytest.mark.parametrize("query", ["?alt=sse", ""])
def test_gemini_streams(query: str) -> None:
    """Server-sent events and the JSON array hold the same elements, the last with finish reason and usage."""
    with Provider(Scenario.from_dict({"rules": [{"text": "one two three", "usage": USAGE}]})) as provider:
        response = httpx.post(f"{provider.url}/v1beta/models/g:streamGenerateContent{query}", json=GEMINI_ASK)
    if query:
        events = [json.loads(e.removeprefix("data: ")) for e in response.text.split("\r\n\r\n") if e]
    else:
        events = json.loads(response.text)
    assert [e["candidates"][0]["content"]["parts"][0]["text"] for e in events] == ["one", " two", " three"]
    assert [e["candidates"][0].get("finishReason") for e in events] == [None, None, "STOP"]
    assert sum(events[-1]["usageMetadata"][k] for k in ("candidatesTokenCount", "thoughtsTokenCount")) == 30
    assert provider.log.entries[0].chunks == 3


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"tool_calls": [ADD], "fault": "malformed_arguments"}, "MALFORMED_FUNCTION_CALL"),
        ({"text": "one two", "fault": "truncate"}, "MAX_TOKENS"),
        ({"text": "one two", "fault": "content_filter"}, "SAFETY"),
        ({"text": "one two", "fault": "empty"}, "STOP"),
    ],
)
def test_gemini_finish_reasons(rule: dict[str, Any], reason: str) -> None:
    """Faults of the answer have Gemini's own finish reasons, streamed and not."""
    with Provider(Scenario.from_dict({"rules": [rule]})) as provider:
        url = f"{provider.url}/v1beta/models/g"
        whole = httpx.post(f"{url}:generateContent", json=GEMINI_ASK).json()
        streamed = httpx.post(f"{url}:streamGenerateContent", json=GEMINI_ASK).json()
    assert [reason, reason] == [e["candidates"][0]["finishReason"] for e in (whole, streamed[-1])]
    assert provider.log.entries[0].tool_calls == ()


def test_ollama_chat_loop_streams_by_default() -> None:
    """Lines of JSON end in ``done`` with the counts; tool calls have no id, so the log has the tool's name."""
    with Provider(SCENARIO) as provider:
        lines = [json.loads(line) for line in httpx.post(f"{provider.url}/api/chat", json=OLLAMA_ASK).text.splitlines()]
        tool = {"role": "tool", "tool_name": "add", "content": "5"}
        history = [*OLLAMA_ASK["messages"], {"role": "assistant", "content": ""}, tool]
        whole = httpx.post(f"{provider.url}/api/chat", json={**OLLAMA_ASK, "messages": history, "stream": False}).json()
    assert "".join(line["message"]["content"] for line in lines) == "I add."
    calls = [c["function"] for line in lines for c in line["message"].get("tool_calls", [])]
    assert calls == [{"name": "add", "arguments": {"a": 2, "b": 3}}]
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert tuple(lines[-1][k] for k in ("prompt_eval_count", "eval_count", "done_reason")) == (50, 30, "stop")
    assert whole["message"]["content"] == "The answer is 5."
    assert provider.log.entries[1].tool_result_ids == ("add",)


def test_ollama_generate_and_embed() -> None:
    """A prompt gets a response, and texts get vectors of the asked length."""
    with Provider(Scenario.from_dict({"rules": [{"text": "Echo {last_user}"}]})) as provider:
        said = httpx.post(f"{provider.url}/api/generate", json={"model": "l", "prompt": "hi", "stream": False}).json()
        made = httpx.post(f"{provider.url}/api/embed", json={"model": "e", "input": ["a", "b"], "dimensions": 3}).json()
    assert (said["response"], said["done"]) == ("Echo hi", True)
    assert [len(v) for v in made["embeddings"]] == [3, 3]
    assert [entry.api for entry in provider.log.entries] == ["ollama", "ollama"]


def test_ollama_reports_broken_arguments_as_its_own_error() -> None:
    """Ollama parses tool calls itself, so broken arguments are its status 500."""
    with Provider(Scenario.from_dict({"rules": [{"tool_calls": [ADD], "fault": "malformed_arguments"}]})) as provider:
        response = httpx.post(f"{provider.url}/api/chat", json=OLLAMA_ASK)
    assert response.status_code == 500
    assert response.json()["error"].startswith("error parsing tool call")
    assert provider.log.entries[0].fault == "malformed_arguments"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/models", lambda body: [m["id"] for m in body["data"]]),
        ("/v1beta/models", lambda body: [m["name"].removeprefix("models/") for m in body["models"]]),
        ("/api/tags", lambda body: [m["name"] for m in body["models"]]),
    ],
)
def test_model_lists(path: str, names: Any) -> None:
    """Each API lists the scenario's models in its own shape."""
    with Provider(Scenario.from_dict({"models": ["one", "two"]})) as provider:
        assert names(httpx.get(provider.url + path).json()) == ["one", "two"]
