"""Proposals for a fallback: another model of the same provider where one is overloaded and calls are lost.

In: findings about the provider's errors. Out: proposals for ``fallback``, one per line that makes such calls. Which
model is a question of what is known to work: one that the settings name, else one that answered on the same host and in
the same format in this store. Where there is none, :mod:`.retries` proposes what else there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import polars as pl

from trimtab_analyzer.findings import Finding
from trimtab_analyzer.statistics import wilson
from trimtab_analyzer.wording import count, of

from .draft import draft, value_of
from .proposal import Proposal, expected, gain
from .retries import answer_cost
from .scene import Scene

ON: Final = ("overloaded", "server")
"""Errors that another model may not have."""


class Candidate(NamedTuple):
    """Another model."""

    model: str
    answers: int
    """Times it answered in this store; 0 where it was named and never asked."""
    requests: int


def fall_back(scene: Scene) -> Iterator[Proposal | None]:
    """Another model for the calls that an overloaded one lost, at each line that makes them."""
    for finding in scene.of_rules("provider_error"):
        numbers = finding.evidence["numbers"]
        has_one = finding.knob == "fallback" and value_of(finding) is not None
        if not numbers["lost_calls"] or has_one or not _is_overload(numbers["error_classes"]):
            continue
        asked = scene.asked(finding).filter(pl.col("is_lost") & ~pl.col("is_embedding"))
        for part in asked.partition_by("site_id", maintain_order=True):
            if part["site_id"][0] in scene.sites and (other := candidate(scene, part)) is not None:
                yield _proposal(scene, finding, part, other)


def _is_overload(classes: dict[str, int]) -> bool:
    """Whether one of these errors says "overloaded", or most of them that the provider failed."""
    return classes.get("overloaded", 0) > 0 or 2 * classes.get("server", 0) >= sum(classes.values())


def candidate(scene: Scene, asked: pl.DataFrame) -> Candidate | None:
    """The model to ask instead: one that the settings name, else the one that answers most surely and costs least.

    Two names that gave answers of one model are one model, and no help to each other.
    """
    failing = asked["model"].drop_nulls().unique().to_list()
    seen = scene.models.filter(
        pl.col("host").is_in(asked["host"].to_list()) & pl.col("api").is_in(asked["api"].to_list())
    )
    alike = {name for names in seen.filter(pl.col("model").is_in(failing))["response_models"] for name in names}
    others = seen.filter(
        ~pl.col("model").is_in(failing) & ~pl.col("model").is_in(list(alike)) & (pl.col("answers") > 0)
    )
    rows = [row for row in others.iter_rows(named=True) if not alike.intersection(row["response_models"])]
    for name in _named(scene, failing):
        known = next((row for row in rows if row["model"] == name), {"answers": 0, "requests": 0})
        return Candidate(name, known["answers"], known["requests"])
    best = min(rows, key=_worse, default=None)
    return Candidate(best["model"], best["answers"], best["requests"]) if best else None


def _named(scene: Scene, failing: list[str]) -> Iterator[str]:
    for named in scene.settings.fallback_models:
        if named.model is None or named.model in failing:
            yield from (name for name in named.fallbacks if name not in failing)


def _worse(row: dict[str, Any]) -> tuple[float, float, str]:
    """Rounded, so that two models that do equally well do not change places from one analysis to the next."""
    surely = wilson(row["answers"], row["requests"]).low
    return (-round(surely, 1), row["cost_musd"] if row["priced"] else float("inf"), row["model"])


def _proposal(scene: Scene, finding: Finding, asked: pl.DataFrame, other: Candidate) -> Proposal | None:
    numbers, site_id = finding.evidence["numbers"], asked["site_id"][0]
    classes, lost, calls = numbers["error_classes"], numbers["lost_calls"], numbers["of"]
    failing = " or ".join(sorted(asked["model"].drop_nulls().unique())) or "the model"
    share = other.answers / other.requests if other.answers else None
    seen = (
        f"{other.model} answered {of(other.answers, other.requests, 'request')} on the same host in this store"
        if other.answers
        else f"{other.model} is named in the settings and has not answered on this host yet"
    )
    success = gain(wilson(lost, calls), lost, calls, share, other.requests, seen)
    cost = answer_cost(scene, asked, success["high"], success["estimate"], [other.model])
    return draft(
        scene,
        finding,
        "fallback",
        site_id,
        {"on": [name for name in ON if name == "overloaded" or classes.get(name)], "models": [other.model]},
        title=f"Fall back to {other.model} where {failing} is overloaded ({scene.place(site_id)})",
        why=f"{count(lost, 'call')} of {calls:,} got no answer ({_words(classes)}); {seen}.",
        expected=expected(success, cost),
        risk=f"{other.model} may answer otherwise than {failing}, or lack what these calls need (tools, length); calls"
        " that are signed or part of a conversation bound to their model are left alone.",
        asked=asked,
    )


def _words(classes: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in classes.items())
