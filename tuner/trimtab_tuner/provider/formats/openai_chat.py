"""OpenAI chat completions: ``POST …/chat/completions``.

The stream is ``data: {…}`` events that end in ``data: [DONE]``; usage comes in an event of its own with no choices, and
only if the request asks for it (``stream_options.include_usage``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..answers import Usage, cut
from .base import (
    FINGERPRINT,
    SSE_TYPE,
    Asked,
    BadRequestError,
    Chunk,
    Problem,
    Reply,
    require,
    sse,
    text_of,
    texts,
    whole_number,
)
from .openai_errors import envelope

ARGUMENT_CHUNKS = 3
"""Pieces in which a tool call's arguments are streamed."""


class OpenAIChat:
    """See :class:`.base.Format`."""

    api: ClassVar[str] = "openai.chat"
    response_prefix: ClassVar[str] = "chatcmpl-"
    call_prefix: ClassVar[str] = "call_"
    embeds: ClassVar[bool] = False

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        # Azure puts the deployment into the path and no model into the body.
        model = body.get("model") or path.get("model") or require(body, "model", str, "a string")
        messages = [m for m in require(body, "messages", list, "an array of messages") if isinstance(m, dict)]
        if not messages:
            raise BadRequestError(
                Problem(400, "Invalid 'messages': empty array.", param="messages", code="empty_array")
            )
        by_role = {role: [m for m in messages if m.get("role") == role] for role in ("user", "assistant", "tool")}
        options = body.get("stream_options")
        return Asked(
            model=str(model),
            stream=bool(body.get("stream")),
            step=len(by_role["assistant"]),
            last_user=text_of(by_role["user"][-1].get("content")) if by_role["user"] else "",
            last_tool_result=text_of(by_role["tool"][-1].get("content")) if by_role["tool"] else "",
            tool_result_ids=tuple(str(m.get("tool_call_id")) for m in by_role["tool"]),
            max_tokens=whole_number(body.get("max_completion_tokens", body.get("max_tokens"))),
            stop=texts(body.get("stop")),
            include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
            body=body,
        )

    def stream_type(self, asked: Asked) -> str:
        """Server-sent events."""
        return SSE_TYPE

    def adapt(self, reply: Reply) -> Reply | Problem:
        """This API can express everything."""
        return reply

    def body(self, reply: Reply) -> dict[str, Any]:
        """The whole response."""
        answer = reply.answer
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        if answer.tool_calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [
                {
                    "id": reply.ids.make(self.call_prefix, i),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for i, call in enumerate(answer.tool_calls)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish}
        data = {**self._head(reply, "chat.completion"), "choices": [choice]}
        if answer.usage is not None:
            data["usage"] = _usage(reply.usage)
        return {**data, "service_tier": "default", "system_fingerprint": FINGERPRINT}

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """The response as server-sent events."""
        answer, with_usage = reply.answer, reply.asked.include_usage and reply.answer.usage is not None

        def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            data = {
                **self._head(reply, "chat.completion.chunk"),
                "system_fingerprint": FINGERPRINT,
                "choices": [choice],
            }
            return sse({**data, "usage": None} if with_usage else data)

        first: dict[str, Any] = {"role": "assistant", "content": "" if answer.text or not answer.tool_calls else None}
        yield Chunk(event({**first, "refusal": None}))
        for piece in answer.pieces():
            yield Chunk(event({"content": piece}), text=piece)
        for i, call in enumerate(answer.tool_calls):
            function = {"name": call.name, "arguments": ""}
            start = {"index": i, "id": reply.ids.make(self.call_prefix, i), "type": "function", "function": function}
            pieces = cut(call.arguments, ARGUMENT_CHUNKS)
            yield Chunk(event({"tool_calls": [start]}), tool=None if pieces else i)
            for j, piece in enumerate(pieces, 1):
                delta = {"tool_calls": [{"index": i, "function": {"arguments": piece}}]}
                yield Chunk(event(delta), tool=i if j == len(pieces) else None)
        yield Chunk(event({}, reply.finish))
        if with_usage:
            head = self._head(reply, "chat.completion.chunk")
            data = {**head, "system_fingerprint": FINGERPRINT, "choices": [], "usage": _usage(reply.usage)}
            yield Chunk(sse(data), usage=True)
        yield Chunk(b"data: [DONE]\n\n")

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """OpenAI's error envelope."""
        return envelope(problem)

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """An event that holds the envelope instead of a chunk."""
        return sse(envelope(problem))

    def _head(self, reply: Reply, kind: str) -> dict[str, Any]:
        response_id = reply.ids.make(self.response_prefix)
        return {"id": response_id, "object": kind, "created": reply.created_s, "model": reply.model}


def _usage(usage: Usage) -> dict[str, Any]:
    prompt: dict[str, int] = {"cached_tokens": usage.cached_tokens, "audio_tokens": 0}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    data: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return data if usage.cost_usd is None else {**data, "cost": usage.cost_usd}
