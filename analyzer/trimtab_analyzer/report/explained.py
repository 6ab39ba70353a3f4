"""A report whose findings carry a language model's words.

In: a report, and whom to ask (:mod:`..explain`). Out: the same report, each explained finding with its text. Apart from
:mod:`.build` because it asks somebody outside, which building a report never does.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from trimtab_tracer.setting_values import Explainer

from ..explain import explain
from ..failures import RULES
from .model import FindingView, Report


def explained(report: Report, by: Explainer | None, content: str = "redacted") -> tuple[Report, str | None]:
    """The report with explanations, and a sentence where some are missing; ``content`` as for :func:`~..explain.facts`.

    Raises:
        SettingsError: nobody is configured, or the key's variable is not set.
    """
    texts, problem = explain([_told(view) for view in report.findings], by, content)
    views = (replace(view, explanation=text) for view, text in zip(report.findings, texts, strict=True))
    return replace(report, findings=tuple(views)), problem


def _told(view: FindingView) -> dict[str, Any]:
    """The finding by the keys of ``trimtab findings --json``, so that the same is sent either way."""
    rule = next((rule for rule in RULES if rule.id == view.rule), None)
    named = {name: getattr(view, name) for name in ("title", "advice", "subject", "knob", "value")}
    amounts = ("runs", "failed_runs", "calls", "cost_musd", "wasted_musd")
    return named | {
        "mode": view.rule,
        "mode_name": rule.taxonomy if rule else None,
        "question": rule.question if rule else None,
        "value_source": view.evidence["numbers"].get("source"),
        "site": asdict(view.place) if view.place else None,
        "amounts": {name: getattr(view, name) for name in amounts},
    }
