"""Numbers and facts in words, the same in text and HTML.

In: plain values and the parts of a report. Out: short texts. A module of its own because a sum that is written in two
ways in two places reads like two sums. Nothing is rounded away: an amount below a cent keeps its digits, and a sum with
unknown parts says "at least".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ..inferred import SAYS
from ..retry_stack import Layer, RetryStack
from ..standing import BY_POLICY
from ..wording import count as count
from ..wording import seconds
from ..wording import setting as setting
from .model import CallLine, FindingView, Place, RunLine, Totals

ERROR_WORDS = {
    "rate_limit": "refused by the provider's rate limit",
    "overloaded": "refused, the provider was overloaded",
    "server": "failed with a provider error",
    "timeout": "ran into a time limit",
    "connection": "lost its connection",
    "stream_broken": "its stream broke off",
    "auth": "refused, key not accepted",
    "not_found": "refused, no such model or address",
    "bad_request": "refused as malformed",
    "context_overflow": "refused, too long for the model",
    "quota": "refused, quota used up",
    "cancelled": "cancelled by the agent",
}


HISTORY = "the last calls here ran with another setting, or many runs passed here since, and none met it again"
"""Why a finding that is not current is called so."""


def usd(musd: int) -> str:
    """``$5.78``; four decimals below ten cents, six below a hundredth of a cent."""
    if musd == 0:
        return "$0"
    decimals = 2 if abs(musd) >= 100_000 else 4 if abs(musd) >= 100 else 6
    return f"${musd / 1e6:,.{decimals}f}"


def usd_parts(parts: Sequence[int], total: int) -> list[str]:
    """Parts of a sum as they stand in a column below each other: as printed they add up to the total as printed.

    All have the decimals of the total. What rounding leaves over goes to the parts with the largest remainder; a part
    too small to show says so.
    """
    unit = 10_000 if total >= 100_000 else 100 if total >= 100 else 1
    decimals = {10_000: 2, 100: 4, 1: 6}[unit]
    shown = [part // unit for part in parts]
    left = int(f"{total / 1e6:.{decimals}f}".replace(".", "")) - sum(shown)  # rounded as the total is printed
    for i in sorted(range(len(parts)), key=lambda i: -(parts[i] % unit))[: max(left, 0)]:
        shown[i] += 1
    least = f"under ${unit / 1e6:.{decimals}f}"
    texts = [f"${n * unit / 1e6:,.{decimals}f}" for n in shown]
    return [least if part and not n else text for part, n, text in zip(parts, shown, texts, strict=True)]


def usd_fine(musd: int | None) -> str:
    """``$0.0093``: four decimals in a column of small amounts; ``not known``."""
    return "not known" if musd is None else f"${musd / 1e6:,.4f}"


def share(part: int, whole: int) -> str:
    """``7.4 %``; ``under 0.1 %`` for a part that is there but rounds to nothing."""
    if whole <= 0:
        return "–"
    percent = 100 * part / whole
    return (
        "under 0.1 %"
        if 0 < percent < 0.1
        else f"{percent:.0f} %"
        if percent >= 99.95 or percent == 0
        else f"{percent:.1f} %"
    )


def listing(items: Sequence[str], most: int = 3) -> str:
    """``a``, ``a and b``, ``a, b and 4 more``."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return " and ".join((", ".join(items[:-1]), items[-1])) if len(items) > 1 else "".join(items)


def when(ns: int | None) -> str:
    """``2026-11-20 14:03:07`` in UTC."""
    if ns is None:
        return "–"
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def period(first_ns: int | None, last_ns: int | None) -> str:
    """``2026-11-20 14:03 to 14:09 UTC``."""
    if first_ns is None or last_ns is None:
        return "no time recorded"
    first, last = when(first_ns)[:16], when(last_ns)[:16]
    if first == last:
        return f"{first} UTC"
    return f"{first} to {last[11:] if first[:10] == last[:10] else last} UTC"


def duration(ns: int | None) -> str:
    """``1.4 s``, ``230 ms``, ``2 min 5 s``; none for what ends before it begins: a clock was set back."""
    return "–" if ns is None or ns < 0 else seconds(ns / 1e9)


def part_of(cost: str, unpriced: int, attempts: int) -> str:
    """``cost`` as it stands in the ledger; ``not known`` where none of the requests behind it has a known one."""
    return "not known" if attempts and unpriced >= attempts else cost


