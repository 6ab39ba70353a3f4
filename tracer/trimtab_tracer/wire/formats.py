"""Which wire format a request speaks, told by its method and path alone.

In: method and URL path of an HTTP request. Out: the :class:`WireFormat` that reads it, or None for all other
traffic. A module of its own because the hook asks it on every HTTP request of the agent, before anything
else is known: one dictionary look-up, no parsing, any host and any prefix (gateways, Azure, Vertex).
A path that merely looks alike (``POST /surveys/1/responses``) yields a format whose facts come out empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from .chat import OpenAIChat
from .embeddings import OpenAIEmbeddings
from .facts import RequestFacts, ResponseFacts
from .gemini import Gemini
from .messages import AnthropicMessages
from .ollama import Ollama
from .responses import OpenAIResponses
from .sse import ServerSentEvent


class WireFormat(Protocol):
    """Reader of one provider's requests and responses. Never raises, whatever JSON it is given."""

    api: str
    """Name in :class:`~trimtab_tracer.records.Attempt`."""
    terminal: tuple[bytes, ...]
    """Beginnings of the line that ends a stream, for :func:`.sse.has_line`; empty where only the body's end does."""
    is_ndjson: bool
    """Whether streams are newline-delimited JSON instead of server-sent events."""

    def request(self, body: dict[str, Any], path: str) -> RequestFacts:
        """What a request says."""
        ...

    def response(self, body: dict[str, Any]) -> ResponseFacts:
        """What a response says; ``body`` may be an error envelope or a folded stream."""
        ...

    def fold(self, events: Iterable[ServerSentEvent]) -> dict[str, Any]:
        """The response that a stream adds up to, in the shape of one that was not streamed.

        A stream without its end yields what arrived, with :data:`.facts.INCOMPLETE` set.
        """
        ...


CHAT: WireFormat = OpenAIChat()
RESPONSES: WireFormat = OpenAIResponses()
MESSAGES: WireFormat = AnthropicMessages()
EMBEDDINGS: WireFormat = OpenAIEmbeddings()
GEMINI: WireFormat = Gemini()
OLLAMA: WireFormat = Ollama()

_BY_API = {f.api: f for f in (CHAT, RESPONSES, MESSAGES, EMBEDDINGS, GEMINI, OLLAMA)}

# Last path segment → (what must stand before it, format).
_BY_SEGMENT: dict[str, tuple[str, WireFormat]] = {
    "completions": ("/chat", CHAT),
    "responses": ("", RESPONSES),
    "messages": ("/v1", MESSAGES),
    "embeddings": ("", EMBEDDINGS),
    "chat": ("/api", OLLAMA),
    "generate": ("/api", OLLAMA),
    "embed": ("/api", EMBEDDINGS),
}

# What follows the colon of `/models/<model>:<verb>`.
_BY_VERB: dict[str, tuple[str, WireFormat]] = {
    "generateContent": ("", GEMINI),
    "streamGenerateContent": ("", GEMINI),
    "rawPredict": ("/publishers/anthropic/", MESSAGES),
    "streamRawPredict": ("/publishers/anthropic/", MESSAGES),
}


def match(method: str, path: str) -> WireFormat | None:
    """The format of a request, or None where it is no LLM call. About half a microsecond.

    Args:
        method: HTTP method in capitals.
        path: URL path; a query is ignored.
    """
    if method != "POST":
        return None
    path = path.partition("?")[0]
    before, _, segment = path.rstrip("/").rpartition("/")
    known = _BY_SEGMENT.get(segment)
    if known is not None:
        return known[1] if before.endswith(known[0]) else None
    if ":" in segment and (verb := _BY_VERB.get(segment.rpartition(":")[2])) is not None:
        return verb[1] if verb[0] in before else None
    return None


def by_api(api: str) -> WireFormat | None:
    """The format of that name, for importers and stored records."""
    return _BY_API.get(api)
