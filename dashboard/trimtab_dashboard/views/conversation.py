"""Kept texts of a call as conversations, as far as their form is known.

In: bodies of requests and responses, as an agent sent and a provider answered them. Out: roles and texts, bounded. The
common formats (chat completions, messages, responses) are read; a body of any other form is shown as the JSON or the
text that it is, and none breaks the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from . import words

TEXT_LIMIT = 6_000
"""Characters of one text that are shown."""
MESSAGES = 40
"""Messages of one conversation that are shown, the last ones."""


class Message(NamedTuple):
    """One message of a conversation."""

    role: str
    text: str
    is_json: bool = False


def texts(content: Iterable[Any]) -> list[tuple[str, list[Message]]]:
    """Title and messages for each kept text of a call."""
    return [
        (f"{item['role'].capitalize()} of attempt {item['attempt']}", conversation(item["body"])) for item in content
    ]


def conversation(body: str) -> list[Message]:
    """The messages of a request or a response, as far as its form is known; else the body as one text."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return [Message("text", words.kept(body, TEXT_LIMIT))]
    found = list(_messages(data)) if isinstance(data, dict) else []
    if not found:
        return [
            Message("json", words.kept(json.dumps(data, indent=2, ensure_ascii=False), 2 * TEXT_LIMIT), is_json=True)
        ]
    left_out = len(found) - MESSAGES
    head = [Message("…", f"{left_out} earlier messages are left out here")] if left_out > 0 else []
    return head + found[-MESSAGES:]


def _messages(data: dict[str, Any]) -> Iterable[Message]:
    """Messages in the shapes of the chat, messages and responses formats."""
    for key in ("system", "instructions"):
        if data.get(key):
            yield Message("system", words.kept(_text(data[key]), TEXT_LIMIT))
    if isinstance(data.get("input"), str):
        yield Message("user", words.kept(data["input"], TEXT_LIMIT))
    listed = [*_objects(data.get("messages")), *_objects(data.get("input"))]
    chosen = [choice.get("message") for choice in _objects(data.get("choices"))]
    for item in [*listed, *_objects(chosen), *_objects(data.get("output"))]:
        yield _message(item)
    if "role" in data and "content" in data:
        yield _message(data)


def _objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects in a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _message(item: dict[str, Any]) -> Message:
    role = str(item.get("role") or item.get("type") or "message")
    rest = {k: v for k, v in item.items() if k not in ("role", "content") and v not in (None, [], "")}
    parts = [_text(item.get("content"))]
    if calls := _objects(rest.get("tool_calls")):
        parts += [_tool_call(call) for call in calls]
    elif not parts[0]:
        parts.append(json.dumps(rest, ensure_ascii=False, indent=1))
    name = f" (answer to {item['tool_call_id']})" if item.get("tool_call_id") else ""
    return Message(role + name, words.kept("\n".join(part for part in parts if part), TEXT_LIMIT))


def _tool_call(call: dict[str, Any]) -> str:
    asked = call.get("function")
    if isinstance(asked, dict):
        return f"→ {asked.get('name')}({asked.get('arguments')})"
    return json.dumps(call, ensure_ascii=False)


def _text(content: Any) -> str:
    """The text of a message's content, whatever form it has."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"]
            if isinstance(part, dict) and isinstance(part.get("text"), str)
            else json.dumps(part, ensure_ascii=False)
            for part in content
        )
    return json.dumps(content, ensure_ascii=False)
