"""Another model or token limit in a request of the agent, and nothing else changed. Sans-IO.

In: a request of either HTTP library, its wire format, and what is to be changed. Out: a :class:`Draft` of path and body
that can be changed knob by knob, and a new request of the same class. A module of its own because it decides what must
not be touched: signed and compressed requests, bodies that are no plain JSON object, models that a path only seems to
name (Azure's deployments). Each refusal is None and leaves the knob to the incumbent; nothing raises on odd bodies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from .patterns import lazy_pattern
from .shapes import value_class
from .wire.values import obj

SIGNATURES = ("content-encoding", "content-md5", "digest", "signature", "hmac")
"""In the names of headers that vouch for the body as it is, or say that it is packed."""

_IN_PATH = re.compile(rb"(.*/models/)([^/:?]+)(:[A-Za-z]+)((?:\?.*)?)", re.DOTALL)
_PATH_SEGMENT = lazy_pattern(r"[A-Za-z0-9._@+-]+")

_LIMITS: dict[str, tuple[tuple[str, ...], ...]] = {
    "openai.chat": (("max_tokens",), ("max_completion_tokens",)),
    "openai.responses": (("max_output_tokens",),),
    "anthropic.messages": (("max_tokens",),),
    "gemini": (
        ("generationConfig", "maxOutputTokens"),
        ("generationConfig", "max_output_tokens"),
        ("generation_config", "maxOutputTokens"),
        ("generation_config", "max_output_tokens"),
    ),
    "ollama": (("options", "num_predict"),),
}
"""Where each API has its limit of output tokens."""


@value_class
class Draft:
    """What a request asks, apart from how it travels."""

    api: str
    raw_path: bytes
    """Path and query."""
    body: dict[str, Any]

    @property
    def model(self) -> str | None:
        """The model it asks for, where that can be changed."""
        if self.api == "openai.embeddings":
            return None  # vectors of two models can't be compared
        found = _IN_PATH.fullmatch(self.raw_path)
        if found is not None:
            return None if "model" in self.body else found[2].decode("ascii", "replace")
        model = self.body.get("model")
        return model if isinstance(model, str) and b"/deployments/" not in self.raw_path else None

    def with_model(self, model: str) -> Draft | None:
        """The same, asking another model; None where that can't be."""
        if self.model in (None, model):
            return self if self.model == model else None
        found = _IN_PATH.fullmatch(self.raw_path)
        if found is None:
            return replace(self, body={**self.body, "model": model})
        if _PATH_SEGMENT.fullmatch(model) is None:
            return None
        return replace(self, raw_path=found[1] + model.encode() + found[3] + found[4])

    def with_usage(self) -> Draft | None:
        """The same, asking a stream for its usage; None where it is no stream, or says itself what it wants."""
        if self.body.get("stream") is not True or "stream_options" in self.body:
            return None
        return replace(self, body={**self.body, "stream_options": {"include_usage": True}})

    @property
    def has_max_tokens(self) -> bool:
        """Whether it limits the answer's tokens."""
        return any(True for _ in self._limits())

    def with_max_tokens(self, limit: int) -> Draft | None:
        """The same with this limit of output tokens; None where it sets none, or thinking alone may use more."""
        budget = obj(self.body.get("thinking")).get("budget_tokens")
        if isinstance(budget, int) and budget >= limit:
            return None  # Anthropic refuses such a request
        body = self.body
        for *outer, last in self._limits():
            body = {**body, outer[0]: {**body[outer[0]], last: limit}} if outer else {**body, last: limit}
        if body == self.body:
            return self if self.has_max_tokens else None
        return replace(self, body=body)

    def _limits(self) -> Iterable[tuple[str, ...]]:
        for path in _LIMITS.get(self.api, ()):
            inner = self.body if len(path) == 1 else obj(self.body.get(path[0]))
            limit = inner.get(path[-1])
            if isinstance(limit, int) and not isinstance(limit, bool):
                yield path

    def content(self) -> bytes:
        """The body's bytes: compact, keys in their order."""
        compact: Any = {"separators": (",", ":"), "allow_nan": False}
        try:
            return json.dumps(self.body, ensure_ascii=False, **compact).encode()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can only escape
            return json.dumps(self.body, **compact).encode()


