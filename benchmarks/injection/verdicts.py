"""Judges what was found: the rank of the finding that names the truth, false findings, and the trivial answers.

In: the run with a fault and the same run under sound settings; or a healthy run alone. Out: one :class:`Verdict` each.

A finding names the truth when its knob is one of the truth's, its line belongs to one of the truth's statements, and,
where the fault set a value, its value is that one. A false finding is an open finding of a healthy run that does not
itself say that every call it is about got its answer later (``lost_calls`` = 0 and no ended run): what the harness got
over, and was made to get over, is no fault of it. This was settled before anything was measured.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trimtab_analyzer.findings import Finding

from .baselines import Place
from .faults import Case, Truth
from .running import Ran

WORSE: Final = {"requests": 1.2, "tokens": 1.2, "cost": 1.2, "seconds": 1.5}
"""How many times as much a fault must spend as the sound settings do, for its harm to count as shown."""

ANY_KNOB: Final = ""
"""Name under which :func:`~.baselines.knob_places` keeps the line of most calls."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One case at one seed."""

    case: Case
    seed: int
    ran: Ran
    twin: Ran | None
    """The same tasks under sound settings; None for what is healthy anyway."""
    rank: int | None
    """Place of the first finding that names the truth, from 1; None where none does, or where there is no truth."""
    top: Finding | None
    by_first_error: bool
    """Whether the line of the first error, with the commonest knob, names the truth; its value is not asked for."""
    by_commonest_knob: bool
    """Whether the commonest knob, at the line where it is decided most often, does."""

    @property
    def top_1(self) -> bool:
        """Whether the first finding names the truth."""
        return self.rank == 1

    @property
    def top_3(self) -> bool:
        """Whether one of the first three does."""
        return self.rank is not None and self.rank <= 3

    @property
    def problems(self) -> list[str]:
        """Why the case can't be counted: something broke, the fault does no harm, or the sound settings fail too."""
        said = [ran.problem for ran in (self.ran, self.twin) if ran is not None and ran.problem]
        if self.case.truth is None:
            return said + ([f"{self.ran.failed} of {self.ran.runs} runs failed"] if self.ran.failed else [])
        return said if said or harm_is_shown(self.ran, self.twin) else [_harmless(self.ran, self.twin)]


def judge(case: Case, seed: int, ran: Ran, twin: Ran | None, commonest: str) -> Verdict:
    """Compare what was found with the truth.

    Args:
        case: The case.
        seed: Its seed.
        ran: The run with the fault, or the healthy one.
        twin: The run without it.
        commonest: The knob that faults have most often (:func:`commonest_knob`).
    """
    truth = case.truth
    if truth is None:
        return Verdict(case, seed, ran, None, None, next(iter(ran.said.findings), None), False, False)
    ranks = [at for at, finding in enumerate(ran.said.findings, 1) if names(truth, case.script, finding)]
    likely = commonest in truth.knobs
    place = ran.said.knob_places.get(commonest) or ran.said.knob_places.get(ANY_KNOB)
    return Verdict(
        case=case,
        seed=seed,
        ran=ran,
        twin=twin,
        rank=ranks[0] if ranks else None,
        top=next(iter(ran.said.findings), None),
        by_first_error=likely and is_at(truth, case.script, ran.said.first_error),
        by_commonest_knob=likely and is_at(truth, case.script, place),
    )


def names(truth: Truth, script: Path, finding: Finding) -> bool:
    """Whether a finding names the knob, the line and, where there is one, the value."""
    place = Place(finding.site.file, finding.site.line) if finding.site else None
    right_value = not truth.has_value or json.loads(finding.value) == truth.value
    return finding.knob in truth.knobs and right_value and is_at(truth, script, place)


def is_at(truth: Truth, script: Path, place: Place | None) -> bool:
    """Whether a line is one of the truth's."""
    return place is not None and Path(place.file).name == script.name and place.line in truth.lines


def false_findings(ran: Ran) -> list[Finding]:
    """The findings that claim a fault of a healthy run."""
    return [f for f in ran.said.findings if f.evidence["numbers"].get("lost_calls") != 0 or f.evidence["ended_runs"]]


def commonest_knob(cases: Sequence[Case]) -> str:
    """The knob that most faults have; the first by name of several."""
    knobs = Counter(case.truth.knobs[0] for case in cases if case.truth)
    return min(knobs, key=lambda knob: (-knobs[knob], knob)) if knobs else ""


def harm_is_shown(ran: Ran, twin: Ran | None) -> bool:
    """Whether the fault does what it is said to do, and the sound settings do not."""
    assert ran.case.truth is not None
    assert twin is not None
    harm = ran.case.truth.harm
    if harm == "fails" or (ran.failed and not twin.failed):
        return ran.failed > 0 and twin.failed == 0
    return twin.failed <= ran.failed and _spent(ran, harm) >= WORSE[harm] * _spent(twin, harm) > 0


def _spent(ran: Ran, harm: str) -> float:
    return float(ran.said.cost_musd or 0 if harm == "cost" else getattr(ran, harm))


def _harmless(ran: Ran, twin: Ran | None) -> str:
    assert ran.case.truth is not None
    assert twin is not None
    harm = ran.case.truth.harm
    failed = f"{ran.failed} of {ran.runs} runs failed, {twin.failed} under sound settings"
    spent = "" if harm == "fails" else f"; {harm}: {_spent(ran, harm):g} and {_spent(twin, harm):g}"
    return f"no harm is shown: {failed}{spent}"
