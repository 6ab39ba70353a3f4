"""The ledger: every micro-dollar and token of every run in exactly one class, pinned to the decision behind it.

In: attempts, tool calls and the decisions in force, from the store. Out: one row per part of an attempt. An attempt is
one part, except the one whose answer asked for several tools: that one is split into equal shares, one per tool call,
because what an answer costs is mostly its input, which all of them share. Shares are whole micro-USD and tokens by
largest remainder, earlier tool calls first, so that the parts of a run add up to its total exactly. From a part that
nothing else took, what a cache miss and carried results cost is taken out as parts of their own (:mod:`.carved`).

Which class wins where several fit is the order of :data:`CLASSES`: first what came of the request, then of the answer,
then of the tool call, then of the run, and last what only some of the input cost. ``futile_retry`` stands before
``retry_multiplication`` and that before ``failed_attempt`` because each is a failed attempt too; ``truncated_output``
before ``rejected_output`` because a parser can but turn down an answer that ends in the middle. ``unknown`` comes last:
it takes only what would be useful but has no known cost. A wasted part of unknown cost keeps its class, counts 0 and
says ``cost_known = false``.

Apart from the rules: the ledger answers "where did the money go" and needs no outcome of the run and no blame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from trimtab_tracer.prices import PriceList

from . import load
from .carved import carved
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
    CostClass("retry_multiplication", "Failed requests beyond one loop's, because two loops multiply", "max_retries"),
    CostClass("failed_attempt", "Requests that brought no answer", "max_retries"),
    CostClass("truncated_output", "Answers cut by a token limit", "max_tokens"),
    CostClass("rejected_output", "Answers that the agent's own parser turned down", "prompt_version"),
    CostClass(
        "malformed_tool_args", "Tool calls whose arguments nothing can parse, or the tool's schema forbids", "tools"
    ),
    CostClass("unknown_tool", "Calls of tools that were not offered", "tools"),
    CostClass("broken_tool", "Failed calls of tools that fail most of the time", "tools"),
    CostClass("repeated_call", "Tool calls that gave again what an earlier one had given", "loop_guard"),
    CostClass("no_progress", "The third and later of tool calls in a row that brought nothing new", "loop_guard"),
    CostClass("after_decided", "Calls begun after the run's outcome had been recorded", "stop_rule"),
    CostClass("cache_miss", "The extra price of input that a changed beginning kept from the cache", "prompt_version"),
    CostClass("oversized_result", "Oversized tool results sent along again in later prompts", "tools"),
    CostClass("useful", "Everything else", None),
    CostClass("unknown", "Otherwise useful, but of unknown cost (counted as 0)", None),
)
"""The classes, in order of precedence. A failed attempt that the client's own time limit ended names ``timeout_s``, a
cache miss whose system prompt stayed the same ``tools``."""

CARVED_CLASSES: Final = ("cache_miss", "oversized_result")
"""Classes of parts that are taken out of another one, which stays: they have a price, but no time of their own."""

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

AT_A_TIME: Final = 100_000
"""Attempts that are taken apart together."""

_AMOUNTS = ("cost_musd", "input_tokens", "output_tokens")
_CARVED = ("miss_musd", "carried_musd", "carried_tokens")
_OF_ATTEMPTS = (
    *("run_id", "call_id", "attempt_id", "site_id", "call_started_ns"),
    *("futile", "is_failed", "is_truncated", "is_rejected", "is_answer", "is_client_timeout", "is_estimated"),
    *_AMOUNTS,
)
"""Columns of attempts that the ledger needs."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the ledger knows of attempts from more than themselves and their tools."""

    multiplied: pl.DataFrame
    """``attempt_id`` of failed attempts that only two loops together sent (:func:`multiplied`)."""
    decided: pl.DataFrame
    """:data:`~.load.DECIDED_RUNS`."""
    carved: pl.DataFrame
    """:data:`~.carved.CARVED`."""

    @classmethod
    def load(
        cls,
        con: Connection,
        attempts: pl.DataFrame,
        loops: pl.DataFrame,
        run_ids: RunIds = None,
        prices: PriceList | None = None,
        cached: pl.DataFrame | None = None,
    ) -> Marks:
        """The marks of these attempts, which are those of ``run_ids``; ``loops`` as of :func:`~.load.retry_loops`,
        ``cached`` as of :func:`~.load.cached_models`, where known already."""
        return cls(multiplied(attempts, loops), load.decided_runs(con, run_ids), carved(con, run_ids, prices, cached))


