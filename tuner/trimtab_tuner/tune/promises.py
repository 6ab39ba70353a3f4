"""What an experiment has shown, as a proposal that a person can decide on.

In: a cursor, an experiment, what was learned of its arms. Out: a :class:`~..recommend.Proposal` whose figures are
effects: values were drawn at random with known probabilities, and the intervals hold whenever one looks. Apart from
:mod:`..recommend`, whose proposals come from findings and are never more than associations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..control.campaigns import INCUMBENT
from ..reads import Row, fetch
from ..recommend import Proposal
from ..recommend.proposal import MICRO_USD_PER_RUN, SECONDS, SHARE_OF_RUNS, Expected, effect, expected

if TYPE_CHECKING:
    import duckdb

RULE: Final = "experiment"
"""Stands in the place of a finding's rule."""

_OWN: Final = """
SELECT value FROM decisions
WHERE source = 'experiment' AND drawn = 'incumbent' AND knob = $knob
  AND (rule_id = $rule OR starts_with(rule_id, $rule || '.'))
ORDER BY decided_ns, decision_id LIMIT 1
"""
"""What the code says itself, as the experiment met it first: it is part of the proposal's id, so it must not change."""
_CALLS: Final = """
SELECT count(DISTINCT call_id), coalesce(max(decided_ns) - min(decided_ns), 0)
FROM decisions
WHERE source = 'experiment' AND (rule_id = $rule OR starts_with(rule_id, $rule || '.'))
"""
DAY_NS: Final = 86_400 * 10**9
_PLACE: Final = """
SELECT s.site_id, s.file, s.function, s.line
FROM campaign_units AS u JOIN sites AS s USING (site_id)
WHERE u.experiment_id = $experiment_id
GROUP BY ALL ORDER BY count(*) DESC, s.site_id LIMIT 1
"""


def promise(con: duckdb.DuckDBPyConnection, experiment: Row, verdict: Mapping[str, Any]) -> Proposal | None:
    """The proposal to use the arm that may be promoted; None where its line is not known (yet)."""
    arms = {arm["arm"]: arm for arm in verdict["arms"]}
    ready, own = arms[verdict["ready"]], arms[INCUMBENT]
    match = experiment["match"]
    place = fetch(con, _PLACE, experiment_id=experiment["experiment_id"])
    if not place:
        return None
    found = fetch(con, _OWN, knob=experiment["knob"], rule=experiment["rule_id"])
    from_value, to_value = (found[0]["value"] if found else None), json.loads(ready["arm"])
    drawn = f"{ready['units']} runs drew it and {own['units']} the code's own value"
    basis = f"{drawn}, in experiment {experiment['experiment_id']}"
    said = expected(
        success=_change(ready["quality_change"], SHARE_OF_RUNS, 1.0, ready["rewards"] + own["rewards"], basis),
        cost=_change(ready["cost_change_usd"], MICRO_USD_PER_RUN, 1e6, ready["units"] + own["units"], basis),
        latency=_change(ready["latency_change_s"], SECONDS, 1.0, ready["units"] + own["units"], basis),
    )
    return Proposal(
        finding_id=experiment["rule_id"],
        rule=f"{RULE} {experiment['experiment_id']}",  # another one that shows the same is another proposal
        knob=experiment["knob"],
        service=match.get("service"),
        model=match.get("model"),
        site_id=place[0]["site_id"],
        file=place[0]["file"],
        function=place[0]["function"],
        line=place[0]["line"],
        title=_title(experiment["knob"], to_value, said),
        why=f"Runs drew the value at random: {basis}.",
        from_value=from_value,
        to_value=to_value,
        match=match,
        expected=said,
        evidence={"findings": [], "calls": [], "runs": [], "attempts": [], "numbers": _numbers(ready, own)},
        risk=_risk(said),
        learned_by="effect",
        calls_per_day=_per_day(con, experiment),
        wrong_if="the tasks, or the model behind a name, are other ones from here on than in the runs that were drawn",
        experiment_id=experiment["experiment_id"],
    )


def _per_day(con: duckdb.DuckDBPyConnection, experiment: Row) -> float | None:
    """Calls a day that were drawn for; a time of less than a day is not scaled up to one."""
    ((calls, spanned_ns),) = con.execute(_CALLS, {"rule": experiment["rule_id"]}).fetchall()
    return calls / max(1.0, spanned_ns / DAY_NS) if calls else None


def _change(bounds: Mapping[str, float | None], unit: str, scale: float, n: int, basis: str) -> Expected | None:
    low, high, estimate = bounds["low"], bounds["high"], bounds["estimate"]
    if low is None or high is None or estimate is None:
        return None
    return effect(unit, low=low * scale, high=high * scale, estimate=estimate * scale, n=n, basis=basis)


def _title(knob: str, value: Any, said: Mapping[str, Expected | None]) -> str:
    """What to do, and what that changed."""
    cost, success = said["cost"], said["success"]
    changes = []
    if cost is not None and cost["estimate"] is not None:
        changes.append(f"{cost['estimate'] / 1e6:+.4g} USD per run")
    if success is not None and success["estimate"] is not None:
        changes.append(f"success {100 * success['estimate']:+.1f} points")
    return f"Set {knob} to {json.dumps(value)}" + (f": {', '.join(changes)}" if changes else "")


def _risk(said: Mapping[str, Expected | None]) -> str:
    success = said["success"]
    if success is None:
        return "nobody said what the runs came to, so it is not known what this does to success"
    return f"at the worse end of its interval success changes by {100 * success['low']:+.1f} points"


def _numbers(ready: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("units", "rewards", "quality", "cost_usd", "latency_s", "errors")
    return {"value": {k: ready[k] for k in kept}, "own": {k: own[k] for k in kept}}
