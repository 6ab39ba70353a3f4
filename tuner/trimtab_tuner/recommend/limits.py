"""Proposals about limits: a time limit that is too tight or too loose, a token limit that cuts answers.

In: findings about time-outs and cut answers. Out: proposals for ``timeout_s``, ``max_tokens`` and, where calls hang and
nothing sends them again, ``max_retries``. How a time limit stands to the successful calls was decided where the finding
was made (:mod:`trimtab_analyzer.limits`); here only enough of them count.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

import polars as pl

from trimtab_analyzer import limits
from trimtab_analyzer.findings import Finding
from trimtab_analyzer.statistics import wilson
from trimtab_analyzer.wording import count, of, seconds, were

from ..learn.waits import Waits
from .draft import draft, only_model, value_of
from .proposal import MICRO_USD, SECONDS, SHARE, Expected, Proposal, association, expected, gain
from .retries import has_storm, more_retries
from .scene import Scene

MIN_SUCCESSES: Final = 20
"""Successful calls below which no time limit is proposed."""

MOST_TOKENS: Final = 1_000_000
"""Largest limit that a policy may set."""


def time_limits(scene: Scene) -> Iterator[Proposal | None]:
    """A wider limit where successful calls come close to it, a tighter one where hung calls wait long after them."""
    for finding in scene.of_rules("timeout"):
        numbers, limit_s = finding.evidence["numbers"], value_of(finding)
        if numbers["successes"] < MIN_SUCCESSES or not isinstance(limit_s, int | float):
            continue
        if numbers["verdict"] == "too_tight":
            yield _wider(scene, finding, float(limit_s))
        elif numbers["verdict"] == "too_loose":
            yield _tighter(scene, finding, float(limit_s))


def retry_hung(scene: Scene) -> Iterator[Proposal | None]:
    """Retries where calls hang for reasons of their own, nothing sends them again, and their limit is not too tight."""
    for finding in scene.of_rules("timeout"):
        numbers = finding.evidence["numbers"]
        if not numbers["lost_calls"] or numbers["verdict"] not in ("too_loose", "fits"):
            continue
        for site_id in scene.decided(finding, "max_retries"):
            if not has_storm(scene, site_id):
                yield more_retries(scene, finding, site_id, {"timeout": numbers["hit"]}, from_value=0)


def _wider(scene: Scene, finding: Finding, limit_s: float) -> Proposal | None:
    numbers, n = finding.evidence["numbers"], finding.evidence["numbers"]["successes"]
    to = limits.wider_s(limit_s, numbers["success_p99_s"], is_censored=numbers["is_censored"])
    if to <= limit_s:
        return None
    if numbers["is_censored"]:
        rests = f"all {count(n, 'successful call')} ended below the limit, so their 99 % are a lower bound"
    else:
        rests = f"99 % of {count(n, 'successful call')} took up to {seconds(numbers['success_p99_s'])}"
    lost, calls = numbers["lost_calls"], numbers["of"]
    hit = wilson(numbers["hit"], calls)
    latency = association(
        SECONDS,
        low=0.0,
        high=hit.high * (to - limit_s),
        estimate=None,
        n=calls,
        basis=f"{of(numbers['hit'], calls, 'call')} ran into the limit and may wait {seconds(to - limit_s)} longer",
    )
    success = gain(wilson(lost, calls), lost, calls, None, n, f"{rests}; what the cut ones would take was not seen")
    hoped = expected(success, latency=latency)
    return _time_limit(scene, finding, limit_s, to, f"{finding.title}; {rests}.", hoped, "Calls that hang")


def _tighter(scene: Scene, finding: Finding, limit_s: float) -> Proposal | None:
    numbers = finding.evidence["numbers"]
    to = limits.tighter_s(numbers["success_max_s"])
    hit, spared = wilson(numbers["hit"], numbers["of"]), limit_s - to
    latency = association(
        SECONDS,
        low=-hit.high * spared,
        high=-hit.low * spared,
        estimate=-hit.share * spared,
        n=numbers["of"],
        basis=f"{of(numbers['hit'], numbers['of'], 'call')} hung for the whole limit, {seconds(numbers['hung_s'])}"
        " in all",
    )
    slower = "Answers slower than any so far"
    hoped = expected(_cut(scene, finding, to), latency=latency)
    return _time_limit(scene, finding, limit_s, to, f"{finding.title}.", hoped, slower)


def _cut(scene: Scene, finding: Finding, to: float) -> Expected | None:
    """Success that a limit of ``to`` seconds may take: the share of answers that take longer, of those that were seen
    and of those that were never waited for."""
    known = scene.waits.filter(
        (pl.col("site_id") == finding.site_id) & (pl.col("model") == finding.subject) & ~pl.col("stream")
    )
    waits = Waits(known["waited_s"], known["answered"])
    if waits.count < MIN_SUCCESSES:
        return None
    over = waits.longer_within(to)
    basis = f"of {count(waits.count, 'answer')} how many took longer, those that hung being open"
    return association(SHARE, low=-over.high, high=-over.low, estimate=-over.share, n=waits.count, basis=basis)


def _time_limit(
    scene: Scene,
    finding: Finding,
    limit_s: float,
    to: float,
    why: str,
    hoped: dict[str, Expected | None],
    who: str,
) -> Proposal | None:
    site_id, asked = finding.site_id, scene.asked(finding)
    if site_id is None or site_id not in scene.sites:
        return None
    verb, then = ("Raise", f"wait for {to:g} s") if to > limit_s else ("Lower", f"are cut at {to:g} s")
    return draft(
        scene,
        finding,
        "timeout_s",
        site_id,
        to,
        title=f"{verb} timeout_s at {scene.place(site_id)} from {limit_s:g} to {to:g}",
        why=why,
        expected=hoped,
        risk=f"{who} {then}.",
        asked=asked,
        model=only_model(scene, finding, site_id),
        from_value=value_of(finding),
    )


def token_limits(scene: Scene) -> Iterator[Proposal | None]:
    """Twice the limit that cuts answers, where the code sets one."""
    for finding in scene.of_rules("truncation"):
        limit, site_id = value_of(finding), finding.site_id
        if isinstance(limit, bool) or not isinstance(limit, int) or site_id is None or site_id not in scene.sites:
            continue
        numbers, asked = finding.evidence["numbers"], scene.asked(finding)
        to = min(MOST_TOKENS, max(2 * limit, ceil(2 * numbers.get("whole_p95_tokens", 0))))
        cut = wilson(numbers["hit"], numbers["of"])
        success = association(
            SHARE,
            low=0.0,
            high=cut.high,
            estimate=None,
            n=numbers["of"],
            basis=f"{of(numbers['hit'], numbers['of'], 'answer')} {were(numbers['hit'])} cut; what was needed was not"
            " seen. Success is here an answer that is whole",
        )
        yield draft(
            scene,
            finding,
            "max_tokens",
            site_id,
            to,
            title=f"Raise max_tokens at {scene.place(site_id)} from {limit:,} to {to:,}",
            why=f"{finding.title}.",
            expected=expected(success, _token_cost(finding, cut.high, to - limit)),
            risk="Every answer may be longer, and cost more; a model whose own limit is lower refuses the request.",
            asked=asked,
            model=only_model(scene, finding, site_id),
            from_value=limit,
        )


def _token_cost(finding: Finding, share: float, more: int) -> dict[str, Any] | None:
    tokens, numbers = finding.evidence["numbers"]["cut_tokens"], finding.evidence["numbers"]
    if not tokens or not finding.cost_musd:
        return None
    each = finding.cost_musd / tokens
    return association(
        MICRO_USD,
        low=0.0,
        high=share * more * each,
        estimate=None,
        n=numbers["hit"],
        basis=f"at most {more:,} tokens more for each cut answer, at {each:.3g} micro-USD a token, input included",
    )
