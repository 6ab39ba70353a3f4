"""OpenAI responses: items instead of messages, and conversations that the server may keep.

In: request and response bodies, or the events of a stream. Out: facts and a folded body. A module of its
own, like each format. A stream's last event repeats the whole response, so folding is picking it; only
a stream cut before that is put together from its items and deltas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..digests import canonical
from .facts import INCOMPLETE, RequestFacts, ResponseFacts, ToolAnswer, ToolCall, Usage
from .sse import ServerSentEvent
from .tokens import usage, word
from .usage import model_in
from .values import arguments, joined, loads, named, obj, objs, picked, provider_error, spoken, text

_PARAMS = {
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stream": "stream",
    "parallel_tool_calls": "parallel_tool_calls",
    "service_tier": "service_tier",
    "truncation": "truncation",
}

_ENDS = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}

_DELTAS = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


class OpenAIResponses:
    """``POST …/responses``."""

    api = "openai.responses"
    terminal = tuple(
        p + e
        for e in (b"completed", b"incomplete", b"failed")
        for p in (
            b"event: response.",
            b"event:response.",
            b'data: {"type":"response.',
            b'data: {"type": "response.',
        )
    )
    is_ndjson = False

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """What a request says; with ``previous_response_id`` it holds only what is new."""
        given = body.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else objs(given)
        last = items[-1] if items else {}
        spoke = [i for i in items if i.get("role") == "assistant"]
        calls = [i for i in items if _is_call(i)]
        prompts = [joined(body.get("instructions"))]
        prompts += [joined(i.get("content")) for i in items if i.get("role") in ("system", "developer")]
        template = obj(body.get("prompt"))
        if ident := text(template.get("id")):
            prompts.append(f"prompt {ident} {template.get('version') or ''}".strip())
        tools = objs(body.get("tools"))
        params = picked(body, _PARAMS) | picked(obj(body.get("reasoning")), {"effort": "reasoning_effort"})
        if (choice := named(body.get("tool_choice"))) is not None:
            params["tool_choice"] = choice
        if (shape := named(obj(body.get("text")).get("format"))) is not None:
            params["response_format"] = shape
        return RequestFacts(
            model=text(body.get("model")) or model_in(path),
            stream=body.get("stream") is True,
            params=params,
            message_count=len(items),
            prompt="\n\n".join(p for p in prompts if p) or None,
            tools_offered=tuple(n for t in tools if (n := text(t.get("name")) or text(t.get("type")))),
            tools_text=canonical(tools) if tools else None,
            tool_answers=tuple(_answer(i) for i in items if _is_answer(i)),
            last_user_text=(joined(last.get("content")) or None) if last.get("role") == "user" else None,
            last_assistant_text=joined(spoke[-1].get("content")) if spoke else None,
            last_assistant_tool_ids=tuple(i for c in calls[-8:] if (i := text(c.get("call_id")))),
            previous_response_id=text(body.get("previous_response_id")),
        )

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """What a response says; tools that the server runs itself ask nothing of the agent and are left out."""
        output = objs(body.get("output"))
        parts = [p for i in output if i.get("type") == "message" for p in objs(i.get("content"))]
        refusals = [t for p in parts if (t := text(p.get("refusal")))]
        said = [t for p in parts if (t := text(p.get("text")))]
        calls = tuple(_call(i) for i in output if _is_call(i))
        error = provider_error(body)
        raw = text(obj(body.get("incomplete_details")).get("reason")) or text(body.get("status"))
        finish = _finish(body, bool(calls), bool(refusals) and not said)
        return ResponseFacts(
            model=text(body.get("model")),
            response_id=text(body.get("id")),
            finish_reason="error" if error != provider_error({}) else finish,
            finish_reason_raw=raw,
            text="\n".join(said or refusals),
            tool_calls=calls,
            usage=_usage(self.api, body, output),
            service_tier=word(body.get("service_tier")),
            error_type=error.type,
            error_code=error.code,
            error_message=error.message,
            incomplete=body.get(INCOMPLETE) is True,
        )

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """The response of the terminal event, or what the items of a cut stream add up to."""
        body: dict[str, Any] = {}
        items: dict[int, dict[str, Any]] = {}
        is_ended = False
        for event in events:
            value = obj(loads(event.data))
            kind = text(value.get("type")) or event.event or ""
            if isinstance(value.get("response"), dict):
                body = dict(value["response"])
            is_ended = is_ended or kind in _ENDS
            if kind == "error":
                body["error"] = {k: value[k] for k in ("code", "message") if k in value} or value.get("error")
                body["status"] = "failed"
            elif isinstance(index := value.get("output_index"), int):
                _add(items.setdefault(index, {}), kind, value)
        rebuilt = [items[i] for i in sorted(items) if items[i]]
        if rebuilt and not objs(body.get("output")):
            body["output"] = rebuilt
        if not is_ended and not body.get("error"):
            body[INCOMPLETE] = True
        return body


def _usage(api: str, body: dict[str, Any], output: list[dict[str, Any]]) -> Usage | None:
    """The usage object, with the web searches among the items: only a ``search`` is billed, opening a page is not."""
    found = usage(api, body.get("usage"))
    searches = sum(
        i.get("type") == "web_search_call"
        and i.get("status") != "failed"
        and obj(i.get("action")).get("type", "search") == "search"
        for i in output
    )
    return replace(found, web_searches=searches) if found is not None and searches else found


def _is_call(item: dict[str, Any]) -> bool:
    """Whether the agent is to run this item: those the server runs have no ``call_id``."""
    return str(item.get("type", "")).endswith("_call") and text(item.get("call_id")) is not None


def _is_answer(item: dict[str, Any]) -> bool:
    return str(item.get("type", "")).endswith("_call_output") and text(item.get("call_id")) is not None


def _call(item: dict[str, Any]) -> ToolCall:
    kind = str(item.get("type"))
    is_text = kind == "custom_tool_call"
    given = item.get("input") if is_text else item.get("arguments", item.get("action", item.get("operation")))
    return ToolCall(
        text(item.get("call_id")), text(item.get("name")) or kind.removesuffix("_call"), arguments(given), is_text
    )


def _answer(item: dict[str, Any]) -> ToolAnswer:
    # Only for patches is the status the tool's own; elsewhere it tells how the item travelled.
    is_patch = item.get("type") == "apply_patch_call_output"
    is_error = {"failed": True, "completed": False}.get(str(item.get("status"))) if is_patch else None
    return ToolAnswer(text(item.get("call_id")), text(item.get("name")), spoken(item.get("output")), is_error)


def _finish(body: dict[str, Any], has_calls: bool, is_refusal: bool) -> str | None:
    status = body.get("status")
    if status == "completed":
        return "tool_calls" if has_calls else "refusal" if is_refusal else "stop"
    if status == "incomplete":
        reason = obj(body.get("incomplete_details")).get("reason")
        return {"max_output_tokens": "length", "content_filter": "content_filter"}.get(str(reason), "other")
    return {"failed": "error", "cancelled": "other"}.get(str(status))


def _add(item: dict[str, Any], kind: str, value: dict[str, Any]) -> None:
    """One event of a cut stream, added to the item it is about."""
    if kind in ("response.output_item.added", "response.output_item.done"):
        item.update(obj(value.get("item")))
    elif (key := _DELTAS.get(kind)) is not None and isinstance(value.get("delta"), str):
        before = item.get(key)
        item[key] = (before if isinstance(before, str) else "") + value["delta"]
    elif kind in ("response.output_text.delta", "response.refusal.delta") and isinstance(value.get("delta"), str):
        key, part_type = ("text", "output_text") if kind == "response.output_text.delta" else ("refusal", "refusal")
        at = value.get("content_index")
        at = at if isinstance(at, int) and 0 <= at < 64 else 0
        item.setdefault("type", "message")
        content = item.get("content")
        if not isinstance(content, list):
            content = item["content"] = []
        while len(content) <= at:
            content.append({})
        part = content[at] = obj(content[at]) or {"type": part_type}
        before = part.get(key)
        part[key] = (before if isinstance(before, str) else "") + value["delta"]
