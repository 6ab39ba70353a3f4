"""Tolerant access to JSON that someone else wrote.

In: any JSON value. Out: a value of the asked kind, or an empty one. A module of its own because every
parser of this package must survive arbitrary JSON: a field of the wrong type reads as absent, so no
parser needs a ``try`` and none can raise.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from ..digests import canonical, is_utf8


def obj(value: Any) -> dict[str, Any]:
    """``value`` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def seq(value: Any) -> list[Any]:
    """``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def objs(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; everything else is left out."""
    return [v for v in seq(value) if isinstance(v, dict)]


def text(value: Any) -> str | None:
    """``value`` where it is text that is not empty, else None; lone surrogates become ``?``."""
    return clean(value) if isinstance(value, str) and value else None


def clean(value: str) -> str:
    """``value`` as text that files and databases accept."""
    return value if is_utf8(value) else value.encode("utf-8", "replace").decode()


def code(value: Any) -> str | None:
    """An error code as text: providers send numbers, text or nothing."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return text(value)


def loads(data: str | bytes) -> Any:
    """The JSON value of ``data``, or None where it is none; ``NaN`` and ``Infinity`` read as null."""
    try:
        return _DECODER.decode(
            data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
        )
    except (ValueError, RecursionError):
        return None


def _null(constant: str) -> None:
    """What JSON does not know is not there."""


_DECODER = json.JSONDecoder(parse_constant=_null)


def joined(content: Any) -> str:
    """The text of a message's content: a string, or the text of its parts; pictures and files add nothing."""
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, dict):
        content = [content]
    found = [p if isinstance(p, str) else obj(p).get("text") for p in seq(content)]
    return "\n".join(t for part in found if (t := text(part)))


def spoken(value: Any) -> str:
    """A tool's answer as text: its text where it is text or text parts, else its canonical JSON."""
    found = joined(value)
    return found if found or value in ("", None, [], {}) else canonical(value)


def arguments(value: Any) -> str:
    """Tool arguments as JSON text: what the model wrote, or the canonical text of an object."""
    if isinstance(value, str):
        return clean(value)
    return "" if value is None else canonical(value)


def picked(body: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The parameters that ``body`` sets, under our names; null counts as not set."""
    found = {ours: _storable(body[theirs]) for theirs, ours in names.items() if body.get(theirs) is not None}
    return {k: v for k, v in found.items() if v is not None}


def _storable(value: Any) -> Any:
    """A setting as a value that every JSON reader accepts, or None."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, int)):
        return value
    try:
        return loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (TypeError, ValueError, RecursionError):
        return None


def named(choice: Any) -> Any:
    """A tool choice or response format, reduced to its word or the name inside it."""
    if not isinstance(choice, dict):
        return text(choice)
    inner = obj(choice.get("function") or choice.get("json_schema") or choice.get("custom"))
    return text(inner.get("name")) or text(choice.get("name")) or text(choice.get("type"))


class ProviderError(NamedTuple):
    """A provider's error envelope; all None where there is none."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


NO_ERROR = ProviderError()


def provider_error(body: dict[str, Any]) -> ProviderError:
    """The error that a body reports: ``{"error": {…}}``, ``{"error": "…"}`` or ``{"object": "error", …}``.

    Gemini's ``status`` counts as the type, for its ``code`` only repeats the HTTP status.
    """
    error = body.get("error")
    if error is None and body.get("object") != "error" and body.get("type") != "error":
        return NO_ERROR
    if isinstance(error, str) and error:
        return ProviderError(message=clean(error))
    if not isinstance(error, dict) and (body.get("object") == "error" or body.get("type") == "error"):
        error = body | {"type": None if body.get("type") == "error" else body.get("type")}
    if not isinstance(error, dict) or not error:
        return NO_ERROR
    message = error.get("message")
    return ProviderError(
        text(error.get("type")) or text(error.get("status")),
        code(error.get("code")),
        clean(message) if isinstance(message, str) else canonical(message if message is not None else error),
    )
