"""OpenAI chat completions, as OpenAI and the many servers that imitate it speak them.

In: request and response bodies, or the events of a stream. Out: :class:`.facts.RequestFacts`,
:class:`.facts.ResponseFacts`, a folded body. A module of its own, like each format, because providers
change theirs one at a time. Read in OpenAI's SDK 3.52 and in recordings of 17 frameworks; the leniencies for
other servers carry their reason beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..digests import canonical
from .facts import INCOMPLETE, RequestFacts, ResponseFacts, ToolAnswer, ToolCall
from .sse import ServerSentEvent
from .tokens import usage, word
from .usage import model_in
from .values import NO_ERROR, arguments, joined, loads, named, obj, objs, picked, provider_error, spoken, text

PARAMS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "stream": "stream",
    "parallel_tool_calls": "parallel_tool_calls",
    "reasoning_effort": "reasoning_effort",
    "n": "n",
    "seed": "seed",
    "service_tier": "service_tier",
}
"""Request fields that are settings, and our names for them."""

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "refusal",
    "error": "error",
}


class OpenAIChat:
    """``POST …/chat/completions``."""

    api = "openai.chat"
    terminal: tuple[bytes, ...] = (b"data: [DONE]", b"data:[DONE]")
    is_ndjson = False

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """What a request says; ``messages`` carry prompt, history and tool results alike."""
        messages = objs(body.get("messages"))
        last = messages[-1] if messages else {}
        said = next((m for m in reversed(messages) if m.get("role") == "assistant"), None)
        prompts = [joined(m.get("content")) for m in messages if m.get("role") in ("system", "developer")]
        tools = objs(body.get("tools")) or objs(body.get("functions"))
        params = picked(body, PARAMS)
        params |= picked(obj(body.get("reasoning")), {"effort": "reasoning_effort"})  # OpenRouter
        params |= {k: v for k in ("tool_choice", "response_format") if (v := named(body.get(k))) is not None}
        return RequestFacts(
            model=text(body.get("model")) or model_in(path),
            stream=body.get("stream") is True,
            params=params,
            message_count=len(messages),
            prompt="\n\n".join(p for p in prompts if p) or None,
            tools_offered=tuple(n for t in tools if (n := _tool_name(t))),
            tools_text=canonical(tools) if tools else None,
            tool_answers=tuple(
                ToolAnswer(text(m.get("tool_call_id")), text(m.get("name")), spoken(m.get("content")))
                for m in messages
                if m.get("role") in ("tool", "function")
            ),
            last_user_text=(joined(last.get("content")) or None) if last.get("role") == "user" else None,
            last_assistant_text=None if said is None else joined(said.get("content")),
            last_assistant_tool_ids=tuple(i for c in objs(obj(said).get("tool_calls")) if (i := text(c.get("id")))),
        )

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """What a response says; of several choices the first counts."""
        choice = next(iter(objs(body.get("choices"))), {})
        message = obj(choice.get("message"))
        calls = tuple(_tool_call(c) for c in objs(message.get("tool_calls")))
        if not calls and isinstance(message.get("function_call"), dict):
            calls = (_tool_call({"function": message["function_call"]}),)
        error = provider_error(body)
        if error == NO_ERROR:
            error = provider_error(choice)  # OpenRouter reports an upstream's failure inside the choice
        raw = text(choice.get("finish_reason"))
        finish = None if raw is None else _FINISH.get(raw, "other")
        if finish == "stop" and calls:
            finish = "tool_calls"  # several imitations say stop
        elif finish == "stop" and text(message.get("refusal")) and not text(message.get("content")):
            finish = "refusal"
        return ResponseFacts(
            model=text(body.get("model")),
            response_id=text(body.get("id")),
            finish_reason="error" if error != NO_ERROR else finish,
            finish_reason_raw=text(choice.get("native_finish_reason")) or raw,
            text=joined(message.get("content")) or text(message.get("refusal")) or "",
            tool_calls=calls,
            usage=usage(self.api, body.get("usage")),
            service_tier=word(body.get("service_tier")),
            error_type=error.type,
            error_code=error.code,
            error_message=error.message,
            incomplete=body.get(INCOMPLETE) is True,
        )

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """The completion that the chunks add up to; usage may come in a last chunk without choices."""
        body: dict[str, Any] = {"object": "chat.completion"}
        choices: dict[int, dict[str, Any]] = {}
        for event in events:
            chunk = loads(event.data)
            if not isinstance(chunk, dict):
                continue
            for key in ("id", "created", "model", "provider", "service_tier", "system_fingerprint", "usage", "error"):
                if chunk.get(key) is not None:
                    body[key] = chunk[key]
            if body.get("usage") is None and (groq := obj(chunk.get("x_groq")).get("usage")) is not None:
                body["usage"] = groq
            for delta in objs(chunk.get("choices")):
                _add(choices, delta)
        body["choices"] = [choices[i] for i in sorted(choices)]
        if "error" not in body and not any(c["finish_reason"] for c in choices.values()):
            body[INCOMPLETE] = True
        return body


def _tool_name(tool: dict[str, Any]) -> str | None:
    inner = obj(tool.get("function")) or obj(tool.get("custom"))
    return text(inner.get("name")) or text(tool.get("name")) or text(tool.get("type"))


def _tool_call(call: dict[str, Any]) -> ToolCall:
    custom = obj(call.get("custom"))
    if custom:
        return ToolCall(text(call.get("id")), text(custom.get("name")) or "", arguments(custom.get("input")), True)
    function = obj(call.get("function"))
    return ToolCall(text(call.get("id")), text(function.get("name")) or "", arguments(function.get("arguments")))


def _add(choices: dict[int, dict[str, Any]], chunk: dict[str, Any]) -> None:
    """One choice of one chunk, added to what has arrived."""
    index = chunk.get("index")
    index = index if isinstance(index, int) else 0
    choice = choices.setdefault(
        index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
    )
    for key in ("finish_reason", "native_finish_reason", "error"):
        if chunk.get(key) is not None:
            choice[key] = chunk[key]
    message = choice["message"]
    # A few gateways answer a stream with one whole message.
    delta = obj(chunk.get("delta")) or obj(chunk.get("message"))
    for key in ("content", "refusal", "reasoning", "reasoning_content"):
        if isinstance(piece := delta.get(key), str):
            message[key] = (message.get(key) or "") + piece
        elif isinstance(piece, list):
            message[key] = (message.get(key) or "") + joined(piece)  # Mistral sends parts
    for piece in objs(delta.get("tool_calls")):
        _add_tool(message.setdefault("tool_calls", []), piece)
    if function := obj(delta.get("function_call")):
        _add_function(message.setdefault("function_call", {"name": "", "arguments": ""}), function)


def _add_tool(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    ident, index = text(piece.get("id")), piece.get("index")
    call = None
    for known in reversed(calls):
        # Gemini's imitation gives every call index 0 or none: another id is another call.
        if known["index"] == index and (ident is None or known["id"] in (None, ident)):
            call = known
            break
    if call is None and index is None and ident is None and calls:
        call = calls[-1]
    if call is None:
        call = {"index": index, "id": ident, "type": "function"}
        calls.append(call)
    call["id"] = call["id"] or ident
    if custom := obj(piece.get("custom")):
        call["type"] = "custom"
        _add_function(call.setdefault("custom", {"name": "", "input": ""}), custom)
    else:
        _add_function(call.setdefault("function", {"name": "", "arguments": ""}), obj(piece.get("function")))


def _add_function(whole: dict[str, Any], piece: dict[str, Any]) -> None:
    whole["name"] = whole["name"] or text(piece.get("name")) or ""
    for key in ("arguments", "input"):
        if key in whole and piece.get(key) is not None:
            whole[key] += arguments(piece[key])
