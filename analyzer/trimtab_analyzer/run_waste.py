"""The waste of each run, kept in the store, so that only runs that changed are taken apart again.

In: the store, of which the tables ``run_money``, ``run_time`` and ``analysed_runs`` hold what is known from earlier.
Out: sums per run, agent, class and pin, of which :mod:`.waste` adds up the rest; they are those of a whole analysis.

What changed is seen in the rows and not told by who wrote them: each run has a mark, a digest of all that its sums are
computed from (:mod:`.run_marks`), and is taken apart again where the mark is not the one that was kept. So a sum is
kept or made anew, never mended, and whoever can't write (a report on a store that is open for reading) gets the same
answer, only later.

Many runs are taken apart some at a time, which bounds the memory. Where the tables are damaged or their rows were
changed by hand, the sums are wrong until ``analysed_runs`` is emptied; nothing else is computed from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, NamedTuple

import duckdb
import polars as pl

from trimtab_tracer.ingest import bundled_prices
from trimtab_tracer.prices import PriceList

from . import cost, load
from .ask import ask
from .load import Connection
from .run_marks import run_marks
from .seconds import seconds

FEW: Final = 200
"""Runs up to which their rows are taken aside before they are looked at."""

OF_RUNS: Final = ("attempts", "calls", "tool_calls", "tool_requests", "outcomes", "runs", "call_places", "decisions")
"""The tables of rows that belong to one run, ``call_places`` before those whose runs it names."""

AT_A_TIME: Final = 200_000
"""Attempts that are taken apart together: about 700 MB."""

PIN: Final = ("knob", "value", "site_id")

RUN_MONEY: Final[load.Schema] = {
    "run_id": pl.String,
    "agent": pl.String,
    "cls": pl.String,
    "knob": pl.String,
    "value": pl.String,
    "site_id": pl.String,
    "calls": pl.Int64,
    "attempts": pl.Int64,
    "cost_musd": pl.Int64,
    "unknown": pl.Int64,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
}
RUN_TIME: Final[load.Schema] = {
    "run_id": pl.String,
    "agent": pl.String,
    "is_outermost": pl.Boolean,
    "state": pl.String,
    "cls": pl.String,
    "knob": pl.String,
    "value": pl.String,
    "site_id": pl.String,
    "calls": pl.Int64,
    "ns": pl.Int64,
    "bound_ns": pl.Int64,
}
ANALYSED_RUNS: Final[load.Schema] = {"run_id": pl.String, "mark": pl.UInt64, "untimed": pl.String}


class RunWaste(NamedTuple):
    """Sums of runs."""

    money: pl.DataFrame
    """One row per run, agent, class and pin (:data:`RUN_MONEY`)."""
    time: pl.DataFrame
    """One row per run, agent, state, class and pin (:data:`RUN_TIME`)."""
    runs: pl.DataFrame
    """The runs, and why the time of some can't be split (:data:`ANALYSED_RUNS`)."""


class News(NamedTuple):
    """What is not in the store yet."""

    fresh: RunWaste
    """Of the runs that changed."""
    gone: list[str]
    """Runs that the store has sums of, but no rows any more."""


def run_waste(con: Connection, prices: PriceList | None = None) -> RunWaste:
    """The sums of all runs; ``con`` is inside a :func:`~.load.snapshot`."""
    fresh, gone = news(con, prices)
    is_old = pl.col("run_id").is_in([*fresh.runs["run_id"], *gone])
    tables = (("run_money", RUN_MONEY), ("run_time", RUN_TIME), ("analysed_runs", ANALYSED_RUNS))
    kept = [ask(con, name, schema).filter(~is_old) for name, schema in tables]
    return RunWaste(*(pl.concat(both) for both in zip(kept, fresh, strict=True)))


def news(con: Connection, prices: PriceList | None = None) -> News:
    """The sums of the runs that changed since theirs were kept; ``con`` is inside a :func:`~.load.snapshot`."""
    broken = cost.broken_tools(load.tool_health(con))
    windows = load.run_windows(con)
    cached = load.cached_models(con)
    salt = f"{(prices or bundled_prices()).identity} {cached.rows()}"
    marks = run_marks(con, windows, salt, broken["name"])
    kept = ask(con, "analysed_runs", ANALYSED_RUNS).select("run_id", "mark")
    changed = marks.join(kept, on=["run_id", "mark"], how="anti", maintain_order="left")
    gone = kept.join(marks, on="run_id", how="anti")["run_id"].to_list()
    parts = []
    for ids in _some(changed):
        with _few(con, ids):
            parts.append(_taken_apart(con, ids, broken, cached, windows, prices))
    empty = RunWaste(*(pl.DataFrame(schema=schema) for schema in (RUN_MONEY, RUN_TIME, ANALYSED_RUNS)))
    fresh = RunWaste(*(pl.concat(frames) for frames in zip(empty, *parts, strict=True)))
    runs = changed.select("run_id", "mark").join(fresh.runs.select("run_id", "untimed"), on="run_id", how="left")
    return News(fresh._replace(runs=runs), gone)


def refresh(con: Connection, writing: Callable[[], AbstractContextManager[Connection]], prices: PriceList) -> int:
    """Bring the kept sums up to date; nothing is locked while they are made.

    Args:
        con: The store, in no transaction.
        writing: Begins a write transaction.
        prices: The price list.

    Returns:
        How many runs were taken apart.
    """
    with load.snapshot(con):
        found = news(con, prices)
    if found.gone or not found.fresh.runs.is_empty():
        with writing() as writer:
            keep(writer, found)
    return found.fresh.runs.height


