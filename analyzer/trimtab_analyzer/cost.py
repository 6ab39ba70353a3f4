"""The ledger: every micro-dollar and token of every run in exactly one class, pinned to the decision behind it.

In: attempts, tool calls and the decisions in force, from the store. Out: one row per part of an attempt. An attempt is
one part, except the one whose answer asked for several tools: that one is split into equal shares, one per tool call,
because what an answer costs is mostly its input, which all of them share. Shares are whole micro-USD and tokens by
largest remainder, earlier tool calls first, so that the parts of a run add up to its total exactly.

Which class wins where several fit is the order of :data:`CLASSES`. ``futile_retry`` stands before ``failed_attempt``
because each futile retry is a failed attempt too, ``truncated_output`` before ``rejected_output`` because a parser can
but turn down an answer that ends in the middle, and ``unknown`` comes last: it takes only what would be useful but
has no known cost. A wasted part of unknown cost keeps its class, counts 0 and says ``cost_known = false``.

Apart from the rules: the ledger answers "where did the money go" and needs no outcome and no blame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from . import load
from .load import Connection, RunIds
from .statistics import wilson


@dataclass(frozen=True, slots=True)
class CostClass:
    """One class of the ledger."""

    id: str
    sentence: str
    """What a part of this class paid for."""
    knob: str | None
    """The knob whose decision is named; None where nothing is to blame."""


CLASSES: Final = (
    CostClass("futile_retry", "Sending again what had failed in a way that repeats itself", "retry_on"),
    CostClass("failed_attempt", "Requests that brought no answer", "max_retries"),
    CostClass("truncated_output", "Answers cut by a token limit", "max_tokens"),
    CostClass("rejected_output", "Answers that the agent's own parser turned down", "prompt_version"),
    CostClass("malformed_tool_args", "Tool calls whose arguments were no JSON object", "tools"),
    CostClass("unknown_tool", "Calls of tools that were not offered", "tools"),
    CostClass("broken_tool", "Failed calls of tools that fail most of the time", "tools"),
    CostClass("repeated_call", "Tool calls that gave again what an earlier one had given", "loop_guard"),
    CostClass("useful", "Everything else", None),
    CostClass("unknown", "Otherwise useful, but of unknown cost (counted as 0)", None),
)
"""The classes, in order of precedence. A failed attempt that the client's own time limit ended names ``timeout_s``."""

KNOBS: Final = (*dict.fromkeys(c.knob for c in CLASSES if c.knob), "timeout_s", "parallelism")
"""The knobs whose decisions the ledger and the rules look up."""

LEDGER: Final[load.Schema] = {
    "run_id": pl.String,
    "call_id": pl.String,
    "attempt_id": pl.String,
    "tool_id": pl.String,
    "cls": pl.String,
    "knob": pl.String,
    "value": pl.String,
    "site_id": pl.String,
    "cost_musd": pl.Int64,
    "cost_known": pl.Boolean,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "is_estimated": pl.Boolean,
}

MIN_EXECUTIONS: Final = 5
"""Executions below which no tool is called broken."""

MIN_RUNS: Final = 2
"""Runs in which a tool must have failed: the calls of one run follow from each other."""

BROKEN_ABOVE: Final = 0.5
"""A tool is broken where the 95 % Wilson interval of its error rate lies above this."""

_AMOUNTS = ("cost_musd", "input_tokens", "output_tokens")


