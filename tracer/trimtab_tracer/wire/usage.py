"""Usage objects and model names, picked cheaply out of raw bytes.

In: the bytes of a body. Out: a raw usage fragment, a model name. A module of its own because the hook needs it, which
runs inside the agent's call and can't afford to parse a body. What a usage object means is in :mod:`.tokens`.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from ..redact import redact_name

FRAGMENT_BYTES = 2048
"""Longest usage object that :func:`fragment` returns."""

MODEL_CHARS = 200
"""Longest model name that :func:`model_of` returns."""

_MAX_TEXT = 40
"""Longest text value inside a usage object: enums such as ``standard`` or ``TEXT`` fit, message text does not."""

_EXACT_BYTES = 65_536
"""Bodies up to this size are parsed where several ``"model"`` keys leave a doubt (about 0.3 ms)."""

_TAIL_BYTES = 1024
"""Last bytes of a body in which its model is looked for first, so that the length of a prompt does not matter."""

_MODEL = re.compile(rb'"model"\s{0,8}:\s{0,8}"((?:[^"\\]|\\.){1,200})"')
_OLLAMA = re.compile(rb'"(prompt_eval_count|eval_count)"\s{0,8}:\s{0,8}(\d{1,12})')


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def fragment(tail: bytes, head: bytes = b"") -> str | None:
    """The raw usage object in the end of a response body or stream, as JSON text of at most 2 kB.

    The last ``"usage"`` or ``"usageMetadata"`` key whose value is not null counts. Holds numbers and short enums only:
    an object with longer text or a secret is refused, whatever its key says. A few microseconds; never raises.

    Args:
        tail: The last bytes of the decoded body; 8 kB is plenty.
        head: The first bytes of a longer body. Anthropic streams may tell the input tokens there only; they are then
            merged in.

    Returns:
        JSON text of one object, or None where there is no usage or it is cut.
    """
    try:
        found = _last_usage(tail)
        if found is None:
            return _ollama_counts(tail)
        if '"output_tokens"' in found and '"input_tokens"' not in found:
            start = (head or tail)[:4096]
            first = _usage_at(start, start.find(b'"usage"'))
            if first is not None and '"input_tokens"' in first:
                merged = json.dumps(json.loads(first) | json.loads(found), separators=(",", ":"))
                return merged if len(merged) <= FRAGMENT_BYTES else found
        return found
    except (ValueError, RecursionError):
        return None


def _last_usage(tail: bytes) -> str | None:
    at = len(tail)
    # Streams repeat `"usage":null` in every chunk; beyond a few of them there is no usage worth a longer search.
    for _ in range(8):
        at = max(tail.rfind(b'"usage"', 0, at), tail.rfind(b'"usageMetadata"', 0, at))
        if at < 0:
            return None
        if (found := _usage_at(tail, at)) is not None:
            return found
    return None


def _usage_at(body: bytes, at: int) -> str | None:
    """The usage object behind the key at ``at``, or None where its value is none. Raises ValueError where it is cut."""
    start = body.find(b":", at, at + 24) + 1 if at >= 0 else 0
    if not start or body[at - 1 : at] == b"\\":
        return None
    text = body[start : start + FRAGMENT_BYTES + 16].lstrip().decode("utf-8", "replace")
    if not text.startswith("{"):
        return None
    value, stop = _DECODER.raw_decode(text)
    if stop > FRAGMENT_BYTES or not _is_plain(value):
        raise ValueError("a usage object holds numbers and short enums")
    return text[:stop]


def _is_plain(value: Any, key: str = "") -> bool:
    """Whether the usage value behind ``key`` holds only numbers, flags and short enums."""
    if isinstance(value, dict):
        return all(len(k) <= _MAX_TEXT and _is_plain(v, k) for k, v in value.items())
    if isinstance(value, list):
        return all(_is_plain(v, key) for v in value)
    return not isinstance(value, str) or (len(value) <= _MAX_TEXT and _is_no_secret(f'"{key}":"{value}"'))


def _is_no_secret(said: str) -> bool:
    return redact_name(said) == said


def _ollama_counts(tail: bytes) -> str | None:
    if b"eval_count" not in tail:
        return None
    counts = {m[1].decode(): int(m[2]) for m in _OLLAMA.finditer(tail)}
    return json.dumps(counts, separators=(",", ":")) if counts else None


def model_of(body: bytes, path: str = "") -> str | None:
    """The model a request asks for, without parsing the body: a few microseconds where ``"model"`` occurs once.

    Tool arguments and metadata may hold a ``"model"`` of their own: a body that begins with the key is settled, other
    doubtful bodies are parsed up to 64 kB, and beyond that the last match counts. Never raises.

    Args:
        body: The request body.
        path: URL path, for the providers that name the model (Gemini) or the deployment (Azure) there.
    """
    begins = body.lstrip()[:16].find(b'"model"') == 1
    if not begins and (ends := _model_at_end(body)) is not None:
        return ends
    if not begins and len(body) <= _EXACT_BYTES and body.count(b'"model"') > 1:
        try:
            model = json.loads(body).get("model")
            return model[:MODEL_CHARS] if isinstance(model, str) else model_in(path)
        except (ValueError, AttributeError, RecursionError):
            pass
    if (first := _MODEL.match(body, 1)) is not None:
        return _text(first[1])
    last = None
    at = body.rfind(b'"model"')
    for _ in range(64):  # keys with other values, as in schemas; a body full of them is not searched to its end
        if at < 0 or (last := _MODEL.match(body, at)) is not None:
            break
        at = body.rfind(b'"model"', 0, at)
    return _text(last[1]) if last else model_in(path)


def _model_at_end(body: bytes) -> str | None:
    """The model where its key is among the last ones of the body, as OpenAI's SDK writes it; else None.

    What follows the key is whole JSON only where it is a key of the body itself, and of several the last counts.
    """
    at = body.rfind(b'"model"', max(0, len(body) - _TAIL_BYTES))
    if at < 0:
        return None
    try:
        model = json.loads(b"{" + body[at:])["model"]
    except (ValueError, RecursionError):
        return None
    return model[:MODEL_CHARS] if isinstance(model, str) else None


def _text(literal: bytes) -> str | None:
    text = literal.decode("utf-8", "replace")
    if "\\" not in text:
        return text[:MODEL_CHARS]
    try:
        return str(json.loads(f'"{text}"'))[:MODEL_CHARS]
    except ValueError:
        return None


def model_in(path: str) -> str | None:
    """The model or deployment that a URL path names: ``/v1beta/models/gemini-x:generateContent`` → ``gemini-x``."""
    path = path.partition("?")[0]
    for marker in ("/models/", "/deployments/", "/tunedModels/"):
        _, found, rest = path.rpartition(marker)
        if found:
            return rest.partition("/")[0].partition(":")[0][:MODEL_CHARS] or None
    return None