def ledger(con: Connection, run_ids: RunIds = None, prices: PriceList | None = None) -> pl.DataFrame:
    """The ledger of these runs, or of all.

    Args:
        con: The store.
        run_ids: The runs; None for all.
        prices: The price list that tells what a cached token would have cost; the bundled one by default.

    Returns:
        One row per part of an attempt, in order of time: ``run_id``, ``call_id``, ``attempt_id``, ``tool_id`` (NULL
        where the part is of the whole attempt), ``cls`` (of :data:`CLASSES`), ``knob``, ``value`` (JSON text; ``null``
        where the code set nothing) and ``site_id`` of the decision in force (knob and value NULL for ``useful`` and
        ``unknown``; the site of a broken tool and of an oversized result is the tool's definition, where it was seen
        running), ``cost_musd`` (micro-USD, 0 where unknown), ``cost_known``, ``input_tokens`` and ``output_tokens``
        (0 where unknown), and ``is_estimated`` where nobody reported these tokens. Attempt, tool call and class
        together are unique.
    """
    with load.snapshot(con):
        attempts = load.attempts(con, run_ids)
        marks = Marks.load(con, attempts, load.retry_loops(con, run_ids), run_ids, prices)
        return pinned(con, attempts, load.tool_calls(con, run_ids), broken_tools(load.tool_health(con)), marks)


def pinned(
    con: Connection, attempts: pl.DataFrame, tools: pl.DataFrame, broken: pl.DataFrame, marks: Marks
) -> pl.DataFrame:
    """The ledger of frames that are already loaded, with decisions read for the calls that wasted something, no others.

    They decide nothing but the value and the line of a wasted part, so only the parts of such calls are made twice.
    """
    parts = assign(attempts, tools, broken, pl.DataFrame(schema=load.DECISIONS), marks)
    wasted = parts.filter(pl.col("knob").is_not_null())["call_id"].unique()
    of_wasted = pl.col("call_id").is_in(wasted.to_list())
    decisions = load.decisions_in_force(con, KNOBS, call_ids=wasted)
    again = assign(attempts.filter(of_wasted), tools.filter(of_wasted), broken, decisions, marks)
    places = parts.select(of_wasted.arg_true()).to_series()  # the same parts as `again`, in the same order
    return parts.with_columns(parts[name].scatter(places, again[name]) for name in ("value", "site_id"))


def multiplied(attempts: pl.DataFrame, loops: pl.DataFrame) -> pl.DataFrame:
    """The failed attempts of a question that only two retry loops together sent: ``attempt_id``.

    Where two loops are stacked (``is_storm`` of :data:`~.load.RETRY_LOOPS`), one of them alone would have sent the
    question as often as the larger one turns: once per call, or as often as the longest call did. That many of its
    attempts, the first ones, are the retries of one loop; the failed ones after them are not.
    """
    storms = loops.filter("is_storm").select("call_id", "question_id")
    asked = attempts.select("attempt_id", "call_id", "started_ns", "is_failed").join(storms, on="call_id")
    asked = asked.sort("started_ns", "attempt_id").with_columns(in_call=pl.len().over("call_id"))
    turn = pl.int_range(1, pl.len() + 1).over("question_id")
    one_loop = pl.max_horizontal(pl.col("call_id").n_unique(), pl.col("in_call").max()).over("question_id")
    return asked.filter(pl.col("is_failed") & (turn > one_loop)).select("attempt_id")


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


def assign(
    attempts: pl.DataFrame, tools: pl.DataFrame, broken: pl.DataFrame, decisions: pl.DataFrame, marks: Marks
) -> pl.DataFrame:
    """The ledger of frames that are already loaded, decisions too; see :func:`ledger` for the columns."""
    shares = _tool_shares(mark_broken(tools, broken))
    # An attempt's parts need no other attempt, and some at a time need a fraction of the memory.
    some = attempts.iter_slices(AT_A_TIME)
    found = [_assign(_whole(rows, marks), shares, decisions) for rows in some]
    return pl.concat([pl.DataFrame(schema=LEDGER), *found])


def _assign(whole: pl.DataFrame, shares: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """The parts of some attempts."""
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
        **{name: share(name) for name in (*_AMOUNTS, *_CARVED)},
    )
    is_after = (pl.col("cls") == "useful") & (pl.col("call_started_ns") > pl.col("decided_ns")).fill_null(False)
    parts = _carve(parts.with_columns(cls=pl.when(is_after).then(pl.lit("after_decided")).otherwise("cls")))
    pinned = parts.with_columns(
        cls=pl.when((pl.col("cls") == "useful") & ~pl.col("cost_known")).then(pl.lit("unknown")).otherwise("cls")
    ).with_columns(knob=_knob())
    cls, placed = pl.col("cls"), in_force(pinned, decisions)
    placed = placed.with_columns(
        site_id=pl.when(cls == "broken_tool")
        .then(pl.coalesce("tool_site_id", "site_id"))
        .when(cls == "oversized_result")
        .then(pl.coalesce("carried_site_id", "site_id"))
        .otherwise("site_id"),
        value=pl.when(pl.col("knob").is_not_null()).then("value"),
    )
    placed = placed.sort("place", "part", "layer", nulls_last=True)
    return placed.select(LEDGER.keys()).cast(pl.Schema(LEDGER))


