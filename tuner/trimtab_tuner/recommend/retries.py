"""Proposals about retries: fewer where loops are stacked, more where calls are lost, none where they can't help.

In: findings about storms, refused requests and futile retries. Out: proposals for ``max_retries`` and ``backoff``. A
loop in the user's own code is left alone: nothing outside of it can make it shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from trimtab_analyzer.findings import Finding
from trimtab_analyzer.statistics import wilson
from trimtab_analyzer.wording import a, count, of, setting
from trimtab_tracer.policy_values import RETRY_CLASSES

from .draft import draft, only_model, value_of
from .proposal import MICRO_USD, SECONDS, SECONDS_EACH, Expected, Proposal, association, expected, gain
from .scene import Fate, Scene

ENOUGH: Final = 3
"""Retries that are proposed where calls are lost without."""

ENOUGH_SEEN: Final = 10
"""Calls that were sent again and never answered, from which on nobody proposes to send more of them again."""

BACKOFF: Final = {"initial_s": 2.0, "factor": 2.0, "max_s": 60.0, "jitter": 0.25}
"""Pauses that are proposed where as many retries did not do: 2, 4, 8, … seconds, up to a minute."""

MANY_TURNS: Final = 3
"""Turns of the outer loop from which the inner one is not needed at all."""


def calm_storms(scene: Scene) -> Iterator[Proposal | None]:
    """Where an outer loop repeats anyway the client's own retries go, or down to one where it repeats only once."""
    for finding in scene.of_rules("retry_storm"):
        numbers, asked = finding.evidence["numbers"], scene.asked(finding)
        retries = value_of(finding)
        if not isinstance(retries, int) or finding.site_id is None or finding.site_id not in scene.sites:
            continue
        to = 0 if numbers["turns_per_call"] >= MANY_TURNS or retries <= 1 else 1
        spared = numbers["inner_s"] * (1 - to / retries) / numbers["hit"] if retries else 0.0
        latency = association(
            SECONDS_EACH,
            low=-spared,
            high=0.0,
            estimate=-spared,
            n=numbers["hit"],
            basis=f"{count(numbers['inner_retries'], 'inner retry', 'inner retries')} of"
            f" {count(numbers['hit'], 'question')} and the pauses before them; success then rests on the outer loop",
        )
        yield draft(
            scene,
            finding,
            "max_retries",
            finding.site_id,
            to,
            title=f"Let only the outer loop retry at {scene.place(finding.site_id)}: max_retries {retries} → {to}",
            why=f"{finding.title}. The loop around the call repeats it in any case, so the retries inside multiply it:"
            f" {numbers['requests']:,} requests for {count(numbers['hit'], 'question')}.",
            expected=expected(latency=latency),
            risk="Calls from this line that no outer loop repeats lose the client's retries too.",
            asked=asked,
            from_value=retries,
        )


def retry_lost(scene: Scene) -> Iterator[Proposal | None]:
    """More retries where refused calls are lost with few, longer pauses where many did not do."""
    for finding in scene.of_rules("rate_limit", "provider_error"):
        numbers = finding.evidence["numbers"]
        if not numbers["lost_calls"] or finding.knob != "max_retries" or has_storm(scene, finding.site_id):
            continue
        if not any(_may_fall_back(scene, line) for line in numbers["call_sites"]):
            classes = numbers.get("error_classes") or {"rate_limit": numbers["hit"]}
            yield more_retries(scene, finding, finding.site_id, classes, from_value=value_of(finding))


def more_retries(
    scene: Scene, finding: Finding, site_id: str | None, classes: dict[str, int], *, from_value: Any
) -> Proposal | None:
    """The proposal to retry calls that were lost on errors of ``classes`` under ``from_value`` retries.

    Args:
        scene: The store around it.
        finding: What lost the calls.
        site_id: The line that decided the retries.
        classes: How many failed requests were of each error class.
        from_value: The retries that have to be in force still.
    """
    asked = scene.asked(finding)
    if site_id is None or site_id not in scene.sites or asked.is_empty():
        return None
    model = only_model(scene, finding, site_id) if finding.rule != "provider_error" else None
    now = scene.in_force(site_id, "max_retries", model)
    if now is None or isinstance(now.value, dict) or now.value != from_value:
        return None
    # Where the client does not tell its retries, its requests do.
    retries = now.value if isinstance(now.value, int) else int(asked.filter("is_lost")["attempts"].max() or 1) - 1  # type: ignore[arg-type]
    is_more = retries < ENOUGH
    knob, to = ("max_retries", ENOUGH) if is_more else ("backoff", BACKOFF)
    fate = scene.fate(asked["host"].unique().to_list(), classes)
    if fate.retried >= ENOUGH_SEEN and not fate.answered:
        return None
    numbers, place = finding.evidence["numbers"], scene.place(site_id)
    kinds = ", ".join(classes)
    again = (
        f"{fate.answered:.3g} of {count(fate.retried, 'call')} sent again after {kinds} on this host got an answer"
        if fate.retried
        else f"no call was sent again after {kinds} on this host yet"
    )
    title = f"Retry {kinds} at {place}: {setting('max_retries', now.value)} → {ENOUGH}"
    return draft(
        scene,
        finding,
        knob,
        site_id,
        to,
        title=title if is_more else f"Wait longer between the retries of {kinds} at {place}",
        why=f"{of(numbers['lost_calls'], numbers['of'], 'call')} from here got no answer with"
        f" {setting('max_retries', now.value)}; {again}.",
        expected=reach(scene, numbers, fate if is_more else Fate(0, 0, None), asked, again),
        risk="A provider that is down is asked more often, and calls wait longer before they fail; the policy's retry"
        " budget bounds both."
        if is_more
        else "Calls wait up to two minutes before they fail.",
        asked=asked,
        model=model,
    )


