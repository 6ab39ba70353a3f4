"""Gemini: ``POST …/models/<model>:generateContent`` and ``:streamGenerateContent``.

The model is in the path. Streams are server-sent events with ``?alt=sse``, otherwise the elements of one JSON array.
``candidatesTokenCount`` does not count thoughts. A tool call comes whole, so broken arguments end the answer with
``MALFORMED_FUNCTION_CALL`` instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from .base import SSE_TYPE, Asked, BadRequestError, Chunk, Problem, Reply, dumps, require, texts, whole_number

_FINISH = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "malformed_tool_call": "MALFORMED_FUNCTION_CALL",
}

_STATUS = {
    400: ("INVALID_ARGUMENT", "The scripted provider was told to find this request invalid."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "The caller does not have permission."),
    404: ("NOT_FOUND", "The requested entity was not found."),
    409: ("ABORTED", "The operation was aborted."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    500: ("INTERNAL", "An internal error has occurred."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The deadline expired before the operation could complete."),
    529: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
}


class Gemini:
    """See :class:`.base.Format`."""

    api: ClassVar[str] = "gemini"
    response_prefix: ClassVar[str] = "gem_"
    call_prefix: ClassVar[str] = "fcall_"
    embeds: ClassVar[bool] = False

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        contents = [c for c in require(body, "contents", list, "an array of contents") if isinstance(c, dict)]
        if not contents:
            raise BadRequestError(Problem(400, "* GenerateContentRequest.contents: contents is not specified"))
        asked_by_user = [c for c in contents if c.get("role", "user") != "model"]
        results = [
            p["functionResponse"]
            for c in asked_by_user
            for p in _parts(c)
            if isinstance(p.get("functionResponse"), dict)
        ]
        config = body.get("generationConfig")
        return Asked(
            model=path["model"],
            stream=path["action"] == "streamGenerateContent",
            step=len(contents) - len(asked_by_user),
            last_user=next((text for c in reversed(asked_by_user) if (text := _text(c))), ""),
            last_tool_result=_result_text(results[-1].get("response")) if results else "",
            tool_result_ids=tuple(str(r.get("id") or r.get("name")) for r in results),
            max_tokens=whole_number(config.get("maxOutputTokens")) if isinstance(config, dict) else None,
            stop=texts(config.get("stopSequences")) if isinstance(config, dict) else (),
            body=body,
            variant="sse" if path.get("alt") == "sse" else "array",
        )

    def stream_type(self, asked: Asked) -> str:
        """Server-sent events, or one JSON array."""
        return SSE_TYPE if asked.variant == "sse" else "application/json; charset=UTF-8"

    def adapt(self, reply: Reply) -> Reply | Problem:
        """Without tool calls where one has broken arguments."""
        if all(call.parsed() is not None for call in reply.answer.tool_calls):
            return reply
        return replace(reply, answer=replace(reply.answer, tool_calls=(), finish="malformed_tool_call"))

    def body(self, reply: Reply) -> dict[str, Any]:
        """The whole response."""
        parts: list[dict[str, Any]] = [{"text": reply.answer.text}] if reply.answer.text else []
        parts += [_call_part(reply, i) for i in range(len(reply.answer.tool_calls))]
        return _response(reply, parts, last=True)

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """The response in elements of the same shape, the last one with the finish reason."""
        planned: list[tuple[list[dict[str, Any]], str, int | None]] = [
            ([{"text": p}], p, None) for p in reply.answer.pieces()
        ]
        planned += [([_call_part(reply, i)], "", i) for i in range(len(reply.answer.tool_calls))]
        planned = planned or [([], "", None)]
        as_events = reply.asked.variant == "sse"
        for i, (parts, text, tool) in enumerate(planned):
            last = i == len(planned) - 1
            data = dumps(_response(reply, parts, last))
            framed = (
                b"data: " + data + b"\r\n\r\n"
                if as_events
                else (b",\r\n" if i else b"[") + data + (b"\n]" if last else b"\n")
            )
            yield Chunk(framed, text, tool, usage=last and reply.answer.usage is not None)

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """Google's error envelope; the time to wait is also in the body."""
        status, message = _STATUS.get(problem.status, _STATUS[400 if problem.status < 500 else 500])
        error: dict[str, Any] = {
            "code": problem.status,
            "message": problem.message or message,
            "status": problem.type or status,
        }
        if problem.retry_after_s is not None:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            error["details"] = [{"@type": kind, "retryDelay": f"{problem.retry_after_s:g}s"}]
        return {"error": error}

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """The envelope as an element of the stream."""
        data = dumps(self.error(problem, reply.request_id))
        if reply.asked.variant == "sse":
            return b"data: " + data + b"\r\n\r\n"
        return (b",\r\n" if sent else b"[") + data + b"\n]"


def _parts(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = content.get("parts")
    return [p for p in parts if isinstance(p, dict)] if isinstance(parts, list) else []


def _text(content: Mapping[str, Any]) -> str:
    return "".join(str(p["text"]) for p in _parts(content) if p.get("text"))


def _result_text(response: Any) -> str:
    if isinstance(response, dict):
        response = response.get("result", response.get("output", response))
    return response if isinstance(response, str) else dumps(response).decode()


def _call_part(reply: Reply, index: int) -> dict[str, Any]:
    call = reply.answer.tool_calls[index]
    return {"functionCall": {"id": reply.ids.make("fcall_", index), "name": call.name, "args": call.parsed() or {}}}


def _response(reply: Reply, parts: list[dict[str, Any]], last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"}}
    if last:
        candidate["finishReason"] = _FINISH[reply.finish]
        if reply.finish == "malformed_tool_call":
            candidate["finishMessage"] = "Malformed function call"
    data: dict[str, Any] = {"candidates": [{**candidate, "index": 0}]}
    if reply.answer.usage is not None:
        data["usageMetadata"] = _usage(reply, last)
    return {**data, "modelVersion": reply.model, "responseId": reply.ids.make("gem_")}


def _usage(reply: Reply, last: bool) -> dict[str, int]:
    usage = reply.usage
    data = {"promptTokenCount": usage.input_tokens}
    if last:
        data["candidatesTokenCount"] = usage.output_tokens - usage.reasoning_tokens
    data["totalTokenCount"] = usage.input_tokens + (usage.output_tokens if last else 0)
    if usage.cached_tokens:
        data["cachedContentTokenCount"] = usage.cached_tokens
    if last and usage.reasoning_tokens:
        data["thoughtsTokenCount"] = usage.reasoning_tokens
    return data
