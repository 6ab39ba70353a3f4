"""Everything that a program or a provider saw, as plain data that can be compared.

What differs from one execution to the next without anybody's doing is replaced by its name: the provider's port, random
keys of SDKs, addresses of objects, and, where several calls run at once, what depends on which one came first. What
depends on when a stream was left is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cases import Case

VOLATILE = (
    (re.compile(r"127\.0\.0\.1:\d+"), "PROVIDER"),
    (re.compile(r"stainless-python-retry-[0-9a-f-]{36}"), "IDEMPOTENCY-KEY"),
    (re.compile(r"0x[0-9a-f]{6,}"), "ADDRESS"),
)
ORDERED = re.compile(r"scripted_\d{6}_(\d+)_[0-9a-f]+")
"""Ids that tell the number of the request."""
ERROR_ATTRIBUTES = ("message", "status_code", "code", "param", "type", "body", "request_id", "completion", "__notes__")
TIMES = ("received_ns", "finished_ns")
WHILE_LEFT = ("text", "tool_calls", "chunks", "response_bytes", "usage", "finish", "response_id")
"""Of a log entry: how far a stream had come when its client hung up."""
UNORDERED = ("created", "created_at", "completed_at", "n")
"""What depends on the number of the request, as times on the scenario's clock do."""


def dumped(value: Any) -> Any:
    """An SDK's object as data, with its class."""
    if hasattr(value, "model_dump"):
        return [_name(type(value)), value.model_dump(mode="json", warnings=False)]
    return value


def response_seen(value: Any, is_left: bool = False) -> dict[str, Any]:
    """An HTTP response, or an SDK's object around one."""
    around = {"retries_taken": value.retries_taken} if hasattr(value, "retries_taken") else {}
    inner = next((getattr(value, n) for n in ("http_response", "response") if hasattr(value, n)), value)
    downloaded = {} if is_left else {"num_bytes_downloaded": inner.num_bytes_downloaded}
    return {
        **around,
        **downloaded,
        "class": [_name(type(value)), _name(type(inner))],
        "status": [inner.status_code, inner.reason_phrase, inner.http_version, inner.encoding],
        "headers": inner.headers.multi_items(),
        "is_closed": inner.is_closed,
        "is_stream_consumed": inner.is_stream_consumed,
        "was_timed": _attribute(inner, "elapsed") is not None,
        "history": [each.status_code for each in inner.history],
        "extensions": sorted(inner.extensions),
        "request": request_seen(inner.request),
        "cookies": dict(inner.cookies),
        "next": inner.next_request is not None,
    }


def request_seen(request: Any) -> dict[str, Any]:
    """A request that somebody holds."""
    return {
        "class": _name(type(request)),
        "line": [request.method, str(request.url)],
        "headers": _without_secrets(request.headers.multi_items()),
        "content": _content(request),
        "timeout": request.extensions.get("timeout"),
    }


def error_seen(error: BaseException | None) -> dict[str, Any] | None:
    """An exception, what it carries, and the chain of its causes."""
    if error is None:
        return None
    seen: dict[str, Any] = {"class": _name(type(error)), "args": [_argument(a) for a in error.args], "text": str(error)}
    for name in ERROR_ATTRIBUTES:
        if (value := _attribute(error, name)) is not None:
            seen[name] = dumped(value)
    if (response := _attribute(error, "response")) is not None and hasattr(response, "headers"):
        seen["response"] = response_seen(response)
    if (request := _attribute(error, "request")) is not None:
        seen["request"] = request_seen(request)
    seen["cause"] = error_seen(error.__cause__)
    seen["contexts"] = _contexts(error)
    seen["is_context_hidden"] = error.__suppress_context__
    return seen


def entry_seen(entry: Any, case: Case) -> dict[str, Any]:
    """A request as the provider saw it, and what it sent."""
    dropped = (
        *TIMES,
        *(WHILE_LEFT if case.is_left or case.is_hasty else ()),
        *(("client_closed",) if case.is_hasty else ()),
    )
    seen = {name: value for name, value in asdict(entry).items() if name not in dropped}
    return {**seen, "headers": list(seen["headers"].items())}


def comparable(value: Any, unordered: bool = False) -> Any:
    """``value`` as JSON has it, without what nobody decides; ``unordered`` where several calls ran at once."""
    if isinstance(value, Mapping):
        masked = UNORDERED if unordered else ()
        return {str(k): None if k in masked else comparable(v, unordered) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [comparable(each, unordered) for each in value]
    if isinstance(value, bytes):
        return ["bytes", comparable(value.decode("latin-1"), unordered)]
    if isinstance(value, str):
        for pattern, name in VOLATILE:
            value = pattern.sub(name, value)
        if unordered:
            value = re.sub(r'"(created|created_at|completed_at)":\d+', r'"\1":0', ORDERED.sub(r"scripted_\1", value))
        return value
    return value if value is None or isinstance(value, (bool, int, float)) else repr(value)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _argument(value: Any) -> Any:
    return error_seen(value) if isinstance(value, BaseException) else repr(value)


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except RuntimeError:  # httpx's `request` where none was set, and `elapsed` before the end
        return None


def _content(request: Any) -> Any:
    try:
        return request.content
    except Exception as error:  # of a generator: it can't be read twice
        return _name(type(error))


def _contexts(error: BaseException) -> list[str]:
    chain = []
    inner = error.__context__
    while inner is not None:
        chain.append(_name(type(inner)))
        inner = inner.__context__
    return chain


def _without_secrets(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, "" if name.lower() in ("authorization", "x-api-key") else value) for name, value in headers]
