"""Conditions under which a report is bad news: what ``trimtab report --fail-on`` asks, for use in CI.

In: conditions as typed, a report, and one of before where a condition compares. Out: a :class:`Verdict` for each. A
module of its own because the text, the JSON and the Markdown say the same verdicts. Pure; nothing is looked up.

A comparison of few runs fails nothing: it says that they are too few. A fall of success has to be more than chance
alone brings, too: the 95 % interval of the difference (R. G. Newcombe, "Interval estimation for the difference between
independent proportions", Statistics in Medicine 17 (1998), 873-890, method 10) excludes zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trimtab_tracer.errors import UsageError

from ..statistics import newcombe
from .model import Report
from .words import usd, usd_fine

FEW: Final = 10
"""Runs of either side below which nothing is compared."""
KINDS: Final = (
    "cost+10% (of a run, against before), cost>0.50 (USD of a run), total>20 (USD), success-5 (points, against before),"
    " failed>10%, waste>20%, finding:RULE, any-finding, new-finding"
)
_COMPARED: Final = ("cost+", "success-", "new-finding")
_CONDITION = re.compile(
    r"(?:(?P<cost>cost)\+(?P<more>\d+(?:\.\d+)?)%|(?P<each>cost|total)>(?P<usd>\d+(?:\.\d+)?)"
    r"|success-(?P<points>\d+(?:\.\d+)?)|(?P<share>failed|waste)>(?P<percent>\d+(?:\.\d+)?)%"
    r"|finding:(?P<rule>[a-z_]+)|(?P<any>any-finding)|(?P<new>new-finding))"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one condition."""

    condition: str
    is_met: bool
    """Whether the report fails by it."""
    told: str
    """One sentence."""
    is_compared: bool = True
    """False where there was too little to compare with: then nothing fails, and nothing is shown to hold."""

    @property
    def word(self) -> str:
        """``FAILED``, ``ok`` or ``not compared``."""
        return "FAILED" if self.is_met else "ok" if self.is_compared else "not compared"


def compares(conditions: Sequence[str]) -> bool:
    """Whether one of these needs a report of before."""
    return any(condition.startswith(_COMPARED) for condition in conditions)


def check(conditions: Sequence[str]) -> None:
    """Refuse what is no condition.

    Raises:
        UsageError: names it, and what there is.
    """
    for condition in conditions:
        if _CONDITION.fullmatch(condition) is None:
            raise UsageError(f"--fail-on {condition}: no such condition. Expected one of: {KINDS}.")


def judge(conditions: Sequence[str], report: Report, before: Report | None) -> list[Verdict]:
    """A verdict for each of ``conditions``, in their order; ``before`` where one compares.

    Raises:
        UsageError: one is no condition.
    """
    check(conditions)
    return [_judge(condition, report, before) for condition in conditions]


def _judge(condition: str, report: Report, before: Report | None) -> Verdict:
    found = _CONDITION.fullmatch(condition)
    assert found is not None
    totals = report.totals
    if found["cost"] or found["points"] or found["new"]:
        if before is None:
            return Verdict(condition, False, "There is nothing from before to compare with.", is_compared=False)
        if found["new"]:
            return _new(condition, report, before)
        return _cost(condition, report, before) if found["cost"] else _success(condition, report, before)
    if found["each"]:
        each = found["each"] == "cost"
        musd = totals.cost_musd / max(totals.runs, 1) if each else totals.cost_musd
        least = "at least " if totals.unpriced else ""
        what = "A run cost" if each else "All runs cost"
        told = f"{what} {least}{usd_fine(round(musd))}, n = {totals.runs:,}; allowed is ${float(found['usd']):g}."
        return Verdict(condition, musd > float(found["usd"]) * 1e6, told)
    if found["share"]:
        return _share(condition, found["share"], float(found["percent"]), report)
    named = [f for f in report.findings if f.is_current and found["rule"] in (None, f.rule)]
    told = f"{len(named):,} open: {named[0].title}." if named else "None is open."
    return Verdict(condition, bool(named), told)


def _share(condition: str, of: str, percent: float, report: Report) -> Verdict:
    totals = report.totals
    part, whole = (
        (totals.wasted_musd, totals.cost_musd) if of == "waste" else (totals.failed_runs, totals.runs - totals.running)
    )
    share = 100 * part / whole if whole else 0.0
    said = (
        f"{usd(part)} of {usd(whole)} were wasted" if of == "waste" else f"{part:,} of {whole:,} runs that ended failed"
    )
    return Verdict(condition, share > percent, f"{said}: {share:.1f} %; allowed are {percent:g} %.")


def _cost(condition: str, report: Report, before: Report) -> Verdict:
    now, then = report.totals, before.totals
    if min(now.runs, then.runs) < FEW:
        return _few(condition, now.runs, then.runs)
    each, was = now.cost_musd / now.runs, then.cost_musd / then.runs
    if not was:
        told = f"A run cost {usd_fine(round(each))}; what it cost before is not known."
        return Verdict(condition, False, told, is_compared=False)
    change = 100 * (each / was - 1)
    unpriced = "; some costs are unknown and count as 0" if now.unpriced or then.unpriced else ""
    told = f"A run cost {usd_fine(round(each))}, before {usd_fine(round(was))}: {change:+.1f} %, n = {now.runs:,} and"
    told += f" {then.runs:,}{unpriced}. Means, without an interval."
    return Verdict(condition, change > float(condition[5:-1]), told)


def _success(condition: str, report: Report, before: Report) -> Verdict:
    sides = [(t.succeeded_runs, t.succeeded_runs + t.failed_runs) for t in (report.totals, before.totals)]
    (k1, n1), (k2, n2) = sides
    if min(n1, n2) < FEW:
        return _few(condition, n1, n2)
    found = newcombe(k2, n2, k1, n1)
    told = f"{k1:,} of {n1:,} judged runs succeeded, before {k2:,} of {n2:,}: {100 * found.estimate:+.1f} points"
    told += f" (95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f})"
    is_met = -100 * found.estimate > float(condition[8:]) and found.high < 0
    if not is_met and -100 * found.estimate > float(condition[8:]):
        told += "; that may be chance"
    return Verdict(condition, is_met, f"{told}.")


def _new(condition: str, report: Report, before: Report) -> Verdict:
    known = {f.finding_id for f in before.findings}
    fresh = [f for f in report.findings if f.is_current and f.finding_id not in known]
    told = f"{len(fresh):,} that were not there before: {fresh[0].title}." if fresh else "None is new."
    return Verdict(condition, bool(fresh), told)


def _few(condition: str, now: int, then: int) -> Verdict:
    told = f"Too few runs to compare: {now:,}, before {then:,}; at least {FEW} on either side are needed."
    return Verdict(condition, False, told, is_compared=False)
