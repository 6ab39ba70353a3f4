"""Anthropic messages: content blocks, tool results inside user messages, threads kept by the server.

In: request and response bodies, or the events of a stream. Out: facts and a folded body. A module of its
own, like each format. Read in Anthropic's SDK 2.11, whose tool runner sends ``thread`` continuations
without history, prompt or tools.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..digests import canonical
from .facts import INCOMPLETE, RequestFacts, ResponseFacts, ToolAnswer, ToolCall
from .sse import ServerSentEvent
from .tokens import usage
from .usage import model_in
from .values import arguments, joined, loads, named, obj, objs, picked, provider_error, spoken, text

_PARAMS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
    "stream": "stream",
    "service_tier": "service_tier",
}

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


class AnthropicMessages:
    """``POST …/v1/messages``, also through Vertex."""

    api = "anthropic.messages"
    terminal: tuple[bytes, ...] = (
        b"event: message_stop",
        b"event:message_stop",
        b'data: {"type":"message_stop"',
        b'data: {"type": "message_stop"',
    )
    is_ndjson = False

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """What a request says; a thread's continuation names the response it follows instead of repeating it."""
        messages = objs(body.get("messages"))
        last = messages[-1] if messages else {}
        said = next((m for m in reversed(messages) if m.get("role") == "assistant"), None)
        prompts = [joined(body.get("system"))]
        prompts += [joined(m.get("content")) for m in messages if m.get("role") == "system"]
        tools = objs(body.get("tools"))
        thread = obj(body.get("thread"))
        choice = obj(body.get("tool_choice"))
        params = picked(body, _PARAMS) | picked(obj(body.get("output_config")), {"effort": "reasoning_effort"})
        if "reasoning_effort" not in params and (thinking := obj(body.get("thinking"))):
            budget = thinking.get("budget_tokens")
            params["reasoning_effort"] = budget if isinstance(budget, int) else named(thinking)
        if choice:
            params["tool_choice"] = named(choice)
            if choice.get("disable_parallel_tool_use") is not None:
                params["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
        return RequestFacts(
            model=text(body.get("model")) or model_in(path),
            stream=body.get("stream") is True or path.endswith(":streamRawPredict"),
            params={k: v for k, v in params.items() if v is not None},
            message_count=len(messages),
            prompt="\n\n".join(p for p in prompts if p) or None,
            tools_offered=tuple(n for t in tools if (n := text(t.get("name")) or text(t.get("type")))),
            # Where a cache may end says nothing about a tool, and clients and policies move it about.
            tools_text=canonical([_unmarked(tool) for tool in tools]) if tools else None,
            tool_answers=tuple(a for m in messages for a in _answers(m)),
            last_user_text=(joined(last.get("content")) or None) if last.get("role") == "user" else None,
            last_assistant_text=None if said is None else joined(said.get("content")),
            last_assistant_tool_ids=tuple(
                i for b in objs(obj(said).get("content")) if b.get("type") == "tool_use" and (i := text(b.get("id")))
            ),
            previous_response_id=text(thread.get("previous_message_id")),
            inherits_setup=thread.get("type") == "continue",
        )

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """What a response says; tools that the server runs itself ask nothing of the agent and are left out."""
        blocks = objs(body.get("content"))
        error = provider_error(body)
        raw = text(body.get("stop_reason"))
        finish = None if raw is None else _FINISH.get(raw, "other")
        return ResponseFacts(
            model=text(body.get("model")),
            response_id=text(body.get("id")),
            finish_reason="error" if error != provider_error({}) else finish,
            finish_reason_raw=raw,
            text="\n".join(t for b in blocks if b.get("type") == "text" and (t := text(b.get("text")))),
            tool_calls=tuple(
                ToolCall(text(b.get("id")), text(b.get("name")) or "", arguments(b.get("input")))
                for b in blocks
                if b.get("type") == "tool_use"
            ),
            usage=usage(self.api, body.get("usage")),
            error_type=error.type,
            error_code=error.code,
            error_message=error.message,
            incomplete=body.get(INCOMPLETE) is True,
        )

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """The message that the blocks and deltas add up to."""
        body: dict[str, Any] = {}
        blocks: dict[int, dict[str, Any]] = {}
        inputs: dict[int, str] = {}
        for event in events:
            value = obj(loads(event.data))
            kind = text(value.get("type")) or event.event
            index = value.get("index")
            if kind == "message_start":
                body = dict(obj(value.get("message")))
            elif kind == "content_block_start" and isinstance(index, int):
                blocks[index] = dict(obj(value.get("content_block")))
            elif kind == "content_block_delta" and isinstance(index, int):
                _add(blocks.setdefault(index, {}), inputs, index, obj(value.get("delta")))
            elif kind == "message_delta":
                body |= {k: v for k, v in obj(value.get("delta")).items() if v is not None}
                # Counts are cumulative; a field that is left out keeps the value of the start.
                body["usage"] = obj(body.get("usage")) | {
                    k: v for k, v in obj(value.get("usage")).items() if v is not None
                }
            elif kind == "error":
                body["error"] = value.get("error") or {"message": event.data}
        for index, written in inputs.items():
            # Arguments that don't parse stay text, so that a reader can tell them from valid ones.
            blocks[index]["input"] = parsed if (parsed := loads(written)) is not None else written
        body["content"] = [blocks[i] for i in sorted(blocks)]
        if not body.get("stop_reason") and not body.get("error"):
            body[INCOMPLETE] = True
            # What the start says of the output is a placeholder; the count comes with the end.
            body["usage"] = {k: v for k, v in obj(body.get("usage")).items() if k != "output_tokens"}
        return body


def _unmarked(tool: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tool.items() if key != "cache_control"} if "cache_control" in tool else tool


def _answers(message: dict[str, Any]) -> list[ToolAnswer]:
    return [
        ToolAnswer(
            text(b.get("tool_use_id")),
            None,
            spoken(b.get("content")),
            b["is_error"] if isinstance(b.get("is_error"), bool) else None,
        )
        for b in objs(message.get("content"))
        if b.get("type") == "tool_result"
    ]


def _add(block: dict[str, Any], inputs: dict[int, str], index: int, delta: dict[str, Any]) -> None:
    """One delta, added to its block; tool arguments are gathered apart until their JSON is whole."""
    kind = delta.get("type")
    if kind == "input_json_delta" and isinstance(delta.get("partial_json"), str):
        if delta["partial_json"]:
            inputs[index] = inputs.get(index, "") + delta["partial_json"]
        return
    key = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(str(kind))
    if key is not None and isinstance(delta.get(key), str):
        block.setdefault("type", "text" if key == "text" else "thinking")
        before = block.get(key)
        block[key] = (before if isinstance(before, str) else "") + delta[key]
