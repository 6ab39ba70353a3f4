"""The families of proposals, and which of their proposals stand.

In: a connection to the store, the findings of its last analysis, the settings. Out: proposals, at most one for each
knob and match, those of the gravest findings first within a family. Reads only. The order of :data:`FAMILIES` decides
where two want the same knob at one place: a storm forbids more retries, and a fallback stands in for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from trimtab_analyzer import load
from trimtab_analyzer.findings import Finding
from trimtab_analyzer.load import Connection
from trimtab_tracer.settings import Settings

from .fallback import fall_back
from .limits import retry_hung, time_limits, token_limits
from .proposal import Proposal
from .retries import calm_storms, retry_lost, stop_futile
from .scene import Scene
from .tails import hedge_tails
from .traffic import calls_per_day

WRONG_IF: Final = {
    "max_retries": "the failures it stands on were an outage that is over, or come back whatever is sent again",
    "backoff": "the provider's limits are of another kind (per day, per token) than those that were seen to pass",
    "fallback": "the other model's answers are worse for these calls: an answer was counted, not its quality",
    "timeout_s": "these calls have become slower for good reasons (longer answers), so that good ones are cut off",
    "max_tokens": "the longest answers are the ones that matter, or prompts change so that answers grow",
}
"""What would make a proposal of the analysis wrong, by knob."""

Family = Callable[[Scene], Iterator[Proposal | None]]

FAMILIES: Final[tuple[Family, ...]] = (
    *(calm_storms, fall_back, retry_lost, time_limits, retry_hung, token_limits, stop_futile, hedge_tails),
)
"""Each looks at the findings of its own rules, the last one at how long answers take; earlier ones win."""

INSTEAD: Final = ("max_retries", "backoff")
"""Knobs that a fallback from the same finding stands in for."""


def recommend(con: Connection, findings: Sequence[Finding], settings: Settings) -> list[Proposal]:
    """What to change, from what was found.

    Args:
        con: The store; nothing is written.
        findings: Of an analysis of all runs (:func:`trimtab_analyzer.findings.analyze`).
        settings: Those in force; they may name models to fall back to.

    Raises:
        StoreError: the store is of another version.
    """
    with load.snapshot(con):
        scene = Scene.load(con, findings, settings)
        made = [proposal for family in FAMILIES for proposal in family(scene) if proposal is not None]
    covered = {proposal.finding_id for proposal in made if proposal.knob == "fallback"}
    standing: dict[tuple[str, str], Proposal] = {}
    for proposal in made:
        if proposal.finding_id not in covered or proposal.knob not in INSTEAD:
            standing.setdefault((proposal.knob, json.dumps(proposal.match, sort_keys=True)), proposal)
    return [
        replace(p, calls_per_day=calls_per_day(con, p.match), wrong_if=p.wrong_if or WRONG_IF.get(p.knob))
        for p in standing.values()
    ]