def _whole(attempts: pl.DataFrame, marks: Marks) -> pl.DataFrame:
    """One row per attempt: its class as long as nothing is known of its tools, and what is to be carved from it."""
    rows = (
        attempts.select(*_OF_ATTEMPTS)
        .with_row_index("place")
        .join(marks.multiplied.with_columns(is_multiplied=True), on="attempt_id", how="left", maintain_order="left")
        .join(marks.decided, on="run_id", how="left", maintain_order="left")
        .join(marks.carved, on="attempt_id", how="left", maintain_order="left")
    )
    return rows.with_columns(
        cls=pl.when(pl.col("futile").is_not_null())
        .then(pl.lit("futile_retry"))
        .when("is_multiplied")
        .then(pl.lit("retry_multiplication"))
        .when("is_failed")
        .then(pl.lit("failed_attempt"))
        .when("is_truncated")
        .then(pl.lit("truncated_output"))
        .when("is_rejected")
        .then(pl.lit("rejected_output"))
        .otherwise(pl.lit("useful")),
        cost_known=pl.col("cost_musd").is_not_null(),
        **{name: pl.col(name).fill_null(0) for name in (*_AMOUNTS, *_CARVED)},
    )


def _carve(parts: pl.DataFrame) -> pl.DataFrame:
    """The parts, with cache misses and carried results taken out of the useful ones as parts of their own.

    A part keeps what is left of it, be it nothing. Rounding may leave a part a micro-dollar or a token short of what
    is to be taken from it: then that one stays.
    """
    is_useful = pl.col("cls") == "useful"
    parts = parts.with_columns(
        layer=pl.lit(0),
        miss_musd=pl.when(is_useful).then(pl.min_horizontal("miss_musd", "cost_musd")).otherwise(0),
        carried_tokens=pl.when(is_useful).then(pl.min_horizontal("carried_tokens", "input_tokens")).otherwise(0),
    ).with_columns(
        carried_musd=pl.when(is_useful)
        .then(pl.min_horizontal("carried_musd", pl.col("cost_musd") - pl.col("miss_musd")))
        .otherwise(0)
    )
    nothing = pl.lit(0, dtype=pl.Int64)
    missed = parts.filter(pl.col("miss_musd") > 0).with_columns(
        cls=pl.lit("cache_miss"),
        layer=pl.lit(1),
        cost_musd="miss_musd",
        input_tokens=nothing,
        output_tokens=nothing,
    )
    carried = parts.filter((pl.col("carried_musd") > 0) | (pl.col("carried_tokens") > 0)).with_columns(
        cls=pl.lit("oversized_result"),
        layer=pl.lit(2),
        cost_musd="carried_musd",
        input_tokens="carried_tokens",
        output_tokens=nothing,
    )
    left = parts.with_columns(
        cost_musd=pl.col("cost_musd") - pl.col("miss_musd") - pl.col("carried_musd"),
        input_tokens=pl.col("input_tokens") - pl.col("carried_tokens"),
    )
    return pl.concat([left, missed, carried])


def in_force(rows: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """``rows`` (``call_id``, ``knob``, ``site_id``) with the knob's ``value`` in force, its ``source`` and its line.

    Where no decision was recorded the value is ``null``, the source NULL and the line stays that of the call.
    """
    decided = decisions.select("call_id", "knob", "value", "source", decided_at="site_id")
    keys, knobs = ["call_id", "knob"], rows["knob"].unique().to_list()
    if len(knobs) == 1:  # a join on one column is twice as fast
        keys, decided = ["call_id"], decided.filter(pl.col("knob").is_in(knobs)).drop("knob")
    return rows.join(decided, on=keys, how="left", maintain_order="left").with_columns(
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
            tool_cls=pl.when(pl.col("is_malformed") | pl.col("schema_error").is_not_null())
            .then(pl.lit("malformed_tool_args"))
            .when("is_unknown")
            .then(pl.lit("unknown_tool"))
            .when("is_broken")
            .then(pl.lit("broken_tool"))
            .when(pl.col("repeats").is_not_null())
            .then(pl.lit("repeated_call"))
            .when("stalls")
            .then(pl.lit("no_progress"))
            .otherwise(pl.lit("useful")),
            part=pl.int_range(pl.len()).over("call_id"),
            parts=pl.len().over("call_id").cast(pl.Int64),
        )
    )


def share(name: str) -> pl.Expr:
    """Equal shares of a whole amount among ``parts``, of which a row is the ``part``-th (from 0; NULLs: the only one).

    By largest remainder: all remainders are equal, so the first ``total % parts`` get one more.
    """
    parts = pl.col("parts").fill_null(1)
    return pl.col(name) // parts + (pl.col("part").fill_null(0) < pl.col(name) % parts).cast(pl.Int64)


def _knob() -> pl.Expr:
    knobs = {c.id: c.knob for c in CLASSES}
    return (
        pl.when((pl.col("cls") == "failed_attempt") & pl.col("is_client_timeout"))
        .then(pl.lit("timeout_s"))
        .when(pl.col("cls") == "cache_miss")
        .then("miss_knob")
        .otherwise(pl.col("cls").replace_strict(knobs, default=None, return_dtype=pl.String))
    )
