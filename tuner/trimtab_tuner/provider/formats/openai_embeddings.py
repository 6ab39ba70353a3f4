"""OpenAI embeddings: ``POST …/embeddings``. Never streamed; vectors as floats or, as the SDK asks, base64."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..vectors import vector
from .base import SSE_TYPE, Asked, BadRequestError, Chunk, Problem, Reply, require, sse, whole_number
from .openai_errors import envelope


class OpenAIEmbeddings:
    """See :class:`.base.Format`."""

    api: ClassVar[str] = "openai.embeddings"
    response_prefix: ClassVar[str] = ""
    call_prefix: ClassVar[str] = ""
    embeds: ClassVar[bool] = True

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for."""
        model = body.get("model") or path.get("model") or require(body, "model", str, "a string")
        if not require(body, "input", (str, list), "a string or an array"):
            raise BadRequestError(Problem(400, "Invalid 'input': empty.", param="input", code="invalid_value"))
        return Asked(model=str(model), body=body)

    def stream_type(self, asked: Asked) -> str:
        """Not streamed."""
        return SSE_TYPE

    def adapt(self, reply: Reply) -> Reply | Problem:
        """Vectors are always possible."""
        return reply

    def body(self, reply: Reply) -> dict[str, Any]:
        """One vector per input."""
        asked = reply.asked.body
        given = asked["input"]
        # One text, one list of token numbers, or a list of either.
        texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        dimensions = whole_number(asked.get("dimensions")) or reply.answer.dimensions
        as_text = asked.get("encoding_format") == "base64"
        data = []
        for i, text in enumerate(texts):
            values = vector(reply.ids.seed, str(text), dimensions)
            shown = base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode() if as_text else values
            data.append({"object": "embedding", "index": i, "embedding": shown})
        out: dict[str, Any] = {"object": "list", "data": data, "model": reply.model}
        if reply.answer.usage is not None:
            out["usage"] = {"prompt_tokens": reply.usage.input_tokens, "total_tokens": reply.usage.input_tokens}
        return out

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """Nothing: embeddings come whole."""
        return iter(())

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """OpenAI's error envelope."""
        return envelope(problem)

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """Never sent."""
        return sse(envelope(problem))
