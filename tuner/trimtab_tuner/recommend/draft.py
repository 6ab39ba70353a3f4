"""One proposal in the making: the facts that all families fill in alike.

In: a scene, a finding, and what a family proposes. Out: a :class:`~.proposal.Proposal`, or None where the place is not
known, the value is in force already, an experiment is under way there, or the policy's own check refuses it. A module
of its own because these four conditions hold for every family, and one that forgot them would propose nonsense.
"""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl

from trimtab_analyzer.findings import Finding
from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy import check_value

from .proposal import Expected, Proposal
from .scene import Scene

MAX_IDS: Final = 50
"""Ids of each kind that a proposal carries along; the finding has more."""

_UNASKED: Final = object()


def draft(
    scene: Scene,
    finding: Finding,
    knob: str,
    site_id: str | None,
    to_value: Any,
    *,
    title: str,
    why: str,
    expected: dict[str, Expected | None],
    risk: str,
    asked: pl.DataFrame,
    model: str | None = None,
    from_value: Any = _UNASKED,
    findings: tuple[Finding, ...] = (),
) -> Proposal | None:
    """The proposal to set ``knob`` to ``to_value`` for the calls of ``site_id``, a line of calls or one that decided.

    Args:
        scene: The store around it.
        finding: What it rests on.
        knob: What to change.
        site_id: The place.
        to_value: What to set.
        title: What to do, in a few words.
        why: What was seen.
        expected: See :func:`~.proposal.expected`.
        risk: What may go wrong, in one sentence.
        asked: The calls behind it (:meth:`~.scene.Scene.asked`).
        model: The only model that it is for; None for all.
        from_value: What has to be in force still; left out where any value may be.
        findings: Further findings that it rests on.
    """
    site = scene.sites.get(site_id or "")
    if site_id is None or site is None or site["line"] <= 0:  # not known, or an imported run, which obeys nobody
        return None
    now = scene.in_force(site_id, knob, model)
    if now is None or now.source == "experiment" or now.value == to_value:
        return None
    if (from_value is not _UNASKED and now.value != from_value) or not _is_usable(knob, to_value):
        return None
    return Proposal(
        finding_id=finding.finding_id,
        rule=finding.rule,
        knob=knob,
        service=_only(asked["service"]),
        model=model or _only(asked["model"]),
        site_id=site_id,
        file=site["file"],
        function=site["function"],
        line=site["line"],
        title=title,
        why=why,
        from_value=now.value,
        to_value=to_value,
        match={"site": site_id, "service": None, "model": model},
        expected=expected,
        evidence=_evidence((finding, *findings)),
        risk=risk,
    )


def _only(values: pl.Series) -> str | None:
    """The one value that there is; None where there are several."""
    known = values.drop_nulls().unique()
    return str(known[0]) if len(known) == 1 else None


def only_model(scene: Scene, finding: Finding, site_id: str | None) -> str | None:
    """The finding's model where the place asks several, so that only calls to this one are changed; else None."""
    if site_id is None or not finding.subject or len(scene.models_at(site_id)) < 2:
        return None
    return finding.subject


def value_of(finding: Finding) -> Any:
    """The value that the finding blames."""
    return json.loads(finding.value)


def _is_usable(knob: str, value: Any) -> bool:
    try:
        check_value(knob, value)
    except PolicyError:  # a model's name that no policy can carry
        return False
    return True


def _evidence(findings: tuple[Finding, ...]) -> dict[str, Any]:
    def ids(kind: str) -> list[str]:
        return list(dict.fromkeys(i for f in findings for i in f.evidence[kind]))[:MAX_IDS]

    return {
        "findings": [f.finding_id for f in findings],
        **{kind: ids(kind) for kind in ("calls", "runs", "attempts")},
        "numbers": findings[0].evidence["numbers"],
    }
