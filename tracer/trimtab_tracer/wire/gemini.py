"""Google Gemini: ``generateContent`` and its streaming twin, on the developer API and Vertex.

In: request and response bodies, or the events of a stream. Out: facts and a folded body. A module of its
own, like each format. The model is in the URL, tool calls need not have ids, and servers accept field
names in camel and in snake case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..digests import canonical
from .facts import INCOMPLETE, RequestFacts, ResponseFacts, ToolAnswer, ToolCall
from .sse import ServerSentEvent
from .tokens import usage
from .usage import model_in
from .values import arguments, loads, obj, objs, picked, provider_error, spoken, text

_PARAMS = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "candidateCount": "n",
    "seed": "seed",
    "responseMimeType": "response_format",
}

_FILTERED = {
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR",
}  # fmt: skip


class Gemini:
    """``POST …/models/<model>:generateContent`` and ``:streamGenerateContent``."""

    api = "gemini"
    terminal: tuple[bytes, ...] = ()
    is_ndjson = False

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """What a request says."""
        body = _camel(body)
        given = body.get("contents")
        contents = [given] if isinstance(given, dict) else objs(given)
        last = contents[-1] if contents else {}
        said = next((c for c in reversed(contents) if c.get("role") == "model"), None)
        tools = objs(body.get("tools"))
        config = _camel(obj(body.get("generationConfig")))
        thinking = _camel(obj(config.get("thinkingConfig")))
        is_stream = path.partition("?")[0].endswith(":streamGenerateContent")
        params = picked(config, _PARAMS)
        params |= picked(thinking, {"thinkingBudget": "reasoning_effort", "thinkingLevel": "reasoning_effort"})
        calling = _camel(obj(_camel(obj(body.get("toolConfig"))).get("functionCallingConfig")))
        params |= picked(calling, {"mode": "tool_choice"})
        if is_stream:
            params["stream"] = True
        return RequestFacts(
            model=text(body.get("model")) or model_in(path),
            stream=is_stream,
            params=params,
            message_count=len(contents),
            prompt=_said(obj(body.get("systemInstruction"))) or text(body.get("systemInstruction")),
            tools_offered=tuple(n for t in tools for n in _names(_camel(t))),
            tools_text=canonical(tools) if tools else None,
            tool_answers=tuple(
                _answer(a) for c in contents for p in objs(c.get("parts")) if (a := _of(p, "functionResponse"))
            ),
            last_user_text=None if last.get("role") not in ("user", None) else _said(last) or None,
            last_assistant_text=None if said is None else _said(said),
            last_assistant_tool_ids=tuple(
                i for p in objs(obj(said).get("parts")) if (i := text(_of(p, "functionCall").get("id")))
            ),
        )

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """What a response says; of several candidates the first counts."""
        body = _camel(body)
        candidate = _camel(next(iter(objs(body.get("candidates"))), {}))
        content = obj(candidate.get("content"))
        calls = tuple(_call(c) for p in objs(content.get("parts")) if (c := _of(p, "functionCall")))
        error = provider_error(body)
        blocked = text(_camel(obj(body.get("promptFeedback"))).get("blockReason"))
        raw = text(candidate.get("finishReason")) or blocked
        return ResponseFacts(
            model=text(body.get("modelVersion")),
            response_id=text(body.get("responseId")),
            finish_reason="error" if error != provider_error({}) else _finish(raw, blocked, bool(calls)),
            finish_reason_raw=raw,
            text=_said(content),
            tool_calls=calls,
            usage=usage(self.api, body.get("usageMetadata")),
            error_type=error.type,
            error_code=error.code,
            error_message=error.message,
            incomplete=body.get(INCOMPLETE) is True,
        )

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """The response that the chunks add up to: every chunk is a whole response with a piece of the content."""
        body: dict[str, Any] = {}
        candidate: dict[str, Any] = {}
        parts: list[dict[str, Any]] = []
        for event in events:
            chunk = loads(event.data)
            # Without `alt=sse` the stream is one JSON array.
            for value in [_camel(v) for v in (objs(chunk) or [obj(chunk)])]:
                first = _camel(next(iter(objs(value.get("candidates"))), {}))
                body |= {k: v for k, v in value.items() if v is not None and k != "candidates"}
                candidate |= {k: v for k, v in first.items() if v is not None and k != "content"}
                for part in objs(obj(first.get("content")).get("parts")):
                    _add(parts, part)
        if candidate or parts:
            body["candidates"] = [candidate | {"content": {"role": "model", "parts": parts}}]
        if not candidate.get("finishReason") and not body.get("error") and not body.get("promptFeedback"):
            body[INCOMPLETE] = True
        return body


def _camel(value: dict[str, Any]) -> dict[str, Any]:
    """The top-level keys in camel case."""
    return {_camel_key(k) if "_" in k and k != INCOMPLETE else k: v for k, v in value.items()}


def _camel_key(key: str) -> str:
    head, *tail = key.split("_")
    return head + "".join(t[:1].upper() + t[1:] for t in tail)


def _of(part: dict[str, Any], key: str) -> dict[str, Any]:
    return obj(part.get(key)) or obj(_camel(part).get(key))


def _said(content: dict[str, Any]) -> str:
    """The text of a content's parts, thoughts left out."""
    return "".join(t for p in objs(content.get("parts")) if not p.get("thought") and (t := text(p.get("text"))))


def _names(tool: dict[str, Any]) -> list[str]:
    declared = [n for d in objs(tool.get("functionDeclarations")) if (n := text(d.get("name")))]
    return declared or [k for k in tool if k != "functionDeclarations"]


def _call(call: dict[str, Any]) -> ToolCall:
    return ToolCall(text(call.get("id")), text(call.get("name")) or "", arguments(call.get("args") or {}))


def _answer(answer: dict[str, Any]) -> ToolAnswer:
    """A tool's result: Google's SDK puts it under ``result`` or ``output``, a failure under ``error``."""
    given = answer.get("response")
    inner = obj(given)
    only = (
        next(iter(inner.values())) if len(inner) == 1 and next(iter(inner)) in ("result", "output", "error") else given
    )
    return ToolAnswer(
        text(answer.get("id")), text(answer.get("name")), spoken(only), True if inner.get("error") else None
    )


def _finish(raw: str | None, blocked: str | None, has_calls: bool) -> str | None:
    if raw is None:
        return None
    if raw == "STOP":
        return "tool_calls" if has_calls else "stop"
    if raw == "MAX_TOKENS":
        return "length"
    return "content_filter" if raw in _FILTERED or raw == blocked else "other"


def _add(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """A streamed part: text goes on where the part before it left off."""
    last = parts[-1] if parts else {}
    mergeable = set(part) <= {"text", "thought"} and set(last) <= {"text", "thought"}
    if (
        mergeable
        and isinstance(part.get("text"), str)
        and isinstance(last.get("text"), str)
        and (part.get("thought") == last.get("thought"))
    ):
        last["text"] += part["text"]
    else:
        parts.append(dict(part))