class Stance(NamedTuple):
    """What the code at a place has to do with a setting; the parts make one phrase."""

    verb: str
    """``sets``, ``leaves``."""
    code: str
    """``max_retries = 0``: what stands there, as code."""
    rest: str = ""
    """Where the value came from, if not from there."""


def stance(finding: FindingView) -> Stance:
    """What the code at the finding's place says about the value in force: sets it, leaves it, or is overruled."""
    numbers, knob, value = finding.evidence["numbers"], finding.knob, finding.value
    if offered := numbers.get("offered"):
        return Stance("offers", f"tools: {listing(offered)}")
    if value is None:
        return Stance("sets no", knob)
    source = numbers.get("source")
    if source == "default":
        whose = "the SDK's" if knob in ("max_retries", "timeout_s") else "its"
        return Stance("leaves", knob, f" at {whose} default of {json.dumps(value, ensure_ascii=False)}")
    if source in BY_POLICY:
        return Stance("obeys", setting(knob, value), f", set by {'a person' if source == 'human' else 'an experiment'}")
    return Stance("sets", setting(knob, value))


def in_force(finding: FindingView) -> str:
    """``max_retries = 0``, ``max_retries at the SDK's default of 2``; of a request's tools their names, where known."""
    said = stance(finding)
    return setting(finding.knob, None) if said.verb == "sets no" else said.code + said.rest


def tokens(n: int, unpriced: int) -> str:
    """``1,204``; none beside a cost that is missing were not counted rather than not used."""
    return "not known" if unpriced and not n else f"{n:,}"


def where(place: Place | None) -> str:
    """``agent.py:63, in main``; for an imported run the harness and its agent type."""
    if place is None:
        return "place not known"
    if place.line <= 0:
        return f"{place.file}, {place.function}"
    inside = "" if place.function == "<module>" else f", in {place.function}"
    return f"{place.file}:{place.line}{inside}"


def cost_of(cost_musd: int, unpriced: int, requests: int) -> str:
    """``$5.78``, ``at least $5.78``, ``not known``."""
    if unpriced and unpriced >= requests:
        return "not known"
    return f"at least {usd(cost_musd)}" if unpriced else usd(cost_musd)


def run_names(runs: Sequence[RunLine]) -> dict[str, str]:
    """A name per run id that no other run of the report has: its own, with the end of the id where others share it."""
    names = Counter(run.name for run in runs)
    return {run.run_id: run.name if names[run.name] == 1 else f"{run.name} {run.run_id[-6:]}" for run in runs}


def weight(finding: FindingView) -> str:
    """The gravest thing to say of a finding: ``ended 2 runs``, ``$0.44 lost``, ``in 3 failed runs``."""
    if ended := len(finding.evidence["ended_runs"]):
        return f"ended {count(ended, 'run')}"
    if finding.wasted_musd:
        return f"{usd(finding.wasted_musd)} lost"
    return f"in {count(finding.failed_runs, 'failed run')}" if finding.failed_runs else ""


def extent(finding: FindingView) -> str:
    """How far it reaches: ``12 calls in 8 runs (2 of them failed), $0.44 lost``."""
    n, failed = finding.failed_runs, ""
    if n:
        failed = f" ({n:,} of them failed)" if n < finding.runs else " that failed" if n == 1 else " that all failed"
    lost = f", {usd(finding.wasted_musd)} lost" if finding.wasted_musd else ""
    return f"{count(finding.calls, 'call')} in {count(finding.runs, 'run')}{failed}{lost}"


def what_happened(call: CallLine) -> str:
    """One phrase for what became of a call."""
    parts = []
    if call.status == "error":
        parts.append(ERROR_WORDS.get(call.error_class or "", "failed"))
    elif call.status == "abandoned":
        parts.append("left by the agent before it ended")
    elif call.is_rejected:
        parts.append("answered, turned down by the agent")
    elif call.finish_reason == "length":
        parts.append("answered, cut by the token limit")
    else:
        parts.append("answered")
    if call.attempts > 1:
        waited = f", {duration(call.wait_ns)} of waiting" if call.wait_ns else ""
        parts.append(f"{call.attempts} attempts{waited}")
    return "; ".join(parts)


