"""OpenAI responses: ``POST …/responses``, with conversations continued by ``previous_response_id``.

The stream is ``event:``/``data:`` pairs from ``response.created`` to ``response.completed`` (or ``.incomplete``,
``.failed``), each numbered; the SDK's helpers check that items are opened, filled and closed in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, ClassVar

from ..answers import Usage, cut
from .base import SSE_TYPE, Asked, Chunk, Problem, Reply, require, sse, text_of, whole_number
from .openai_chat import ARGUMENT_CHUNKS
from .openai_errors import envelope, words

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class OpenAIResponses:
    """See :class:`.base.Format`."""

    api: ClassVar[str] = "openai.responses"
    response_prefix: ClassVar[str] = "resp_"
    call_prefix: ClassVar[str] = "call_"
    embeds: ClassVar[bool] = False

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        model = require(body, "model", str, "a string")
        given = require(body, "input", (str, list), "a string or an array of items")
        items = (
            [{"role": "user", "content": given}]
            if isinstance(given, str)
            else [i for i in given if isinstance(i, dict)]
        )
        users = [i for i in items if i.get("role") == "user"]
        results = [i for i in items if str(i.get("type", "")).endswith("_call_output")]
        spoken = [False, *(_is_output(i) for i in items)]
        return Asked(
            model=model,
            stream=bool(body.get("stream")),
            step=sum(1 for before, now in pairwise(spoken) if now and not before),
            last_user=text_of(users[-1].get("content")) if users else "",
            last_tool_result=text_of(results[-1].get("output")) if results else "",
            tool_result_ids=tuple(str(i.get("call_id")) for i in results),
            max_tokens=whole_number(body.get("max_output_tokens")),
            previous_id=body.get("previous_response_id"),
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
        return self._response(reply, _status(reply), _items(reply))

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """The response as numbered server-sent events."""
        numbers = iter(range(1 << 30))

        def event(kind: str, **data: Any) -> bytes:
            return sse({"type": kind, "sequence_number": next(numbers), **data}, kind)

        started = self._response(reply, "in_progress", [])
        yield Chunk(event("response.created", response=started))
        yield Chunk(event("response.in_progress", response=started))
        items = _items(reply)
        tool = -1
        for index, item in enumerate(items):
            if item["type"] == "message":
                yield from _message_events(event, index, item, reply.answer.pieces())
            elif item["type"] == "function_call":
                tool += 1
                yield from _call_events(event, index, item, tool)
            else:
                yield Chunk(event("response.output_item.added", output_index=index, item=item))
                yield Chunk(event("response.output_item.done", output_index=index, item=item))
        status = _status(reply)
        last = event(f"response.{status}", response=self._response(reply, status, items))
        yield Chunk(last, usage=reply.answer.usage is not None)

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """OpenAI's error envelope."""
        return envelope(problem)

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """``response.failed``."""
        code = "rate_limit_exceeded" if problem.status == 429 else problem.code or "server_error"
        failed = self._response(reply, "failed", []) | {"error": {"code": code, "message": words(problem).message}}
        return sse({"type": "response.failed", "sequence_number": sent, "response": failed}, "response.failed")

    def _response(self, reply: Reply, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        asked = reply.asked.body
        ended = status in ("completed", "incomplete")
        return {
            "id": reply.ids.make(self.response_prefix),
            "object": "response",
            "created_at": reply.created_s,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": _REASONS[reply.finish]} if status == "incomplete" else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "model": reply.model,
            "output": output,
            "parallel_tool_calls": asked.get("parallel_tool_calls", True),
            "previous_response_id": asked.get("previous_response_id"),
            "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
            "store": asked.get("store", True),
            "temperature": asked.get("temperature", 1.0),
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice", "auto"),
            "tools": asked.get("tools") or [],
            "top_p": asked.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": _usage(reply.usage) if ended and reply.answer.usage is not None else None,
            "user": None,
            "metadata": {"provider": "scripted"},
        }


def _is_output(item: Mapping[str, Any]) -> bool:
    kind = item.get("type", "message")
    return item.get("role") == "assistant" if kind == "message" else kind == "reasoning" or str(kind).endswith("_call")


def _status(reply: Reply) -> str:
    return "incomplete" if reply.finish in _REASONS else "completed"


def _items(reply: Reply) -> list[dict[str, Any]]:
    answer, status = reply.answer, _status(reply)
    items: list[dict[str, Any]] = []
    if reply.usage.reasoning_tokens:
        items.append({"id": reply.ids.make("rs_"), "type": "reasoning", "summary": []})
    if answer.text or (not answer.tool_calls and reply.finish != "content_filter"):
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}
        message_id = reply.ids.make("msg_")
        items.append({"id": message_id, "type": "message", "status": status, "content": [part], "role": "assistant"})
    for i, call in enumerate(answer.tool_calls):
        items.append(
            {
                "id": reply.ids.make("fc_", i),
                "type": "function_call",
                "status": status,
                "arguments": call.arguments,
                "call_id": reply.ids.make("call_", i),
                "name": call.name,
            }
        )
    return items


def _message_events(event: Any, index: int, item: dict[str, Any], pieces: list[str]) -> Iterator[Chunk]:
    part = item["content"][0]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    opened = {**item, "status": "in_progress", "content": []}
    yield Chunk(event("response.output_item.added", output_index=index, item=opened))
    yield Chunk(event("response.content_part.added", **place, part={**part, "text": ""}))
    for piece in pieces:
        yield Chunk(event("response.output_text.delta", **place, delta=piece, logprobs=[]), text=piece)
    yield Chunk(event("response.output_text.done", **place, text=part["text"], logprobs=[]))
    yield Chunk(event("response.content_part.done", **place, part=part))
    yield Chunk(event("response.output_item.done", output_index=index, item=item))


def _call_events(event: Any, index: int, item: dict[str, Any], tool: int) -> Iterator[Chunk]:
    place = {"item_id": item["id"], "output_index": index}
    opened = {**item, "status": "in_progress", "arguments": ""}
    yield Chunk(event("response.output_item.added", output_index=index, item=opened))
    for piece in cut(item["arguments"], ARGUMENT_CHUNKS):
        yield Chunk(event("response.function_call_arguments.delta", **place, delta=piece))
    yield Chunk(event("response.function_call_arguments.done", **place, arguments=item["arguments"]), tool=tool)
    yield Chunk(event("response.output_item.done", output_index=index, item=item))


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