def reach(
    scene: Scene, numbers: dict[str, Any], fate: Fate, asked: pl.DataFrame, basis: str
) -> dict[str, Expected | None]:
    """What may be expected where lost calls get an answer as often as ``fate`` says: success, its cost, its wait."""
    lost, calls = numbers["lost_calls"], numbers["of"]
    share = wilson(lost, calls)
    success = gain(share, lost, calls, fate.share, fate.retried, basis)
    cost = answer_cost(scene, asked, success["high"], success["estimate"])
    latency = None
    if fate.extra_s is not None and success["estimate"] is not None:
        latency = association(
            SECONDS,
            low=0.0,
            high=share.high * fate.extra_s,
            estimate=success["estimate"] * fate.extra_s,
            n=int(fate.answered),
            basis=f"calls that were answered after a retry took {fate.extra_s:.3g} s more",
        )
    return expected(success, cost, latency)


def answer_cost(
    scene: Scene, asked: pl.DataFrame, high: float, estimate: float | None, models: list[str] | None = None
) -> Expected | None:
    """What more answers cost: the mean cost of an answer on these hosts; None where no cost is known."""
    names = asked["model"].drop_nulls().unique().to_list() if models is None else models
    seen = scene.models.filter(pl.col("host").is_in(asked["host"].to_list()) & pl.col("model").is_in(names))
    priced = int(seen["priced"].sum())
    if not priced:
        return None
    each = float((seen["cost_musd"].fill_null(0) * seen["priced"]).sum()) / priced
    return association(
        MICRO_USD,
        low=0.0,
        high=high * each,
        estimate=None if estimate is None else estimate * each,
        n=priced,
        basis=f"an answer of {' or '.join(sorted(names))} cost {each:,.0f} micro-USD on average",
    )


def stop_futile(scene: Scene) -> Iterator[Proposal | None]:
    """No retry after errors that the same request meets again; the others keep theirs."""
    found: dict[str, list[Finding]] = {}
    for finding in scene.of_rules("futile_retry"):
        if finding.evidence["numbers"]["by_retries"] and finding.subject in RETRY_CLASSES:
            for site_id in scene.decided(finding, "max_retries"):
                found.setdefault(site_id, []).append(finding)
    for site_id, findings in found.items():
        if site_id in scene.sites:
            yield _per_class(scene, site_id, findings)


def _per_class(scene: Scene, site_id: str, findings: list[Finding]) -> Proposal | None:
    now = scene.in_force(site_id, "max_retries")
    if now is None or not isinstance(now.value, int | dict):
        return None
    kept = now.value if isinstance(now.value, dict) else {"other": now.value}
    if not any(kept.values()):
        return None
    classes = sorted({f.subject for f in findings})
    first, more = findings[0], tuple(findings[1:])
    repeated = sum(f.evidence["numbers"]["by_retries"] for f in findings)
    spent_s, calls = sum(f.evidence["numbers"]["by_retries_s"] for f in findings), sum(f.calls for f in findings)
    latency = association(
        SECONDS_EACH,
        low=-spent_s / calls,
        high=0.0,
        estimate=-spent_s / calls,
        n=calls,
        basis=f"what {count(repeated, 'request')} sent again for nothing took with the pauses before them",
    )
    return draft(
        scene,
        first,
        "max_retries",
        site_id,
        {**kept, **dict.fromkeys(classes, 0)},
        title=f"Do not retry {' or '.join(classes)} at {scene.place(site_id)}",
        why=" ".join(f"{f.title}." for f in findings),
        expected=expected(latency=latency),
        risk=f"A request that passes only the second time after {a(' or '.join(classes))} error is lost.",
        asked=pl.concat([scene.asked(f) for f in findings]),
        findings=more,
    )


def has_storm(scene: Scene, site_id: str | None) -> bool:
    """Whether an outer loop repeats the calls of this line already."""
    return any(storm.site_id == site_id for storm in scene.of_rules("retry_storm"))


def _may_fall_back(scene: Scene, site_id: str) -> bool:
    """Whether a fallback is in force for the calls of this line, or was for some of the last."""
    now = scene.in_force(site_id, "fallback")
    return now is None or now.value is not None
