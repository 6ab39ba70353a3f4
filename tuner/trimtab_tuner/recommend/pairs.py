"""What pairs of answers speak for: another model that costs less and is not worse by the user's own judge.

In: the store's ``shadow_pairs``. Out: proposals. Apart from the families of the analysis because nothing failed here.
What was judged by agreement alone proposes nothing, for agreement is not quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..control.shadows import AGREEMENT
from ..reads import Row, fetch
from ..shadow.run import interval, mean
from .proposal import MICRO_USD, SECONDS, SHARE, Expected, Proposal, expected
from .traffic import calls_per_day

if TYPE_CHECKING:
    import duckdb

ENOUGH: Final = 30
"""Pairs from which on something is proposed."""
MARGIN: Final = 0.02
"""Loss of quality that the interval must exclude."""
MAX_CALLS: Final = 50
"""Calls that a proposal names."""

_GROUPS: Final = """
WITH changes AS (
    SELECT
        *,
        quality - own_quality AS better,
        cost_musd - own_cost_musd AS dearer_musd,
        latency_s - own_latency_s AS slower_s
    FROM shadow_pairs
    WHERE judge <> $agreement
)
SELECT p.site_id, p.own_model, p.model, p.judge, s.file, s.function, s.line,
    list(p.better ORDER BY p.call_id) AS quality,
    coalesce(list(p.dearer_musd ORDER BY p.call_id) FILTER (p.dearer_musd IS NOT NULL), []) AS cost_musd,
    coalesce(list(p.slower_s ORDER BY p.call_id) FILTER (p.slower_s IS NOT NULL), []) AS latency_s,
    list(p.call_id ORDER BY p.call_id) AS calls
FROM changes AS p JOIN sites AS s USING (site_id)
GROUP BY p.site_id, p.own_model, p.model, p.judge, s.file, s.function, s.line
ORDER BY p.site_id, p.own_model, p.model, p.judge
"""


def proposals(con: duckdb.DuckDBPyConnection) -> list[Proposal]:
    """The proposals that pairs speak for."""
    made = (_proposal(con, group) for group in fetch(con, _GROUPS, agreement=AGREEMENT))
    return [proposal for proposal in made if proposal is not None]


def _proposal(con: duckdb.DuckDBPyConnection, group: Row) -> Proposal | None:
    quality, cost = group["quality"], group["cost_musd"]
    (low, high), (_, dearest) = interval(quality), interval(cost)
    if len(quality) < ENOUGH or low is None or low < -MARGIN or dearest is None or dearest >= 0:
        return None
    basis = f"{len(quality)} recorded calls that {group['model']} was asked as well, judged by {group['judge']}"
    match: dict[str, Any] = {"site": group["site_id"], "model": group["own_model"]}
    return Proposal(
        finding_id="",
        rule="shadow",
        knob="model",
        service=None,
        model=group["own_model"],
        site_id=group["site_id"],
        file=group["file"],
        function=group["function"],
        line=group["line"],
        title=f"Ask {group['model']} instead of {group['own_model']}",
        why=f"Asked the same, it was not worse by more than {MARGIN:.0%} and cost less: {basis}.",
        from_value=group["own_model"],
        to_value=group["model"],
        match=match | {"service": None},
        expected=expected(
            success=_pairs(SHARE, quality, low, high, basis),
            cost=_pairs(MICRO_USD, cost, *interval(cost), basis),
            latency=_pairs(SECONDS, group["latency_s"], *interval(group["latency_s"]), basis),
        ),
        evidence={
            "findings": [],
            "calls": group["calls"][:50],
            "runs": [],
            "attempts": [],
            "numbers": {"quality": mean(quality)},
        },
        risk="single answers were compared, not whole runs: a step that is a little worse may cost a run more steps",
        learned_by="shadow",
        calls_per_day=calls_per_day(con, match),
        wrong_if="answers lead runs elsewhere than the recorded ones did, or the judge does not see what matters",
    )


def _pairs(unit: str, values: Sequence[float], low: float | None, high: float | None, basis: str) -> Expected | None:
    estimate = mean(values)
    if estimate is None:
        return None
    return {"unit": unit, "low": low, "high": high, "estimate": estimate, "n": len(values), "basis": f"shadow: {basis}"}


def _evidence(calls: list[str], numbers: dict[str, Any]) -> dict[str, Any]:
    return {"findings": [], "calls": calls[:MAX_CALLS], "runs": [], "attempts": [], "numbers": numbers}
