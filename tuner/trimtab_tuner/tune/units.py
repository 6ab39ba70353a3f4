"""What runs drew and what came of it: from the store to observations.

In: a cursor and an experiment. Out: its units of which something can be learned, each fact once. Apart from
:mod:`.live` because it is the only part that knows tables. A unit is learned from when its run has ended; what came
of it may be said later, and is learned then. A run that an exception ended has failed, unless somebody says otherwise
for as long as the settings wait. A unit whose value changed within the run is of no arm: it teaches nothing.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from ..control.campaigns import INCUMBENT, value_key
from ..learn.observation import Observation
from ..reads import Row, fetch

if TYPE_CHECKING:
    import duckdb

MOST: Final = 2000
"""Units of one look: a campaign that was away for days catches up in several."""
ALL: Final = 1_000_000
"""Units that are learned from again at once, when an experiment begins where another one ended."""
SKEW_NS: Final = 60 * 10**9
"""How far an agent's clock may be behind ours before its draws are overlooked."""


class Unit(NamedTuple):
    """One run at one line."""

    run_id: str
    site_id: str
    seen: Observation | None
    """None where its value changed within the run."""
    has_quality: bool
    """Nothing of it is left to be learned."""


def news(
    con: duckdb.DuckDBPyConnection,
    experiment: Row,
    *,
    now_ns: int,
    wait_s: float,
    context_key: str | None,
    limit: int = MOST,
) -> list[Unit]:
    """The units of ``experiment`` of which something new can be learned, in the order of their draws.

    Args:
        con: The store.
        experiment: Its row.
        now_ns: The time, in nanoseconds since the epoch.
        wait_s: How long after its end a run that raised may still be said to have reached its goal.
        context_key: Attribute of the runs that is their context.
        limit: Units at most.
    """
    arms = {value_key(arm["value"]) for arm in experiment["arms"] if "value" in arm}
    rows = fetch(
        con,
        statement("units"),
        experiment_id=experiment["experiment_id"],
        knob=experiment["knob"],
        rule=experiment["rule_id"],
        since_ns=experiment["started_ns"] - SKEW_NS,
        now_ns=now_ns,
        wait_ns=int(wait_s * 1e9),
        context_key=context_key,
        limit=limit,
    )
    return [_unit(row, arms) for row in rows]


def _unit(row: Row, arms: set[str]) -> Unit:
    seen = _observation(row, arms)
    return Unit(row["run_id"], row["site_id"], seen, seen is None or seen.quality is not None)


def _observation(row: Row, arms: set[str]) -> Observation | None:
    if row["value"] is None:
        return None
    value = value_key(json.loads(row["value"]))
    is_late, cost, quality = row["is_late"], row["cost_musd"], row["quality"]
    return Observation(
        value=value if row["drawn"] is None and value in arms else INCUMBENT,
        propensity=row["propensity"],
        quality=0.0 if quality is None and row["raised"] else quality,
        cost_usd=cost / 1e6 if cost is not None and not is_late else None,
        latency_s=row["latency_s"] if not is_late else None,
        failed=row["failed"],
        context=row["context"] or None,
        at_ns=row["known_ns"],
        unit=f"{row['run_id']}|{row['site_id']}",
        late=is_late,
        is_first=row["is_first"],
    )


@cache
def statement(name: str) -> str:
    """Text of ``queries/<name>.sql``."""
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
