"""Ollama: ``POST …/api/chat``, ``/api/generate`` and ``/api/embed``.

Streams are JSON lines and the default. There are no response ids, no tool call ids, no cached or reasoning tokens, and
errors are one sentence. Broken tool arguments are an error of the server, as in the real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from ..vectors import vector
from .base import Asked, Chunk, Problem, Reply, dumps, require, whole_number

_MESSAGES = {
    401: "unauthorized",
    404: "model not found, try pulling it first",
    429: "too many requests, please try again later",
    500: "an error was encountered while running the model",
    503: "server busy, please try again. maximum pending requests exceeded",
    529: "server busy, please try again. maximum pending requests exceeded",
}

NS_PER_TOKEN = 1_000_000
"""Pretended time per token in the duration fields, so that they do not vary."""


class _Ollama:
    """What the endpoints share; see :class:`.base.Format`."""

    api: ClassVar[str] = "ollama"
    response_prefix: ClassVar[str] = ""
    call_prefix: ClassVar[str] = ""
    embeds: ClassVar[bool] = False

    def stream_type(self, asked: Asked) -> str:
        """JSON lines."""
        return "application/x-ndjson"

    def adapt(self, reply: Reply) -> Reply | Problem:
        """An error where a tool call has broken arguments."""
        for call in reply.answer.tool_calls:
            if call.parsed() is None:
                return Problem(
                    500, f"error parsing tool call: raw='{call.arguments}', err=unexpected end of JSON input"
                )
        return reply

    def body(self, reply: Reply) -> dict[str, Any]:
        """The whole response."""
        return {
            **self._head(reply),
            **self._said(reply, reply.answer.text, range(len(reply.answer.tool_calls))),
            **_end(reply),
        }

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """The response as JSON lines, the last one with reason and counts."""
        head = self._head(reply)
        for piece in reply.answer.pieces():
            yield Chunk(dumps({**head, **self._said(reply, piece, range(0)), "done": False}) + b"\n", text=piece)
        for i in range(len(reply.answer.tool_calls)):
            yield Chunk(dumps({**head, **self._said(reply, "", range(i, i + 1)), "done": False}) + b"\n", tool=i)
        last = {**head, **self._said(reply, "", range(0)), **_end(reply)}
        yield Chunk(dumps(last) + b"\n", usage=reply.answer.usage is not None)

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """One sentence."""
        return {"error": problem.message or _MESSAGES.get(problem.status, "invalid request")}

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """A line with the sentence."""
        return dumps(self.error(problem, reply.request_id)) + b"\n"

    def _head(self, reply: Reply) -> dict[str, Any]:
        at = datetime.fromtimestamp(reply.created_s, UTC)
        return {"model": reply.model, "created_at": at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")}

    def _said(self, reply: Reply, text: str, calls: range) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            tool_calls = [reply.answer.tool_calls[i] for i in calls]
            message["tool_calls"] = [{"function": {"name": c.name, "arguments": c.parsed() or {}}} for c in tool_calls]
        return {"message": message}


class OllamaChat(_Ollama):
    """``/api/chat``."""

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        model = require(body, "model", str, "a string")
        messages = [m for m in require(body, "messages", list, "an array of messages") if isinstance(m, dict)]
        results = [m for m in messages if m.get("role") == "tool"]
        users = [str(m.get("content") or "") for m in messages if m.get("role") == "user"]
        return Asked(
            model=model,
            stream=bool(body.get("stream", True)),
            step=sum(1 for m in messages if m.get("role") == "assistant"),
            last_user=users[-1] if users else "",
            last_tool_result=str(results[-1].get("content") or "") if results else "",
            tool_result_ids=tuple(str(m.get("tool_name") or m.get("name") or "") for m in results),
            max_tokens=_limit(body),
            body=body,
        )


class OllamaGenerate(_Ollama):
    """``/api/generate``: one prompt, no messages and no tools."""

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        model = require(body, "model", str, "a string")
        prompt = str(body.get("prompt") or "")
        return Asked(model, stream=bool(body.get("stream", True)), last_user=prompt, max_tokens=_limit(body), body=body)

    def _said(self, reply: Reply, text: str, calls: range) -> dict[str, Any]:
        return {"response": text}


class OllamaEmbed(_Ollama):
    """``/api/embed``: never streamed."""

    embeds: ClassVar[bool] = True

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        require(body, "input", (str, list), "a string or an array of strings")
        return Asked(require(body, "model", str, "a string"), body=body)

    def body(self, reply: Reply) -> dict[str, Any]:
        """One vector per input."""
        given = reply.asked.body["input"]
        dimensions = whole_number(reply.asked.body.get("dimensions")) or reply.answer.dimensions
        vectors = [vector(reply.ids.seed, str(t), dimensions) for t in (given if isinstance(given, list) else [given])]
        counts = {"prompt_eval_count": reply.usage.input_tokens} if reply.answer.usage is not None else {}
        took = {"total_duration": reply.usage.input_tokens * NS_PER_TOKEN, "load_duration": 0}
        return {"model": reply.model, "embeddings": vectors, **took, **counts}


def _limit(body: Mapping[str, Any]) -> int | None:
    options = body.get("options")
    limit = whole_number(options.get("num_predict")) if isinstance(options, dict) else None
    return limit if limit is not None and limit > 0 else None


def _end(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    end: dict[str, Any] = {"done": True, "done_reason": "length" if reply.finish == "length" else "stop"}
    end |= {"total_duration": (usage.input_tokens + usage.output_tokens) * NS_PER_TOKEN, "load_duration": 0}
    if reply.answer.usage is None:
        return end
    return end | {
        "prompt_eval_count": usage.input_tokens,
        "prompt_eval_duration": usage.input_tokens * NS_PER_TOKEN,
        "eval_count": usage.output_tokens,
        "eval_duration": usage.output_tokens * NS_PER_TOKEN,
    }
