"""The waste pins: money, tokens and time of every run by class, and by run, line, knob, agent or day.

In: the store. Out: :class:`Waste`, sums of the ledger (:mod:`.cost`) and of the split time (:mod:`.seconds`), and a
list of what can't be said. A module of its own because it adds up and decides nothing: its rows sum to what its two
sources sum to, and those to what was recorded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from trimtab_tracer.prices import PriceList

from . import cost, load
from .load import Connection, RunIds
from .run_waste import PIN, RUN_MONEY, RUN_TIME, run_waste, summed
from .seconds import seconds, with_nested

By = Literal["all", "run", "site", "knob", "agent", "day"]

BY: Final[tuple[By, ...]] = ("all", "run", "site", "knob", "agent", "day")
"""What the sums can be grouped by. ``agent`` is the one that made the call where that is recorded, else the
service; ``day`` that on which the run began, in UTC."""

_OF_RUNS: Final = ("run_id", "agent", "is_outermost")
MONEY: Final[load.Schema] = {"key": pl.String} | {n: k for n, k in RUN_MONEY.items() if n not in _OF_RUNS}
TIME: Final[load.Schema] = {"key": pl.String} | {n: k for n, k in RUN_TIME.items() if n not in _OF_RUNS}


@dataclass(frozen=True, slots=True)
class Waste:
    """Where money, tokens and time went."""

    by: By
    money: pl.DataFrame
    """One row per key, class, knob, value and line (:data:`MONEY`): ``key`` the run, line, knob, agent or day (NULL
    where a part has none, or all are one), ``calls`` and ``attempts`` with a part in it, ``cost_musd`` (micro-USD),
    ``unknown`` attempts of unknown cost, ``input_tokens``, ``output_tokens``. The most expensive first."""
    time: pl.DataFrame
    """One row per key, state, class, knob, value and line (:data:`TIME`): ``ns`` nanoseconds, ``bound_ns`` those of
    them that are an upper bound of a tool's time. Of outermost runs, so that the rows add up, unless grouped by run or
    asked for some runs: then of each."""
    total_ns: int
    """Of the outermost runs, also where ``time`` has each run; of all of them where some runs were asked for."""
    not_analysable: pl.DataFrame
    """One row per reason (:data:`~.load.NOT_ANALYSABLE`)."""
    sites: dict[str, dict[str, Any]]
    """The lines that the rows name (:data:`~.load.SITES`)."""

    def as_json(self) -> dict[str, Any]:
        """As JSON; docs/waste.md says what each key means."""
        return {
            "by": self.by,
            "total": {
                "cost_musd": int(self.money["cost_musd"].sum()),
                "input_tokens": int(self.money["input_tokens"].sum()),
                "output_tokens": int(self.money["output_tokens"].sum()),
                "ns": self.total_ns,
            },
            "classes": [{"cls": c.id, "sentence": c.sentence, "knob": c.knob} for c in cost.CLASSES],
            "money": [self._placed(row) for row in self.money.iter_rows(named=True)],
            "time": [self._placed(row) for row in self.time.iter_rows(named=True)],
            "not_analysable": self.not_analysable.to_dicts(),
        }

    def _placed(self, row: dict[str, Any]) -> dict[str, Any]:
        site = self.sites.get(row["site_id"] or "")
        value = None if row["value"] is None else json.loads(row["value"])
        place = {name: site[name] for name in ("file", "function", "line", "source")} if site else None
        return row | {"value": value, "site": place}


def waste(con: Connection, by: By = "all", run_ids: RunIds = None, prices: PriceList | None = None) -> Waste:
    """The waste pins of these runs, or of all.

    Args:
        con: The store.
        by: What to group by.
        run_ids: The runs; None for all. The money is that of their own calls, the time also that of runs inside them.
        prices: The price list (:func:`~.cost.ledger`).

    Raises:
        StoreError: the store is of another version.
    """
    with load.snapshot(con):
        windows = load.run_windows(con)
        missing = load.not_analysable(con, run_ids)
        sites = {row["site_id"]: row for row in load.sites(con).iter_rows(named=True)}
        money, time, left_out = _of_all(con, prices) if run_ids is None else _of_some(con, windows, run_ids, prices)
    if run_ids is not None:
        total_ns = int(time["ns"].sum())
    else:
        outermost = time.filter("is_outermost")
        total_ns = int(outermost["ns"].sum())
        time = time if by == "run" else outermost
    days = windows.select("run_id", day=pl.from_epoch("started_ns", "ns").dt.strftime("%Y-%m-%d"))
    money, time = (_sums(frame.join(days, on="run_id", how="left"), by) for frame in (money, time))
    untimed = [("seconds", why, "run", len(ids), sorted(ids)[:5]) for why, ids in left_out.items()]
    missing = pl.concat([missing, pl.DataFrame(untimed, schema=load.NOT_ANALYSABLE, orient="row")])
    named = {*money["site_id"].drop_nulls(), *time["site_id"].drop_nulls()}
    return Waste(
        by,
        money,
        time,
        total_ns,
        missing.sort("what", "reason", "subject"),
        {i: sites[i] for i in named & sites.keys()},
    )


def _of_all(con: Connection, prices: PriceList | None) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, list[str]]]:
    """Money and time of all runs, and those whose time can't be split, by the reason why."""
    found = run_waste(con, prices)
    untimed = found.runs.filter(pl.col("untimed").is_not_null()).group_by("untimed").agg("run_id")
    return found.money, found.time, dict(untimed.iter_rows())


def _of_some(
    con: Connection, windows: pl.DataFrame, run_ids: Sequence[str], prices: PriceList | None
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, list[str]]]:
    """The same of some runs."""
    parts = cost.ledger(con, with_nested(windows, run_ids), prices)
    time, left_out = seconds(con, parts, run_ids)
    parts = parts.filter(pl.col("run_id").is_in(list(run_ids)))
    return *summed(parts, time, windows, load.call_agents(con, with_nested(windows, run_ids))), left_out


def _sums(rows: pl.DataFrame, by: By) -> pl.DataFrame:
    """Sums of runs added up by key, class and pin."""
    column = {"all": pl.lit(None, dtype=pl.String), "run": pl.col("run_id"), "site": pl.col("site_id")}
    rows = rows.with_columns(key=column.get(by, pl.col(by) if by in ("knob", "agent", "day") else None))
    is_time = "ns" in rows.columns
    schema = TIME if is_time else MONEY
    keys = ["key", "state", "cls", *PIN] if is_time else ["key", "cls", *PIN]
    order = ["ns", *keys] if is_time else ["cost_musd", "input_tokens", *keys]
    found = rows.group_by(keys).agg(pl.col(name).sum() for name in schema if name not in keys)
    found = found.select(schema.keys()).cast(pl.Schema(schema))
    return found.sort(order, descending=[n in ("ns", "cost_musd", "input_tokens") for n in order], nulls_last=True)
