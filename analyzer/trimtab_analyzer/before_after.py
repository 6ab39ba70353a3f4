"""Before and after: what runs came to before a knob's value changed, and since.

In: the store, and which change: a knob at a place, from a policy's version or from a point in time on. Out: a
:class:`Change`, with both sides, the difference of the shares of runs that did not fail and its interval. Apart from
the findings because it compares and blames nobody.

It is an association, and says so: nobody drew which run got which value, so whatever else differed between the two
times (the tasks, the provider's day, the rest of the code) is in the difference too. A run counts once and as a whole:
after, if the change held for all its calls at the place; before, if for none and they all began before the change first
held. Runs in between, runs that began later without it (it was taken back, or they had not heard of it) and runs that
have not ended are left out and counted. A run of an experiment counts as after, whichever value it drew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from . import load
from .ask import ask
from .load import Connection
from .statistics import Difference, newcombe, wilson

ASSOCIATION: Final = "association, not an effect: nothing was randomised, and other things may have changed too"
"""What kind of statement every comparison of this module is."""

CALLS: Final[load.Schema] = {
    "call_id": pl.String,
    "run_id": pl.String,
    "started_ns": pl.Int64,
    "attempts": pl.Int64,
    "is_lost": pl.Boolean,
    "took_s": pl.Float64,
    "is_after": pl.Boolean,
}
COSTS: Final[load.Schema] = {"run_id": pl.String, "cost_musd": pl.Int64, "unpriced": pl.Int64}


@dataclass(frozen=True, slots=True)
class Side:
    """The runs of one side, and their calls at the place."""

    runs: int
    failed_runs: int
    """Their outcome says no; or no outcome is known and an exception ended them."""
    unjudged_runs: int
    """Did not fail, and nobody recorded whether they reached their goal."""
    success: float | None
    """Share of runs that did not fail, with the 95 % Wilson interval ``low`` to ``high``; None without runs."""
    low: float | None
    high: float | None
    cost_per_run_musd: float | None
    """Mean known cost of whole runs, in micro-USD; None where no request of theirs has a known one."""
    unpriced_requests: int
    """Requests of unknown cost, which count as 0."""
    calls: int
    lost_calls: int
    """Calls at the place that got no answer."""
    attempts_per_call: float | None
    p50_latency_s: float | None
    """Median seconds from a call's first request to the last byte of its answer, waiting included."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change with what was before and what is after it."""

    knob: str
    site_id: str | None
    policy_version: int | None
    since_ns: int | None
    before: Side
    after: Side
    success_difference: Difference | None
    """After minus before, with the 95 % interval of Newcombe; None where a side has no runs."""
    left_out_runs: int
    kind: str = ASSOCIATION

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        said = asdict(self)
        if self.success_difference is not None:
            said["success_difference"] = self.success_difference._asdict()
        return said


def before_after(
    con: Connection,
    knob: str,
    site_id: str | None = None,
    *,
    policy_version: int | None = None,
    since_ns: int | None = None,
) -> Change:
    """What runs came to before and after a change of ``knob``.

    Args:
        con: The store.
        knob: The knob whose value changed.
        site_id: The line of the calls, or the one that decided; None for all lines.
        policy_version: The first version of the policy that is the change; None for any.
        since_ns: A point in time that is the change instead.

    Raises:
        ValueError: both a version and a point in time are given.
        StoreError: the store is of another version.
    """
    if policy_version is not None and since_ns is not None:
        raise ValueError("a change is a policy's version or a point in time, not both")
    with load.snapshot(con):
        asked = {"knob": knob, "site_id": site_id, "since_ns": since_ns}
        calls = ask(con, "change_calls", CALLS, **asked, policy_version=policy_version or 0)
        runs = _runs(calls)
        ids = runs["run_id"].to_list()
        facts = runs.join(load.outcomes(con, ids), on="run_id").join(
            ask(con, "run_costs", COSTS, run_ids=ids), on="run_id", how="left"
        )
    counted = facts.filter(pl.col("side").is_not_null() & pl.col("status").is_not_null())
    before, after = (_side(counted.filter(pl.col("side") == side), calls) for side in ("before", "after"))
    difference = None
    if before.runs and after.runs:
        kept = [(side.runs - side.failed_runs, side.runs) for side in (before, after)]
        difference = newcombe(*kept[0], *kept[1])
    return Change(knob, site_id, policy_version, since_ns, before, after, difference, runs.height - counted.height)


def _runs(calls: pl.DataFrame) -> pl.DataFrame:
    """One row per run with its ``side``, NULL for one in between or begun later without the change."""
    changed_ns = calls.filter("is_after")["started_ns"].min()
    started_later = pl.col("last_ns") >= changed_ns if changed_ns is not None else pl.lit(False)
    return (
        calls.group_by("run_id", maintain_order=True)
        .agg(all_after=pl.col("is_after").all(), any_after=pl.col("is_after").any(), last_ns=pl.col("started_ns").max())
        .select(
            "run_id",
            side=pl.when("all_after")
            .then(pl.lit("after"))
            .when(~pl.col("any_after") & ~started_later)
            .then(pl.lit("before")),
        )
    )


def _side(runs: pl.DataFrame, calls: pl.DataFrame) -> Side:
    n, failed = runs.height, int(runs["failed"].sum())
    share = wilson(n - failed, n) if n else None
    made = calls.join(runs, on="run_id", how="semi")
    unpriced, cost = int(runs["unpriced"].sum()), int(runs["cost_musd"].sum())
    requests = int(made["attempts"].sum())
    answered = made.filter(~pl.col("is_lost"))["took_s"]
    return Side(
        runs=n,
        failed_runs=failed,
        unjudged_runs=runs.filter(~pl.col("failed") & pl.col("success").is_null()).height,
        success=share.share if share else None,
        low=share.low if share else None,
        high=share.high if share else None,
        cost_per_run_musd=cost / n if n and (cost or not unpriced) else None,
        unpriced_requests=unpriced,
        calls=made.height,
        lost_calls=int(made["is_lost"].sum()),
        attempts_per_call=requests / made.height if made.height else None,
        p50_latency_s=float(answered.median()) if len(answered) else None,  # type: ignore[arg-type]
    )
