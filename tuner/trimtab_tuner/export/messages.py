"""Kept bodies of requests and responses as the messages of the GenAI conventions: roles with typed parts.

In: a JSON body as it was on the wire (chat, messages, responses, Gemini and Ollama formats). Out: input or output
messages, ``[{"role", "parts": [{"type": "text", "content"}, {"type": "tool_call", ...}, ...]}]``, and the system prompt
as parts. Pictures and sounds keep their type and lose their data. A body of another form gives None, and is then
exported as the text that it is. Nothing here raises on odd input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from trimtab_tracer.wire.formats import by_api

Part = dict[str, Any]


class Asked(NamedTuple):
    """What a request says."""

    system: list[Part]
    messages: list[dict[str, Any]]


def asked(body: str) -> Asked | None:
    """The messages of a request; None where they are not to be found."""
    data = _object(body)
    if data is None:
        return None
    system = [
        part for key in ("system", "instructions", "systemInstruction") for part in _parts(_inside(data.get(key)))
    ]
    said = data.get("messages", data.get("input", data.get("contents")))
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said if isinstance(said, list) else []
    messages = [_message(item) for item in items if isinstance(item, dict)]
    return Asked(system, messages) if messages else None


def answered(api: str, body: str) -> list[dict[str, Any]] | None:
    """The message of a response, by the format's own reader; None where it holds none."""
    data, reader = _object(body), by_api(api)
    if data is None or reader is None:
        return None
    facts = reader.response(data)
    parts: list[Part] = [{"type": "text", "content": facts.text}] if facts.text else []
    parts += [_call(call.provider_id, call.name, call.arguments) for call in facts.tool_calls]
    if not parts:
        return None
    return [{"role": "assistant", "parts": parts, "finish_reason": facts.finish_reason or "error"}]


def _object(body: str) -> dict[str, Any] | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _inside(value: Any) -> Any:
    """Gemini wraps the parts of its system prompt in a content."""
    return value.get("parts") if isinstance(value, dict) else value


def _message(item: dict[str, Any]) -> dict[str, Any]:
    kind, role = item.get("type"), item.get("role")
    if kind in ("function_call", "custom_tool_call"):
        arguments = item.get("arguments", item.get("input"))
        return {"role": "assistant", "parts": [_call(item.get("call_id"), item.get("name"), arguments)]}
    if kind in ("function_call_output", "custom_tool_call_output"):
        return {"role": "tool", "parts": [_result(item.get("call_id"), item.get("output"))]}
    if role == "tool":
        return {"role": "tool", "parts": [_result(item.get("tool_call_id"), item.get("content"))]}
    parts = list(_parts(item.get("content", item.get("parts"))))
    calls = item.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            parts.append(_call(call.get("id"), function.get("name"), function.get("arguments")))
    return {"role": "assistant" if role == "model" else str(role or "user"), "parts": parts}


def _parts(content: Any) -> Iterator[Part]:
    """Parts of a message's content: a text, or a list of blocks."""
    if isinstance(content, str):
        yield {"type": "text", "content": content}
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            yield {"type": "text", "content": block}
        elif isinstance(block, dict):
            yield _part(block)


def _part(block: dict[str, Any]) -> Part:
    kind = block.get("type")
    if isinstance(block.get("text"), str):
        return {"type": "text", "content": block["text"]}
    if kind == "tool_use":
        return _call(block.get("id"), block.get("name"), block.get("input"))
    if kind == "tool_result":
        return _result(block.get("tool_use_id"), block.get("content"))
    call, result = block.get("functionCall"), block.get("functionResponse")
    if isinstance(call, dict):
        return _call(call.get("id"), call.get("name"), call.get("args"))
    if isinstance(result, dict):
        return _result(result.get("id"), result.get("response"))
    return {"type": str(kind or next(iter(block), "other"))}


def _call(own: Any, name: Any, arguments: Any) -> Part:
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # what is no JSON stays the text that the model wrote
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": own, "name": name, "arguments": arguments}


def _result(own: Any, content: Any) -> Part:
    texts = [part["content"] for part in _parts(content) if part["type"] == "text"]
    return {"type": "tool_call_response", "id": own, "response": "\n".join(texts) if texts else content}
