"""A request of the agent, sent to another endpoint of the same wire format. Sans-IO.

In: a request, its wire format, an endpoint of the local configuration and its key. Out: URL and headers that it goes
out with, or None where it can't. A module of its own because of what it keeps: what the agent signs its requests with
is for its own provider and nobody else, so of the headers only those go along that say how a body is written and read.

The key is read from its variable when a call is made. It is never written down: headers are not recorded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .setting_values import Endpoint

HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "anthropic-beta", "anthropic-version", "connection"}
    | {"content-length", "content-type", "idempotency-key", "transfer-encoding", "user-agent"}
)
"""Headers that go along, beside ``x-stainless-…``, in which an SDK says what it is."""
QUERY = frozenset({"alt", "beta"})
"""Parts of a query that go along; a request with others but a key is not sent elsewhere."""
KEYS = frozenset({"key"})
"""Parts of a query that hold a key, and stay."""

_ENDINGS = {
    "openai.chat": b"/chat/completions",
    "openai.responses": b"/responses",
    "anthropic.messages": b"/v1/messages",
    "ollama": b"/api/chat",
    "gemini": b"/models/",
}
"""Where what follows the base address of an API begins."""

_FILES = ("file_id", "file_ids", "file_uri", "fileUri", "file_data", "fileData", "vector_store_ids", "vector_store_id")
"""Keys under which a body names what the provider keeps."""


def url(api: str, endpoint: Endpoint, request: Any) -> Any:
    """The address of ``request`` at ``endpoint``, of the request's own class; None where it has none there."""
    path, _, query = request.url.raw_path.partition(b"?")
    ending = _ENDINGS.get(api)
    at = path.rfind(ending) if ending is not None else -1
    if at < 0 or (api != "gemini" and path[at:] != ending):
        return None
    parts = [part for part in query.decode("ascii", "replace").split("&") if part]
    names = {part.partition("=")[0] for part in parts}
    if not names <= QUERY | KEYS:
        return None
    kept = "&".join(part for part in parts if part.partition("=")[0] in QUERY)
    return type(request.url)(endpoint.base_url + path[at:].decode("ascii", "replace") + (f"?{kept}" if kept else ""))


def headers(api: str, request: Any, key: str | None) -> dict[str, str]:
    """The headers that ``request`` has at another endpoint."""
    kept = {
        name: value
        for name, value in request.headers.items()
        if name in HEADERS or (name.startswith("x-stainless-") and name.isascii())
    }
    if key is None:
        return kept
    if api == "anthropic.messages":
        return {**kept, "x-api-key": key}
    return {**kept, "x-goog-api-key": key} if api == "gemini" else {**kept, "authorization": f"Bearer {key}"}


def key_of(endpoint: Endpoint) -> str | None:
    """Its key, from the environment as it is now; empty where the variable is not set."""
    return None if endpoint.key_env is None else os.environ.get(endpoint.key_env, "")


def is_plain(client: Any, sent_with: Mapping[str, Any]) -> bool:
    """Whether a client adds nothing of the agent's own to what it sends: no signature, no hook, no other transport.

    Args:
        client: Of either HTTP library.
        sent_with: What its ``send`` was called with beside the request.
    """
    auth = sent_with.get("auth")
    has_auth = auth is not None and type(auth).__name__ != "UseClientDefault"
    hooks = client.event_hooks.get("request")
    library = type(client._transport).__module__.partition(".")[0]
    transport = type(client._transport).__name__
    is_own = library in ("httpx", "httpx2") and transport in ("HTTPTransport", "AsyncHTTPTransport")
    return not (has_auth or client.auth is not None or hooks) and is_own


def is_kept_elsewhere(api: str, body: dict[str, Any]) -> bool:
    """Whether a request, or what goes on from its answer, needs what the provider keeps of it."""
    if api == "openai.responses" and (body.get("store") is not False or body.get("background")):
        return True
    waiting: list[Any] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if any(value.get(name) for name in _FILES) or value.get("type") == "file":
                return True
            waiting += [inner for inner in value.values() if isinstance(inner, dict | list)]
        else:
            waiting += [inner for inner in value if isinstance(inner, dict | list)]
    return False