def ledger(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """The ledger of these runs, or of all.

    Returns:
        One row per part of an attempt, in order of time: ``run_id``, ``call_id``, ``attempt_id``, ``tool_id`` (NULL
        where the part is the whole attempt), ``cls`` (of :data:`CLASSES`), ``knob``, ``value`` (JSON text; ``null``
        where the code set nothing) and ``site_id`` of the decision in force (knob and value NULL for ``useful`` and
        ``unknown``; a broken tool's site is its definition, where it was seen running), ``cost_musd`` (micro-USD, 0
        where unknown), ``cost_known``, ``input_tokens`` and ``output_tokens`` (0 where unknown), and
        ``is_estimated`` where nobody reported these tokens.
    """
    with load.snapshot(con):
        return assign(
            load.attempts(con, run_ids),
            load.tool_calls(con, run_ids),
            broken_tools(load.tool_health(con)),
            load.decisions_in_force(con, KNOBS, run_ids),
        )


def broken_tools(health: pl.DataFrame) -> pl.DataFrame:
    """The tools that fail most of the time: :data:`~.load.TOOL_HEALTH` with ``low`` and ``high`` of the error rate.

    Keeps those with at least :data:`MIN_EXECUTIONS` executions, failures in :data:`MIN_RUNS` runs and an interval above
    :data:`BROKEN_ABOVE`. That they failed with different arguments is asked in ``queries/tool_health.sql``.
    """
    intervals = [wilson(k, n) for k, n in health.select("errors", "answered").iter_rows()]
    return health.with_columns(
        low=pl.Series([i.low for i in intervals], dtype=pl.Float64),
        high=pl.Series([i.high for i in intervals], dtype=pl.Float64),
    ).filter((pl.col("answered") >= MIN_EXECUTIONS) & (pl.col("runs") >= MIN_RUNS) & (pl.col("low") > BROKEN_ABOVE))


def mark_broken(tools: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    """The tool calls with a column ``is_broken``: an execution of a broken tool that failed by itself."""
    return tools.with_columns(
        is_broken=pl.col("name").is_in(broken["name"].to_list())
        & (pl.col("origin") != "requested")
        & (pl.col("status") == "error")
        & (pl.col("error_type").fill_null("") != "exit_code")
        & ~pl.col("is_malformed")
        & ~pl.col("is_unknown")
    )


def assign(attempts: pl.DataFrame, tools: pl.DataFrame, broken: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """The ledger of frames that are already loaded; see :func:`ledger` for the columns."""
    whole = attempts.with_row_index("place").with_columns(
        cls=pl.when(pl.col("futile").is_not_null())
        .then(pl.lit("futile_retry"))
        .when("is_failed")
        .then(pl.lit("failed_attempt"))
        .when("is_truncated")
        .then(pl.lit("truncated_output"))
        .when("is_rejected")
        .then(pl.lit("rejected_output"))
        .otherwise(pl.lit("useful")),
        cost_known=pl.col("cost_musd").is_not_null(),
        **{name: pl.col(name).fill_null(0) for name in _AMOUNTS},
    )
    shares = _tool_shares(mark_broken(tools, broken))
    parts = whole.join(
        # only an answer that the agent could use is divided among the tools it asked for
        shares.join(
            whole.filter(pl.col("is_answer") & (pl.col("cls") == "useful")).select("attempt_id", "call_id"),
            on="call_id",
        ),
        on=["call_id", "attempt_id"],
        how="left",
    ).with_columns(
        cls=pl.coalesce("tool_cls", "cls"),
        **{name: _share(name) for name in _AMOUNTS},
    )
    pinned = parts.with_columns(
        cls=pl.when((pl.col("cls") == "useful") & ~pl.col("cost_known")).then(pl.lit("unknown")).otherwise("cls")
    ).with_columns(knob=_knob())
    at_tool = (pl.col("cls") == "broken_tool") & pl.col("tool_site_id").is_not_null()
    placed = in_force(pinned, decisions).with_columns(
        site_id=pl.when(at_tool).then("tool_site_id").otherwise("site_id"),
        value=pl.when(pl.col("knob").is_not_null()).then("value"),
    )
    return placed.sort("place", "part", nulls_last=True).select(LEDGER.keys()).cast(pl.Schema(LEDGER))


def in_force(rows: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """``rows`` (``call_id``, ``knob``, ``site_id``) with the knob's ``value`` in force, its ``source`` and its line.

    Where no decision was recorded the value is ``null``, the source NULL and the line stays that of the call.
    """
    decided = decisions.select("call_id", "knob", "value", "source", decided_at="site_id")
    return rows.join(decided, on=["call_id", "knob"], how="left", maintain_order="left").with_columns(
        value=pl.col("value").fill_null("null"), site_id=pl.coalesce("decided_at", "site_id")
    )


def by_class(parts: pl.DataFrame) -> pl.DataFrame:
    """The ledger summed up.

    Returns:
        One row per class that occurs, in order of :data:`CLASSES`: ``cls``, ``calls`` and ``attempts`` that have a part
        in it, ``cost_musd``, ``unknown`` (attempts of unknown cost among them), ``input_tokens``, ``output_tokens``,
        ``estimated`` (attempts whose tokens nobody reported).
    """
    order = pl.Enum([c.id for c in CLASSES])
    return (
        parts.group_by(pl.col("cls").cast(order))
        .agg(
            calls=pl.col("call_id").n_unique().cast(pl.Int64),
            attempts=pl.col("attempt_id").n_unique().cast(pl.Int64),
            cost_musd=pl.col("cost_musd").sum(),
            unknown=pl.col("attempt_id").filter(~pl.col("cost_known")).n_unique().cast(pl.Int64),
            input_tokens=pl.col("input_tokens").sum(),
            output_tokens=pl.col("output_tokens").sum(),
            estimated=pl.col("attempt_id").filter(pl.col("is_estimated")).n_unique().cast(pl.Int64),
        )
        .sort("cls")
        .with_columns(pl.col("cls").cast(pl.String))
    )


def _tool_shares(tools: pl.DataFrame) -> pl.DataFrame:
    """One row per tool call that a model asked for: its class, its place in the answer and how many there are."""
    return (
        tools.filter(pl.col("call_id").is_not_null())
        .sort("idx", "tool_id")
        .select(
            "call_id",
            "tool_id",
            "tool_site_id",
            tool_cls=pl.when("is_malformed")
            .then(pl.lit("malformed_tool_args"))
            .when("is_unknown")
            .then(pl.lit("unknown_tool"))
            .when("is_broken")
            .then(pl.lit("broken_tool"))
            .when(pl.col("repeats").is_not_null())
            .then(pl.lit("repeated_call"))
            .otherwise(pl.lit("useful")),
            part=pl.int_range(pl.len()).over("call_id"),
            parts=pl.len().over("call_id").cast(pl.Int64),
        )
    )


def _share(name: str) -> pl.Expr:
    """Equal shares by largest remainder: all remainders are equal, so the first ``total % parts`` get one more."""
    parts = pl.col("parts").fill_null(1)
    return pl.col(name) // parts + (pl.col("part").fill_null(0) < pl.col(name) % parts).cast(pl.Int64)


def _knob() -> pl.Expr:
    knobs = {c.id: c.knob for c in CLASSES}
    return (
        pl.when((pl.col("cls") == "failed_attempt") & pl.col("is_client_timeout"))
        .then(pl.lit("timeout_s"))
        .otherwise(pl.col("cls").replace_strict(knobs, default=None, return_dtype=pl.String))
    )
