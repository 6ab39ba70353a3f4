"""How much of what comes of runs varies with the harness, and how much with the model.

In: ``/v1/compare``. Out: sentences. What can't be told apart from a factor by the runs at hand is named with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import words

MEASURES = {"success": "Success", "cost": "Cost", "latency": "Time"}
FACTORS = ("harness", "model", "task", "noise")
"""Components that are named, in this order; combinations of factors are on the page of comparisons."""


def sentences(compared: Any) -> list[str]:
    """One sentence for each measure, or why there is none."""
    comparison = compared["comparison"]
    if comparison is None:
        return [f"Not known: {compared['refusal']}"]
    said = [_sentence(shares) for name, shares in comparison["shares"].items() if name in MEASURES]
    return said or list(comparison["notes"][:1]) or ["Not known: no measure is told by enough runs."]


def _sentence(shares: Any) -> str:
    named = {one["name"]: one for one in shares["components"]}
    parts = [_part(named[name]) for name in FACTORS if name in named]
    return f"{MEASURES[shares['measure']]} varies {words.listing(parts, len(FACTORS))} (n = {shares['runs']:,} runs)."


def _part(one: Any) -> str:
    name = "with nothing that is known" if one["name"] == "noise" else f"with the {one['name']}"
    others: Sequence[str] = one["includes"]
    also = f", {words.listing(list(others))} included" if others else ""
    return f"{100 * one['share']:.0f} % {name} (95 % interval {100 * one['low']:.0f}–{100 * one['high']:.0f} %{also})"
