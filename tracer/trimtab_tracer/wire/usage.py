"""Tokens and model names: normalised from usage objects, or picked cheaply out of raw bytes.

In: a provider's usage object, or the bytes of a body. Out: :class:`.facts.Usage` in one meaning for all
providers, a raw usage fragment, a model name.

A module of its own because two readers need it apart from the parsers: the hook, which runs inside the
agent's call and can't afford to parse a body (:func:`fragment`, :func:`model_of`), and the collector,
which falls back on that fragment when the process died before its exchange was parsed (:func:`usage`).
Where a provider changes its usage object, unknown fields are ignored and missing ones are ``None``.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from .facts import Usage

FRAGMENT_BYTES = 2048
"""Longest usage object that :func:`fragment` returns."""

MODEL_CHARS = 200
"""Longest model name that :func:`model_of` returns."""

_MAX_TEXT = 40
"""Longest text value inside a usage object: enums such as ``standard`` or ``TEXT`` fit, message text does not."""

_EXACT_BYTES = 65_536
"""Bodies up to this size are parsed where several ``"model"`` keys leave a doubt (about 0.3 ms)."""

_MODEL = re.compile(rb'"model"\s{0,8}:\s{0,8}"((?:[^"\\]|\\.){1,200})"')
_OLLAMA = re.compile(rb'"(prompt_eval_count|eval_count)"\s{0,8}:\s{0,8}(\d{1,12})')


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def fragment(tail: bytes, head: bytes = b"") -> str | None:
    """The raw usage object in the end of a response body or stream, as JSON text of at most 2 kB.

    The last ``"usage"`` or ``"usageMetadata"`` key whose value is not null counts. Holds numbers and short enums only:
    an object with longer text is refused, whatever its key says. A few microseconds; never raises.

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


def _is_plain(value: Any) -> bool:
    """Whether a usage value holds only numbers, flags and short enums."""
    if isinstance(value, dict):
        return all(len(k) <= _MAX_TEXT and _is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(_is_plain(v) for v in value)
    return not isinstance(value, str) or len(value) <= _MAX_TEXT


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
    if body.count(b'"model"') > 1 and body.lstrip()[:16].find(b'"model"') != 1 and len(body) <= _EXACT_BYTES:
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


def usage(api: str, raw: Any) -> Usage | None:
    """The tokens that a raw usage object states, in one meaning for all providers.

    OpenAI counts cached tokens inside the input, Anthropic beside it; Gemini counts thoughts beside the candidates,
    OpenAI reasoning inside the completion (xAI beside it, which shows in the total). Shapes that OpenAI-compatible
    servers mix are told apart by their keys, so ``api`` decides only between Gemini, Ollama and the rest.

    Args:
        api: As in :class:`~trimtab_tracer.records.Attempt`.
        raw: The usage object of a body, or the parsed text of a :func:`fragment`.

    Returns:
        None where ``raw`` is no object or names no token count and no price.
    """
    if not isinstance(raw, dict):
        return None
    if api == "gemini" or "promptTokenCount" in raw or "candidatesTokenCount" in raw:
        found = _gemini(raw)
    elif (api == "ollama" or "prompt_eval_count" in raw) and "prompt_tokens" not in raw:
        found = Usage(input_tokens=_count(raw, "prompt_eval_count"), output_tokens=_count(raw, "eval_count"))
    elif api == "anthropic.messages" and "prompt_tokens" not in raw:
        found = _anthropic(raw)
    else:
        found = _openai(raw)
    return None if found == Usage() else found


def _count(raw: dict[str, Any], *names: str) -> int | None:
    """The first of these fields that holds a token count."""
    for name in names:
        value = raw.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12:
            return int(value)
    return None


def _sum(*parts: int | None) -> int | None:
    known = [p for p in parts if p is not None]
    return sum(known) if known else None


def _inner(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = raw.get(name)
        if isinstance(value, dict):
            return value
    return {}


def _openai(raw: dict[str, Any]) -> Usage:
    into = _inner(raw, "prompt_tokens_details", "input_tokens_details")
    out_of = _inner(raw, "completion_tokens_details", "output_tokens_details")
    given = _count(raw, "prompt_tokens", "input_tokens")
    written = _count(raw, "completion_tokens", "output_tokens")
    reasoning = _count(out_of, "reasoning_tokens")
    total = _count(raw, "total_tokens")
    if given is not None and written is not None and reasoning and total == given + written + reasoning:
        written += reasoning  # xAI: the completion leaves its reasoning out, the total does not
    return Usage(
        input_tokens=given,
        # DeepSeek and Moonshot have names of their own for what they read from the cache.
        cache_read_tokens=_first(
            _count(into, "cached_tokens"), _count(raw, "prompt_cache_hit_tokens", "cached_tokens")
        ),
        cache_write_tokens=_count(into, "cache_write_tokens", "cache_creation_tokens"),
        output_tokens=written,
        reasoning_tokens=reasoning,
        cost_reported_usd=_cost(raw),
    )


def _first(*values: int | None) -> int | None:
    return next((v for v in values if v is not None), None)


def _anthropic(raw: dict[str, Any]) -> Usage:
    iterations = raw.get("iterations")
    parts = [raw]
    if isinstance(iterations, list):
        # The tokens of a server-side compaction are billed, and left out of the top-level counts.
        parts += [i for i in iterations if isinstance(i, dict) and i.get("type") == "compaction"]
    fresh = _sum(*(_count(p, "input_tokens") for p in parts))
    read = _sum(*(_count(p, "cache_read_input_tokens") for p in parts))
    write = _sum(*(_count(p, "cache_creation_input_tokens") for p in parts))
    return Usage(
        # Without the fresh tokens (a stream's last event may leave them out) a sum would be wrong, not incomplete.
        input_tokens=None if fresh is None else _sum(fresh, read, write),
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=_sum(*(_count(p, "output_tokens") for p in parts)),
        reasoning_tokens=_count(_inner(raw, "output_tokens_details"), "thinking_tokens", "reasoning_tokens"),
        cost_reported_usd=_cost(raw),
    )


def _gemini(raw: dict[str, Any]) -> Usage:
    thoughts = _count(raw, "thoughtsTokenCount")
    return Usage(
        input_tokens=_sum(_count(raw, "promptTokenCount"), _count(raw, "toolUsePromptTokenCount")),
        cache_read_tokens=_count(raw, "cachedContentTokenCount"),
        output_tokens=_sum(_count(raw, "candidatesTokenCount"), thoughts),
        reasoning_tokens=thoughts,
    )


def _cost(raw: dict[str, Any]) -> str | None:
    """The price in the body (OpenRouter), as plain decimal text; with the caller's own key the upstream's is added."""
    cost = _money(raw.get("cost"))
    if cost is not None and raw.get("is_byok") is True:
        cost += _money(_inner(raw, "cost_details").get("upstream_inference_cost")) or Decimal(0)
    return None if cost is None else format(cost, "f")


def _money(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value)[:40])
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**6 and amount.adjusted() > -20 else None