def is_untouchable(request: Any) -> bool:
    """Whether somebody vouches for the request as it is, so that it may not be changed at all."""
    headers = request.headers
    if headers.get("authorization", "").startswith("AWS4-"):
        return True
    return any(name.startswith("x-amz-") or any(word in name for word in SIGNATURES) for name in headers)


def draft(api: str, request: Any, body: bytes | None) -> Draft | None:
    """What ``request`` asks; None where it may not be changed or its body is no plain JSON object."""
    if body is None or is_untouchable(request):
        return None
    try:
        value = json.loads(body.decode(), object_pairs_hook=_without_twins, parse_constant=_refuse)
        json.dumps(value, allow_nan=False)  # a number too large to come back as it was
    except (ValueError, RecursionError):
        return None
    return Draft(api, request.url.raw_path, value) if isinstance(value, dict) else None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key that occurs twice: readers differ about which one counts")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def timeouts(given: dict[str, float | None], limit_s: float) -> dict[str, float | None]:
    """An HTTP library's timeouts with another limit for reading and writing.

    Connecting takes no longer than before, nor longer than the whole; waiting for a free connection follows where it
    had a limit.
    """
    connect, pool = given.get("connect"), given.get("pool")
    return {
        "connect": limit_s if connect is None else min(connect, limit_s),
        "read": limit_s,
        "write": limit_s,
        "pool": None if pool is None else limit_s,
    }


def split_timeouts(given: dict[str, float | None], limits: dict[str, float]) -> dict[str, float | None]:
    """An HTTP library's timeouts under the parts of ``timeout_s``: another one for connecting, none above ``total``."""
    return capped({**given, "connect": limits.get("connect", given.get("connect"))}, limits.get("total"))


def capped(given: dict[str, float | None], most_s: float | None) -> dict[str, float | None]:
    """An HTTP library's timeouts, none of them above ``most_s``; as they are where that is None."""
    names = ("connect", "read", "write", "pool")
    if most_s is None:
        return {name: given.get(name) for name in names}
    return {name: most_s if (limit := given.get(name)) is None else min(limit, most_s) for name in names}


def readdressed(request: Any, url: Any, headers: dict[str, str]) -> Any:
    """A new request like ``request`` that goes elsewhere, with none but these headers."""
    extensions = {key: value for key, value in request.extensions.items() if key != "sni_hostname"}
    headers = {name: value for name, value in headers.items() if name != "transfer-encoding"}
    return type(request)(request.method, url, headers=headers, extensions=extensions, content=request.content)


def remade(
    request: Any,
    *,
    raw_path: bytes | None = None,
    content: bytes | None = None,
    timeout: dict[str, float | None] | None = None,
    retry_count: int | None = None,
) -> Any:
    """A new request like ``request``, with what is given changed and the length of the body right.

    Args:
        request: Of httpx or httpx2; stays as it is.
        raw_path: Another path and query.
        content: Another body.
        timeout: Other timeouts, as the HTTP library keeps them.
        retry_count: What an SDK's own header says of retries; only where the request has it.
    """
    headers = request.headers.copy()
    extensions = dict(request.extensions)
    body: dict[str, Any] = {"stream": request.stream}
    if content is not None:
        body = {"content": content}
        headers.pop("transfer-encoding", None)  # a generator's body that was read has a length now
        headers["Content-Length"] = str(len(content))
    elif hasattr(request, "_content"):
        body = {"content": request.content}
    if timeout is not None:
        extensions["timeout"] = timeout
    if retry_count is not None and "x-stainless-retry-count" in headers:
        headers["x-stainless-retry-count"] = str(retry_count)
    url = request.url if raw_path is None else request.url.copy_with(raw_path=raw_path)
    return type(request)(request.method, url, headers=headers, extensions=extensions, **body)
