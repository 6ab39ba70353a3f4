"""OpenAI embeddings, and Ollama's, which look alike: a call with a cost and no conversation.

In: request and response bodies. Out: the facts that exist for them: model, size, tokens, errors. A module
of its own so that the conversation formats need no special case; the vectors are never looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .facts import RequestFacts, ResponseFacts
from .sse import ServerSentEvent
from .tokens import usage
from .usage import model_in
from .values import picked, provider_error, text

_PARAMS = {"dimensions": "dimensions", "encoding_format": "encoding_format"}


class OpenAIEmbeddings:
    """``POST …/embeddings`` and Ollama's ``…/api/embed``."""

    api = "openai.embeddings"
    terminal: tuple[bytes, ...] = ()
    is_ndjson = False

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """Model and settings; ``message_count`` is the number of texts, or 1 for one list of token ids."""
        given = body.get("input")
        is_batch = isinstance(given, list) and not all(isinstance(v, int) for v in given)
        return RequestFacts(
            model=text(body.get("model")) or model_in(path),
            params=picked(body, _PARAMS),
            message_count=len(given) if isinstance(given, list) and is_batch else int(bool(given)),
        )

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """Model, tokens or error."""
        error = provider_error(body)
        vectors = body.get("data", body.get("embeddings"))
        finish = "error" if error != provider_error({}) else "stop" if isinstance(vectors, list) else None
        return ResponseFacts(
            model=text(body.get("model")),
            response_id=text(body.get("id")),
            finish_reason=finish,
            usage=usage(self.api, body.get("usage", body)),  # Ollama's count stands beside the vectors
            error_type=error.type,
            error_code=error.code,
            error_message=error.message,
        )

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """Embeddings are not streamed: an empty body."""
        return {}
