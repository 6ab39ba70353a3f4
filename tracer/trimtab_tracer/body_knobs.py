"""Temperature, reasoning effort and prompt-cache hints in a request's body. Sans-IO.

In: what a request asks (:class:`.rewrite.Draft`), a knob and its value. Out: the same with that value, or None where it
is left alone. A module of its own because each provider spells these three in its own way, and because of the one rule
they share: temperature and effort only take the place of a value that the code itself gave, in the spelling in which it
gave it, for nothing else proves that its model takes the parameter. A cache hint is added, and only where the code
gives none. What a provider refuses all the same is left again (:mod:`.detours`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .digests import canonical
from .rewrite import Draft
from .wire.values import obj, objs

BODY_KNOBS = ("temperature", "reasoning_effort", "prompt_cache")
"""The knobs of this module."""

SPELLINGS: dict[str, tuple[bytes, ...]] = {
    "temperature": (b"temperature",),
    "reasoning_effort": (b"effort", b"thinking", b"think", b"budget"),
    "prompt_cache": (b"cache_control", b"cacheControl", b"prompt_cache"),
}
"""What a provider names in its refusal of each."""

THINKING_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
"""Tokens for thinking that stand for an effort, where the code sets tokens."""
MIN_BUDGET = 1024
"""Least that Anthropic takes."""

_ANTHROPIC_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_GEMINI_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_OLLAMA_LEVELS = frozenset({"low", "medium", "high", "max"})
_MARKABLE = frozenset({"text", "image", "document", "tool_use", "tool_result", "search_result"})
"""Blocks that Anthropic lets carry a cache mark."""
_ANTHROPIC = "anthropic.messages"


def with_knob(draft: Draft, knob: str, value: Any) -> Draft | None:
    """What ``draft`` asks, with ``value`` for one of :data:`BODY_KNOBS`; None where the knob is left alone."""
    return _CHANGES[knob](draft, value)


def _with(draft: Draft, path: tuple[str, ...], value: Any) -> Draft:
    """The draft with ``value`` at ``path``, whose outer objects are there."""
    return replace(draft, body=_put(draft.body, path, value))


def _put(inside: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**inside, first: _put(inside[first], tuple(rest), value) if rest else value}


def _at(draft: Draft, path: tuple[str, ...]) -> Any:
    found: Any = draft.body
    for key in path:
        found = obj(found).get(key)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _temperature(draft: Draft, value: float) -> Draft | None:
    paths: tuple[tuple[str, ...], ...] = {
        "gemini": tuple((outer, "temperature") for outer in ("generationConfig", "generation_config")),
        "ollama": (("options", "temperature"),),
    }.get(draft.api, (("temperature",),))
    path = next((path for path in paths if _is_number(_at(draft, path))), None)
    if path is None:
        return None
    if draft.api == _ANTHROPIC and (value > 1 or obj(draft.body.get("thinking")).get("type") not in (None, "disabled")):
        return None  # it takes none above 1, and no other one than 1 beside thoughts
    return _with(draft, path, value)


def _effort(draft: Draft, effort: str) -> Draft | None:
    if draft.api == _ANTHROPIC:
        return _anthropic_effort(draft, effort)
    if draft.api == "gemini":
        return _gemini_effort(draft, effort)
    levels = _OLLAMA_LEVELS if draft.api == "ollama" else None
    paths = {
        "openai.chat": (("reasoning_effort",), ("reasoning", "effort")),  # the latter as OpenRouter has it
        "openai.responses": (("reasoning", "effort"),),
        "ollama": (("think",),),
    }.get(draft.api, ())
    path = next((path for path in paths if isinstance(_at(draft, path), str)), None)
    return None if path is None or (levels is not None and effort not in levels) else _with(draft, path, effort)


def _anthropic_effort(draft: Draft, effort: str) -> Draft | None:
    if isinstance(_at(draft, ("output_config", "effort")), str):
        return _with(draft, ("output_config", "effort"), effort) if effort in _ANTHROPIC_EFFORTS else None
    budget, limit = THINKING_BUDGETS.get(effort), draft.body.get("max_tokens")
    if budget is None or not _is_number(_at(draft, ("thinking", "budget_tokens"))) or not isinstance(limit, int):
        return None
    budget = max(MIN_BUDGET, min(budget, limit // 2))  # the answer needs room, too
    return _with(draft, ("thinking", "budget_tokens"), budget) if budget < limit else None


def _gemini_effort(draft: Draft, effort: str) -> Draft | None:
    outers = [(one, two) for one in ("generationConfig", "generation_config") for two in _THINKING_NAMES]
    for outer in outers:
        for name in ("thinkingLevel", "thinking_level"):
            said = _at(draft, (*outer, name))
            if isinstance(said, str):
                level = effort.upper() if said.isupper() else effort
                return _with(draft, (*outer, name), level) if effort in _GEMINI_LEVELS else None
        for name in ("thinkingBudget", "thinking_budget"):
            if _is_number(_at(draft, (*outer, name))):
                budget = 0 if effort == "none" else THINKING_BUDGETS[effort]
                return _with(draft, (*outer, name), min(budget, 24576))
    return None


_THINKING_NAMES = ("thinkingConfig", "thinking_config")


def _prompt_cache(draft: Draft, kept: str) -> Draft | None:
    if draft.api == _ANTHROPIC:
        return _marked(draft, kept)
    is_openai = draft.api in ("openai.chat", "openai.responses")
    if not is_openai or any(key.startswith("prompt_cache") for key in draft.body):
        return None
    return replace(draft, body={**draft.body, "prompt_cache_key": _cache_key(draft.body)})


def _cache_key(body: dict[str, Any]) -> str:
    """One key for all requests that begin alike: with the same instructions and tools."""
    begins = [turn for turn in objs(body.get("messages"))[:4] if turn.get("role") in ("system", "developer")]
    said = canonical([body.get("instructions"), begins, body.get("tools"), body.get("model")])
    return "trimtab-" + hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]


def _marked(draft: Draft, kept: str) -> Draft | None:
    """With marks behind tools, system prompt and last message, the ends of what later requests repeat."""
    body = draft.body
    if b'"cache_control"' in draft.content() or "thread" in body:
        return None
    mark = {"type": "ephemeral"} if kept == "5m" else {"type": "ephemeral", "ttl": kept}
    changed: dict[str, Any] = {}
    tools = body.get("tools")
    if isinstance(tools, list) and tools and isinstance(tools[-1], dict) and "input_schema" in tools[-1]:
        changed["tools"] = [*tools[:-1], {**tools[-1], "cache_control": mark}]
    if (system := _with_mark(body.get("system"), mark)) is not None:
        changed["system"] = system
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        content = _with_mark(messages[-1].get("content"), mark)
        if content is not None:
            changed["messages"] = [*messages[:-1], {**messages[-1], "content": content}]
    return replace(draft, body={**body, **changed}) if changed else None


def _with_mark(content: Any, mark: dict[str, str]) -> list[Any] | None:
    """Blocks, the last of which is marked; None where that one can't be."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not blocks or not isinstance(blocks[-1], dict):
        return None
    last = blocks[-1]
    if last.get("type") not in _MARKABLE or last.get("text") == "":
        return None
    return [*blocks[:-1], {**last, "cache_control": mark}]


_CHANGES: dict[str, Callable[[Draft, Any], Draft | None]] = {
    "temperature": _temperature,
    "reasoning_effort": _effort,
    "prompt_cache": _prompt_cache,
}