def run_state(run: RunLine) -> str:
    """One phrase for what came of a run."""
    if run.status == "running":
        return "still running"
    if run.success is True:
        return "succeeded"
    if run.success is False and run.outcome_rule is None:
        return "failed"
    if run.success is False and run.status != "error":
        return f"failed, inferred: {SAYS.get(run.outcome_rule or '', run.outcome_rule)}"
    return "ended in an error" if run.status == "error" else "ended, not judged"


def headline(totals: Totals, services: Sequence[str], findings: Sequence[FindingView]) -> tuple[str, ...]:
    """What it cost and what failed, what was wasted, which line is on top: one sentence each."""
    if totals.runs == 0:
        return ("Nothing has been recorded yet.",)
    cost = cost_of(totals.cost_musd, totals.unpriced, totals.attempts)
    spent = f"cost {cost}" if cost != "not known" else "cost an unknown amount"
    sentences = [f"{count(totals.runs, 'run')} of {listing(services)} {spent}; {_failures(totals)}."]
    if totals.wasted_musd:
        part = share(totals.wasted_musd, totals.cost_musd)
        sentences.append(f"{usd(totals.wasted_musd)} of it ({part}) went into failed, cut, rejected or needless work.")
    current = [f for f in findings if f.is_current]
    if current:
        sentences.append(_first(current, totals))
    elif findings:
        sentences.append("None of the settings that were found to fail is still in force.")
    elif totals.attempts:
        sentences.append("None of the known failure patterns was found.")
    return tuple(sentences)


def _first(findings: Sequence[FindingView], totals: Totals) -> str:
    """The finding on top: the first to fix where it ended runs or wasted money, else with how often it was there."""
    top = findings[0]
    what = f"{where(top.place)}, with {in_force(top)}: {top.title}"
    if top.evidence["ended_runs"] or top.wasted_musd:
        return f"First to fix is {what}."
    if top.failed_runs and top.failed_runs == max(f.failed_runs for f in findings):
        return (
            f"Most frequent in failed runs is {what} ({top.failed_runs:,} of {count(totals.failed_runs, 'failed run')};"
            f" base rate: {share(top.runs, totals.runs)} of all runs)."
        )
    return f"No finding ended a run or cost known money; on top is {what}."


def _failures(totals: Totals) -> str:
    if totals.failed_runs == totals.runs:
        return "it failed" if totals.runs == 1 else "all of them failed"
    if totals.failed_runs:
        return f"{totals.failed_runs:,} failed"
    if totals.unjudged_runs == totals.runs:
        return "it ended without an error" if totals.runs == 1 else "none ended in an error"
    if totals.running:
        return "none has failed so far"
    return "none failed"


def multiplied(stack: RetryStack) -> str:
    """``3 (crewai) x 3 (openai) = 9 requests``: the loops around a question, the outermost first."""
    loops = " x ".join(f"{layer.times:,} ({loop_owner(layer)})" for layer in stack.layers)
    return f"{loops} = {count(stack.times, 'request')}" if len(stack.layers) > 1 else f"{loops} requests"


def loop_owner(layer: Layer) -> str:
    """Whose loop it is, with what it was told where that is another number than was seen."""
    owner = {
        "sdk": layer.name or "the client",
        "framework": f"{layer.name}, or a loop of yours around it",
        "user": "your code",
        "unknown": "a loop around the client",
    }[layer.owner]
    told = layer.configured
    return f"{owner}, told {told:,}" if told is not None and told != layer.times else owner


def failure_cost(stack: RetryStack) -> str:
    """What a question that is never answered costs there: requests, seconds and money, as seen."""
    took = f"{count(stack.requests, 'request')} in {seconds(stack.took_s)}, {seconds(stack.waited_s)} of it waiting"
    if stack.unpriced == 0 and stack.cost_musd == 0:
        billed = "nothing billed"
    else:
        known = f"{usd(stack.cost_musd)} billed" if stack.cost_musd else ""
        unknown = f"the cost of {stack.unpriced:,} not known" if stack.unpriced else ""
        billed = " and ".join(part for part in (known, unknown) if part)
    if stack.is_permanent:
        return f"a question without an answer took {took}; {billed}"
    return f"answered in the end; the longest took {took}; {billed} for what failed"
