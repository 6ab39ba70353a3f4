"""What a provider's usage object says, in one meaning for all providers.

In: a usage object, parsed. Out: :class:`.facts.Usage`. A module of its own because two readers need it apart from the
parsers of whole bodies: they themselves, and the collector, which falls back on the usage fragment of an attempt when
the process died before its exchange was parsed. Where a provider changes its usage object, unknown fields are ignored
and missing ones are ``None``. What the counts cost is in :mod:`..prices`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from .facts import Usage
from .values import obj, objs

_WORD = re.compile(r"[a-z][a-z0-9_-]{0,29}")

_GOOGLE_TIERS = {"on_demand_flex": "flex", "on_demand_priority": "priority"}
"""Vertex names its tiers by the traffic; other traffic is billed at the standard rates, or beforehand."""


def usage(api: str, raw: Any) -> Usage | None:
    """The tokens that a raw usage object states, in one meaning for all providers.

    OpenAI counts cached tokens inside the input, Anthropic beside it; Gemini counts thoughts beside the candidates,
    OpenAI reasoning inside the completion (xAI and Gemini's imitation of OpenAI beside it, which shows in the total).
    Shapes that OpenAI-compatible servers mix are told apart by their keys, so ``api`` decides only between Gemini,
    Ollama and the rest.

    Args:
        api: As in :class:`~trimtab_tracer.records.Attempt`.
        raw: The usage object of a body, or the parsed text of a :func:`.usage.fragment`.

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
    counts = (found.input_tokens, found.output_tokens, found.cache_read_tokens, found.cache_write_tokens)
    told = (*counts, found.reasoning_tokens, found.cost_reported_usd)
    return None if all(value is None for value in told) else found


def word(value: Any) -> str | None:
    """A provider's enum value in lower case, or None where it is anything else: it goes to the disk as it stands."""
    lower = value.lower() if isinstance(value, str) else ""
    return lower if _WORD.fullmatch(lower) else None


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
    return next((raw[name] for name in names if isinstance(raw.get(name), dict)), {})


def _first(*values: int | None) -> int | None:
    return next((v for v in values if v is not None), None)


def _openai(raw: dict[str, Any]) -> Usage:
    into = _inner(raw, "prompt_tokens_details", "input_tokens_details")
    out_of = _inner(raw, "completion_tokens_details", "output_tokens_details")
    given = _count(raw, "prompt_tokens", "input_tokens")
    written, reasoning = _written(raw, out_of, given)
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
        input_audio_tokens=_count(into, "audio_tokens"),
        output_audio_tokens=_count(out_of, "audio_tokens"),
        output_image_tokens=_count(out_of, "image_tokens"),
        service_tier=word(raw.get("service_tier")),
    )


def _written(raw: dict[str, Any], details: dict[str, Any], given: int | None) -> tuple[int | None, int | None]:
    """Output tokens with reasoning, and reasoning alone, also where the completion leaves it out.

    xAI names what is beside the completion; Gemini's OpenAI-compatible endpoint shows it in the total only.
    """
    written = _count(raw, "completion_tokens", "output_tokens")
    reasoning, total = _count(details, "reasoning_tokens"), _count(raw, "total_tokens")
    if given is None or written is None or total is None:
        return written, reasoning
    hidden = total - given - written
    if reasoning and hidden == reasoning:
        return written + reasoning, reasoning
    if reasoning is None and hidden > 0 and not details:
        return written + hidden, hidden
    return written, reasoning


def _anthropic(raw: dict[str, Any]) -> Usage:
    # The tokens of a server-side compaction are billed, and left out of the top-level counts.
    parts = [raw, *(i for i in objs(raw.get("iterations")) if i.get("type") == "compaction")]
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
        cache_write_1h_tokens=_sum(*(_count(obj(p.get("cache_creation")), "ephemeral_1h_input_tokens") for p in parts)),
        web_searches=_count(obj(raw.get("server_tool_use")), "web_search_requests"),
        service_tier=word(raw.get("service_tier")),
        speed=word(raw.get("speed")),
        inference_geo=word(raw.get("inference_geo")),
    )


def _gemini(raw: dict[str, Any]) -> Usage:
    thoughts = _count(raw, "thoughtsTokenCount")
    tier = word(raw.get("serviceTier")) or word(raw.get("trafficType"))
    return Usage(
        input_tokens=_sum(_count(raw, "promptTokenCount"), _count(raw, "toolUsePromptTokenCount")),
        cache_read_tokens=_count(raw, "cachedContentTokenCount"),
        output_tokens=_sum(_count(raw, "candidatesTokenCount"), thoughts),
        reasoning_tokens=thoughts,
        input_audio_tokens=_sum(
            *_modality(raw, "AUDIO", "promptTokensDetails"), *_modality(raw, "AUDIO", "toolUsePromptTokensDetails")
        ),
        cache_audio_read_tokens=_sum(*_modality(raw, "AUDIO", "cacheTokensDetails")),
        output_audio_tokens=_sum(*_modality(raw, "AUDIO", "candidatesTokensDetails")),
        output_image_tokens=_sum(*_modality(raw, "IMAGE", "candidatesTokensDetails")),
        service_tier=_GOOGLE_TIERS.get(tier, tier) if tier else None,
    )


def _modality(raw: dict[str, Any], modality: str, name: str) -> Iterator[int | None]:
    """The counts of one modality in a list of ``{"modality": …, "tokenCount": …}``."""
    for detail in objs(raw.get(name)):
        if str(detail.get("modality")).upper() == modality:
            yield _count(detail, "tokenCount")


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
