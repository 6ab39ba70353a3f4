"""What was said in a call that a span tells of: its attributes as a request and a response in OpenAI's chat shape.

In: the flat attributes of a span. Out: two JSON-able bodies, either of them None where the span holds no words. Apart
from :mod:`.spans` because each convention keeps words in its own way: as one JSON text, as a list, or with an index
in the attribute's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from trimtab_tracer.digests import canonical
from trimtab_tracer.wire.values import joined, loads, obj, objs, text

_ASKED: Final = (
    "gen_ai.input.messages",
    "ai.prompt.messages",
    "ai.prompt",
    "gen_ai.prompt",
    "llm.prompts",
    "input.value",
)
_SAID: Final = (
    *("gen_ai.output.messages", "ai.response.text", "ai.response.object", "gen_ai.completion", "llm.completions"),
    "output.value",
)
_INDEXED_ASKED: Final = ("llm.input_messages", "gen_ai.prompt", "gen_ai.input.messages")
_INDEXED_SAID: Final = ("llm.output_messages", "gen_ai.completion", "gen_ai.output.messages")
_SYSTEM: Final = ("gen_ai.system_instructions",)
_INDEX: Final = re.compile(r"(\d{1,5})\.(?:message\.)?(.+)")
_TOOL: Final = re.compile(r"tool_calls\.(\d{1,4})\.(?:tool_call\.)?(?:function\.)?(id|name|arguments)")


def request_of(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request: ``messages`` and the model."""
    messages = next((m for prefix in _INDEXED_ASKED if (m := _indexed(attributes, prefix))), [])
    messages = messages or _told(attributes, _ASKED, "user")
    system = next((joined(_parts(loads(v))) for k in _SYSTEM if isinstance(v := attributes.get(k), str)), "")
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    return {"messages": messages} if messages else None


def response_of(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The response: one choice."""
    messages = next((m for prefix in _INDEXED_SAID if (m := _indexed(attributes, prefix))), [])
    messages = messages or _told(attributes, _SAID, "assistant")
    if not messages:
        return None
    said = messages[-1] | {"role": "assistant"}
    return {"choices": [{"index": 0, "message": said}]}


def _indexed(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Messages whose index is part of the attributes' names."""
    found: dict[int, dict[str, Any]] = {}
    tools: dict[int, dict[int, dict[str, Any]]] = {}
    for name, value in attributes.items():
        at = _INDEX.fullmatch(name[len(prefix) + 1 :]) if name.startswith(f"{prefix}.") else None
        if at is None:
            continue
        message = found.setdefault(int(at[1]), {"role": "user", "content": ""})
        if (tool := _TOOL.fullmatch(at[2])) is not None:
            tools.setdefault(int(at[1]), {}).setdefault(int(tool[1]), {})[tool[2]] = value
        elif at[2] in ("role", "content", "tool_call_id", "name", "finish_reason"):
            message[at[2]] = value
        elif at[2].endswith(("message_content.text", ".content", ".text")):
            message["content"] = "\n".join(part for part in (joined(message["content"]), joined(value)) if part)
    for index, calls in tools.items():
        found[index]["tool_calls"] = [
            {
                "id": call.get("id"),
                "type": "function",
                "function": {"name": call.get("name") or "", "arguments": _written(call.get("arguments"))},
            }
            for _, call in sorted(calls.items())
        ]
    return [found[index] for index in sorted(found)]


def _told(attributes: Mapping[str, Any], names: tuple[str, ...], role: str) -> list[dict[str, Any]]:
    """Messages that one attribute holds, as JSON or as plain text."""
    value = next((v for name in names if (v := attributes.get(name)) not in (None, "", [])), None)
    if value is None:
        return []
    opened = loads(value) if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else value
    given = obj(opened).get("messages", opened)
    messages = [_message(m, role) for m in objs(given)] if isinstance(given, list) else []
    return messages or [{"role": role, "content": value if isinstance(value, str) else _written(value)}]


def _message(message: dict[str, Any], role: str) -> dict[str, Any]:
    content = message.get("content", message.get("parts"))
    return {"role": text(message.get("role")) or role, "content": joined(_parts(content)) or _written(content)}


def _parts(content: Any) -> Any:
    """Content parts with their text under ``text``, whatever the convention calls it."""
    if not isinstance(content, list):
        return content
    return [
        part | {"text": part.get("text") or part.get("content") or part.get("result") or ""}
        if isinstance(part, dict)
        else part
        for part in content
    ]


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical(value)
