"""Ollama's own API: ``/api/chat`` and ``/api/generate``, streamed as one JSON object per line.

In: request and response bodies, or the lines of a stream. Out: facts and a folded body. A module of its
own, like each format. Tool calls have no ids as a rule and results name only the tool, so they are
linked by name and order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..digests import canonical
from .facts import INCOMPLETE, RequestFacts, ResponseFacts, ToolAnswer, ToolCall
from .sse import ServerSentEvent
from .tokens import usage
from .values import arguments, joined, loads, obj, objs, picked, provider_error, spoken, text

_OPTIONS = {
    "num_predict": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
}


class Ollama:
    """``POST …/api/chat`` and ``…/api/generate``."""

    api = "ollama"
    terminal: tuple[bytes, ...] = ()
    is_ndjson = True

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """What a request says; without ``stream`` the server streams."""
        messages = objs(body.get("messages"))
        if not messages and (prompt := text(body.get("prompt"))):
            messages = [{"role": "user", "content": prompt}]
        last = messages[-1] if messages else {}
        said = next((m for m in reversed(messages) if m.get("role") == "assistant"), None)
        prompts = [joined(body.get("system"))]
        prompts += [joined(m.get("content")) for m in messages if m.get("role") == "system"]
        tools = objs(body.get("tools"))
        params = picked(obj(body.get("options")), _OPTIONS) | picked(
            body, {"stream": "stream", "think": "reasoning_effort"}
        )
        if (shape := body.get("format")) is not None:
            params["response_format"] = shape if isinstance(shape, str) else "json_schema"
        return RequestFacts(
            model=text(body.get("model")),
            stream=body.get("stream") is not False,
            params=params,
            message_count=len(messages),
            prompt="\n\n".join(p for p in prompts if p) or None,
            tools_offered=tuple(n for t in tools if (n := text(obj(t.get("function")).get("name")))),
            tools_text=canonical(tools) if tools else None,
            tool_answers=tuple(
                ToolAnswer(
                    text(m.get("tool_call_id")),
                    text(m.get("tool_name")) or text(m.get("name")),
                    spoken(m.get("content")),
                )
                for m in messages
                if m.get("role") == "tool"
            ),
            last_user_text=(joined(last.get("content")) or None) if last.get("role") == "user" else None,
            last_assistant_text=None if said is None else joined(said.get("content")),
            last_assistant_tool_ids=tuple(i for c in objs(obj(said).get("tool_calls")) if (i := text(c.get("id")))),
        )

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """What a response says; the counts stand beside the message."""
        message = obj(body.get("message"))
        calls = tuple(_call(c) for c in objs(message.get("tool_calls")))
        error = provider_error(body)
        raw = text(body.get("done_reason"))
        finish = None
        if body.get("done") is True:
            finish = {"length": "length", "stop": "stop", None: "stop"}.get(raw, "other")
            finish = "tool_calls" if finish == "stop" and calls else finish
        return ResponseFacts(
            model=text(body.get("model")),
            finish_reason="error" if error != provider_error({}) else finish,
            finish_reason_raw=raw,
            text=text(message.get("content")) or text(body.get("response")) or "",
            tool_calls=calls,
            usage=usage(self.api, body),
            error_type=error.type,
            error_code=error.code,
            error_message=error.message,
            incomplete=body.get(INCOMPLETE) is True,
        )

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """The response that the lines add up to; the last one carries the counts."""
        body: dict[str, Any] = {}
        message: dict[str, Any] = {}
        written = ""
        calls: list[Any] = []
        for event in events:
            value = obj(loads(event.data))
            piece = obj(value.get("message"))
            body |= {k: v for k, v in value.items() if v is not None and k not in ("message", "response")}
            for key in ("content", "thinking"):
                if isinstance(more := piece.get(key), str):
                    message[key] = message.get(key, "") + more
            if (role := text(piece.get("role"))) is not None:
                message["role"] = role
            calls += objs(piece.get("tool_calls"))
            written += text(value.get("response")) or ""
        if calls:
            message["tool_calls"] = calls
        if message:
            body["message"] = message
        if written:
            body["response"] = written
        if body.get("done") is not True and not body.get("error"):
            body[INCOMPLETE] = True
        return body


def _call(call: dict[str, Any]) -> ToolCall:
    function = obj(call.get("function"))
    return ToolCall(text(call.get("id")), text(function.get("name")) or "", arguments(function.get("arguments")))
