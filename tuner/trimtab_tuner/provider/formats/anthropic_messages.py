"""Anthropic messages: ``POST …/v1/messages``, with threads continued by ``thread.previous_message_id``.

The stream is ``event:``/``data:`` pairs from ``message_start`` to ``message_stop``. Input tokens do not count cached
ones here. Broken tool arguments can only be streamed; a whole response has them under ``INVALID_JSON``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..answers import ToolCall, Usage, cut
from .base import SSE_TYPE, Asked, BadRequestError, Chunk, Problem, Reply, require, sse, text_of, texts, whole_number
from .openai_chat import ARGUMENT_CHUNKS

_STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}

_ERRORS = {
    400: ("invalid_request_error", "The scripted provider was told to find this request invalid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your account has no credit left."),
    403: ("permission_error", "You are not allowed to do this."),
    404: ("not_found_error", "The requested resource could not be found."),
    409: ("conflict_error", "The resource was changed by another request."),
    413: ("request_too_large", "Request exceeds the maximum size."),
    429: ("rate_limit_error", "This request would exceed your rate limit. Please try again later."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}


class AnthropicMessages:
    """See :class:`.base.Format`."""

    api: ClassVar[str] = "anthropic.messages"
    response_prefix: ClassVar[str] = "msg_"
    call_prefix: ClassVar[str] = "toolu_"
    embeds: ClassVar[bool] = False

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        model = require(body, "model", str, "a string")
        limit = require(body, "max_tokens", int, "an integer")
        messages = [m for m in require(body, "messages", list, "an array of messages") if isinstance(m, dict)]
        if not messages:
            raise BadRequestError(Problem(400, "messages: at least one message is required"))
        users = [m.get("content") for m in messages if m.get("role") == "user"]
        results = [
            part
            for content in users
            if isinstance(content, list)
            for part in content
            if isinstance(part, dict) and part.get("type") == "tool_result"
        ]
        thread = body.get("thread")
        return Asked(
            model=model,
            stream=bool(body.get("stream")),
            step=sum(1 for m in messages if m.get("role") == "assistant"),
            last_user=next((text for content in reversed(users) if (text := text_of(content))), ""),
            last_tool_result=text_of(results[-1].get("content")) if results else "",
            tool_result_ids=tuple(str(r.get("tool_use_id")) for r in results),
            max_tokens=whole_number(limit),
            stop=texts(body.get("stop_sequences")),
            previous_id=thread.get("previous_message_id") if isinstance(thread, dict) else None,
            body=body,
        )

    def stream_type(self, asked: Asked) -> str:
        """Server-sent events."""
        return SSE_TYPE

    def adapt(self, reply: Reply) -> Reply | Problem:
        """This API can express everything, one way or the other."""
        return reply

    def body(self, reply: Reply) -> dict[str, Any]:
        """The whole response."""
        content: list[dict[str, Any]] = [{"type": "text", "text": reply.answer.text}] if reply.answer.text else []
        for i, call in enumerate(reply.answer.tool_calls):
            content.append(self._tool_block(reply, i, call, _input(call)))
        return self._message(reply, content, _stop(reply), _usage(reply.usage))

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """The response as server-sent events."""
        answer = reply.answer

        def event(kind: str, **data: Any) -> bytes:
            return sse({"type": kind, **data}, kind)

        first = _usage(reply.usage) | {"output_tokens": 1}
        yield Chunk(event("message_start", message=self._message(reply, [], _stop(None), first)))
        index = 0
        if answer.text:
            yield Chunk(event("content_block_start", index=index, content_block={"type": "text", "text": ""}))
            yield Chunk(event("ping"))
            for piece in answer.pieces():
                delta = {"type": "text_delta", "text": piece}
                yield Chunk(event("content_block_delta", index=index, delta=delta), text=piece)
            yield Chunk(event("content_block_stop", index=index))
            index += 1
        for tool, call in enumerate(answer.tool_calls):
            block = self._tool_block(reply, tool, call, {})
            yield Chunk(event("content_block_start", index=index, content_block=block))
            for piece in ["", *cut(call.arguments, ARGUMENT_CHUNKS)]:
                delta = {"type": "input_json_delta", "partial_json": piece}
                yield Chunk(event("content_block_delta", index=index, delta=delta))
            yield Chunk(event("content_block_stop", index=index), tool=tool)
            index += 1
        end = {"delta": _stop(reply)}
        with_usage = answer.usage is not None
        yield Chunk(
            event("message_delta", **end, **({"usage": _final(reply.usage)} if with_usage else {})), usage=with_usage
        )
        yield Chunk(event("message_stop"))

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """Anthropic's error envelope."""
        kind, message = _ERRORS.get(problem.status, _ERRORS[400 if problem.status < 500 else 500])
        details = {"error_code": problem.code} if problem.code else None
        error = {"details": details, "type": problem.type or kind, "message": problem.message or message}
        return {"type": "error", "error": error, "request_id": request_id}

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """The ``error`` event."""
        return sse(self.error(problem, reply.request_id), "error")

    def _message(
        self, reply: Reply, content: list[dict[str, Any]], stop: dict[str, Any], usage: dict[str, Any]
    ) -> dict[str, Any]:
        message = {
            "id": reply.ids.make(self.response_prefix),
            "type": "message",
            "role": "assistant",
            "model": reply.model,
            "content": content,
            **stop,
        }
        return message if reply.answer.usage is None else {**message, "usage": usage}

    def _tool_block(self, reply: Reply, index: int, call: ToolCall, given: dict[str, Any]) -> dict[str, Any]:
        return {"type": "tool_use", "id": reply.ids.make(self.call_prefix, index), "name": call.name, "input": given}


def _stop(reply: Reply | None) -> dict[str, Any]:
    if reply is None:
        return {"stop_reason": None, "stop_sequence": None}
    stop: dict[str, Any] = {"stop_reason": _STOP_REASONS[reply.finish], "stop_sequence": None}
    if reply.finish == "content_filter":
        stop["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    elif reply.finish == "stop" and reply.answer.stop_sequence:
        stop.update(stop_reason="stop_sequence", stop_sequence=reply.answer.stop_sequence)
    return stop


def _input(call: ToolCall) -> dict[str, Any]:
    parsed = call.parsed()
    return {"INVALID_JSON": call.arguments} if parsed is None else parsed


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write_tokens, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output_tokens,
        **({"output_tokens_details": {"thinking_tokens": usage.reasoning_tokens}} if usage.reasoning_tokens else {}),
        "service_tier": "standard",
    }


def _final(usage: Usage) -> dict[str, Any]:
    """The cumulative usage at a stream's end, which has no cache breakdown and no tier."""
    return {k: v for k, v in _usage(usage).items() if k not in ("cache_creation", "service_tier")}