def keep(con: Connection, found: News) -> None:
    """Put the news into the store; ``con`` is inside a write transaction.

    If rows changed since the news were made, their runs have other marks and are news again.
    """
    fresh, gone = found
    old = pl.DataFrame({"run_id": [*fresh.runs["run_id"], *gone]}, schema={"run_id": pl.String})
    frames = {"run_money": fresh.money, "run_time": fresh.time, "analysed_runs": fresh.runs}
    con.register("old_runs", old.to_arrow())
    try:
        for table, rows in frames.items():
            con.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM old_runs)")
            con.register("new_rows", rows.to_arrow())
            con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM new_rows")
            con.unregister("new_rows")
    finally:
        con.unregister("old_runs")


def summed(
    parts: pl.DataFrame, time: pl.DataFrame, windows: pl.DataFrame, agents: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Parts of money (:data:`~.cost.LEDGER`) and time (:data:`~.seconds.SECONDS`), added up per run, agent and pin.

    Every call and attempt is in one run and of one agent, so that counts of these rows may be added up, too. The time
    of runs inside others is in both, and adds up over the outermost runs.
    """
    calls = pl.col("call_id").n_unique().cast(pl.Int64) - pl.col("call_id").has_nulls().cast(pl.Int64)
    of_runs = windows.select("run_id", "agent")

    def of_agents(rows: pl.DataFrame) -> pl.DataFrame:
        placed = rows.join(of_runs, on="run_id", how="left").join(agents, on="call_id", how="left")
        return placed.with_columns(agent=pl.coalesce("call_agent", "agent"))

    attempt, is_unknown = pl.col("attempt_id"), ~pl.col("cost_known")
    money = (
        of_agents(parts)
        .group_by("run_id", "agent", "cls", *PIN)
        .agg(
            calls=calls,
            attempts=attempt.n_unique(),
            unknown=attempt.filter(is_unknown).n_unique(),
            **{name: pl.col(name).sum() for name in ("cost_musd", "input_tokens", "output_tokens")},
        )
    )
    spent = (
        of_agents(time)
        .group_by("run_id", "agent", "is_outermost", "state", "cls", *PIN)
        .agg(calls=calls, ns=pl.col("ns").sum(), bound_ns=pl.col("ns").filter("is_bound").sum())
    )
    both = ((money, RUN_MONEY), (spent, RUN_TIME))
    found, took = (rows.select(schema.keys()).cast(pl.Schema(schema)) for rows, schema in both)
    return found, took


@contextmanager
def _few(con: Connection, run_ids: list[str]) -> Iterator[None]:
    """Where the runs are few, all questions see the rows of these runs alone, in temporary tables of the same names.

    A dozen questions would each look through the whole store for them. Results of tools (``tool_results``) stay as they
    are: which request brought one first may be a matter of other runs.
    """
    if len(run_ids) > FEW:
        yield
        return
    (store,) = con.execute("SELECT current_database()").fetchall()[0]
    made = []
    try:
        for table in OF_RUNS:
            ids = run_ids
            if table == "decisions":  # what a process decided before anybody knew its runs is in another one
                homes = con.execute("SELECT DISTINCT home FROM call_places").fetchall()
                ids = [*{*run_ids, *(home for (home,) in homes)}]
            # Written out, not joined: only then does DuckDB leave out what its statistics say can't be there.
            places = ", ".join("?" * len(ids))
            sql = f'CREATE TEMP TABLE {table} AS SELECT * FROM "{store}".main.{table} WHERE run_id IN ({places})'
            con.execute(sql, ids)
            made.append(table)
        yield
    finally:
        with suppress(duckdb.Error):  # after an error the transaction takes them along
            for table in made:
                con.execute(f"DROP TABLE temp.{table}")


def _taken_apart(
    con: Connection,
    run_ids: list[str],
    broken: pl.DataFrame,
    cached: pl.DataFrame,
    windows: pl.DataFrame,
    prices: PriceList | None,
) -> RunWaste:
    """The sums of these runs, all runs that hang together with one of them being among them."""
    attempts = load.attempts(con, run_ids)
    marks = cost.Marks.load(con, attempts, load.retry_loops(con, run_ids), run_ids, prices, cached)
    parts = cost.pinned(con, attempts, load.tool_calls(con, run_ids), broken, marks)
    del attempts, marks
    near = windows.filter(pl.col("run_id").is_in(run_ids) | pl.col("is_split"))
    time, left_out = seconds(con, parts, run_ids, near)
    money, took = summed(parts, time, windows, load.call_agents(con, run_ids))
    untimed = [(run_id, None, why) for why, ids in left_out.items() for run_id in ids]
    return RunWaste(money, took, pl.DataFrame(untimed, schema=ANALYSED_RUNS, orient="row"))


def _some(changed: pl.DataFrame) -> Iterator[list[str]]:
    """The changed runs, some at a time, those that hang together at once."""
    ids: list[str] = []
    attempts = 0
    groups = changed.group_by("group", maintain_order=True).agg("run_id", pl.col("calls").sum())
    for _, run_ids, calls in groups.select("group", "run_id", "calls").iter_rows():
        if ids and attempts + calls > AT_A_TIME:
            yield ids
            ids, attempts = [], 0
        ids += run_ids
        attempts += calls
    if ids:
        yield ids
