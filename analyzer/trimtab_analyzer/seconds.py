"""Where the time of a run went: every nanosecond in one state, pinned to the call it passed in.

In: when runs, attempts, tools and pauses began and ended, and the ledger. Out: one row per run and what it spent time
in. A module of its own because time, unlike money, overlaps: two calls at once cost twice and take once.

A sweep line goes over each run from its start to its end. At every instant the state is that of what is under way, and
where several things are, the first of :data:`STATES`: a model that answers is worth waiting for, whatever else
happens; a tool at work excuses a pause. Of several of one state the one that began first has the time. What is left is
``idle``: the agent's own code, a person, a queue. A run's time is that of the runs inside it, too: what they do
happens in their own time and in that of each run around them, so times of nested runs are not to be added up;
:func:`seconds` says which runs are outermost. What lies outside a run's own start and end is not in its time.

The parts of a run add up to its duration exactly. A run whose end is not known ends with the last thing known of it.
A run that ends before it starts, or whose requests have no duration (imported files do not tell), has no parts and is
named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

import polars as pl

from . import load
from .cost import CARVED_CLASSES, in_force, share
from .load import Connection, RunIds

STATES: Final = ("model", "tool", "retry_wait", "idle")
"""What a run can spend time in, in order of precedence."""

RETRIES: Final = "max_retries"
"""The knob that pauses before a retry are pinned to."""

SECONDS: Final[load.Schema] = {
    "run_id": pl.String,
    "is_outermost": pl.Boolean,
    "state": pl.String,
    "cls": pl.String,
    "call_id": pl.String,
    "tool_id": pl.String,
    "knob": pl.String,
    "value": pl.String,
    "site_id": pl.String,
    "ns": pl.Int64,
    "is_bound": pl.Boolean,
}


class Seconds(NamedTuple):
    """The time of runs."""

    parts: pl.DataFrame
    """:data:`SECONDS`."""
    left_out: dict[str, list[str]]
    """Runs whose time can't be split, by the reason why."""


class Span(NamedTuple):
    """Something under way."""

    started_ns: int
    ended_ns: int
    rank: int
    """Its state's place in :data:`STATES`."""
    row: int
    """Its row in the frame of times."""


def seconds(
    con: Connection, parts: pl.DataFrame, run_ids: RunIds = None, windows: pl.DataFrame | None = None
) -> Seconds:
    """The time of these runs, or of all.

    Args:
        con: The store, in the same snapshot as ``parts``.
        parts: The ledger (:func:`~.cost.ledger`) of these runs and those inside them (:func:`with_nested`).
        run_ids: The runs; None for all.
        windows: When runs were (:data:`~.load.RUN_WINDOWS`): of these, those inside them and all around them, whatever
            others there are; by default of all.

    Returns:
        One row per run and part: ``state`` (of :data:`STATES`), ``ns`` nanoseconds, ``call_id``,
        ``tool_id``, and ``site_id`` of what the time passed in (NULL where idle), ``cls``: for a model or tool the
        class that the ledger gives its money to (``useful`` also where that is unknown; an answer's time is divided
        among its tools as its cost is), else the state. ``knob`` and ``value`` of the decision in force belong to
        ``cls``; those of a pause are the retries'. ``is_bound``: a tool's time that is known as an upper bound only.
        ``is_outermost``: the run is inside no other one, so that these may be added up. And the runs left out.
    """
    windows = load.run_windows(con) if windows is None else windows
    times = load.times(con, with_nested(windows, run_ids))
    found, left_out = _swept(windows, times, run_ids)
    by_state = {state: found.filter(pl.col("state") == state) for state in STATES}
    swept = [
        _model(by_state["model"], parts),
        _tool(by_state["tool"], parts),
        _pauses(con, by_state["retry_wait"]),
        by_state["idle"].with_columns(cls="state"),
    ]
    empty = {name: pl.lit(None, dtype=kind) for name, kind in SECONDS.items()}
    frames = [
        f.with_columns(**{n: e for n, e in empty.items() if n not in f.columns}).select(SECONDS.keys()) for f in swept
    ]
    return Seconds(pl.concat(frames).cast(pl.Schema(SECONDS)).filter(pl.col("ns") > 0), left_out)


def with_nested(windows: pl.DataFrame, run_ids: RunIds) -> RunIds:
    """These runs and all inside them; None for all."""
    if run_ids is None:
        return None
    children = defaultdict(list)
    for run_id, parent in windows.select("run_id", "parent_run_id").iter_rows():
        children[parent].append(run_id)
    found: dict[str, None] = {}
    waiting = list(run_ids)
    while waiting:
        run_id = waiting.pop()
        if run_id not in found:  # a chain of parents that bites its tail ends here
            found[run_id] = None
            waiting += children[run_id]
    return list(found)


def sweep(started_ns: int, ended_ns: int, spans: Sequence[Span]) -> dict[int, int]:
    """Nanoseconds between start and end by the row of the span that has them; -1 where none is under way.

    Args:
        started_ns: Of the run.
        ended_ns: Of the run; not before its start.
        spans: In any order; each ends at or after its start.
    """
    found: dict[int, int] = defaultdict(int)
    waiting = sorted(spans)
    active: list[tuple[int, int, int, int]] = []
    now, at = started_ns, 0
    while now < ended_ns:
        while at < len(waiting) and waiting[at].started_ns <= now:
            span = waiting[at]
            heappush(active, (span.rank, span.started_ns, span.row, span.ended_ns))
            at += 1
        while active and active[0][3] <= now:
            heappop(active)
        until = min(ended_ns, waiting[at].started_ns) if at < len(waiting) else ended_ns
        if active:
            until = min(until, active[0][3])
        found[active[0][2] if active else -1] += until - now
        now = until
    return dict(found)


def _swept(windows: pl.DataFrame, times: pl.DataFrame, run_ids: RunIds) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """One row per run and span that has some of its time, with the columns of ``times``, and one where it is idle."""
    around = _around(windows)
    spans: dict[str, list[Span]] = defaultdict(list)
    columns = times.select("run_id", "state", "started_ns", "ended_ns").iter_rows()
    for row, (run_id, state, started_ns, ended_ns) in enumerate(columns):
        for outer in around.get(run_id, ()):
            spans[outer].append(Span(started_ns, ended_ns, STATES.index(state), row))
    asked = None if run_ids is None else set(run_ids)
    rows: list[tuple[str, bool, int, int]] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    for run_id, _, _, started_ns, ended_ns, is_split in windows.iter_rows():
        if asked is not None and run_id not in asked:
            continue
        own = spans.get(run_id, [])
        end = max((s.ended_ns for s in own), default=started_ns) if ended_ns is None else ended_ns
        if why := _why_not(started_ns, end, own, is_split):
            left_out[why].append(run_id)
        elif not is_split:
            is_outermost = len(around[run_id]) == 1
            rows += ((run_id, is_outermost, row, ns) for row, ns in sweep(started_ns, end, own).items())
    frame = pl.DataFrame(rows, schema=_SWEPT, orient="row")
    known = times.drop("run_id", "started_ns", "ended_ns").with_row_index("row").cast({"row": pl.Int64})
    swept = frame.join(known, on="row", how="left", maintain_order="left").with_columns(
        state=pl.col("state").fill_null("idle"), is_bound=pl.col("is_bound").fill_null(False)
    )
    return swept, dict(left_out)


_SWEPT: Final[load.Schema] = {"run_id": pl.String, "is_outermost": pl.Boolean, "row": pl.Int64, "ns": pl.Int64}


def _why_not(started_ns: int, ended_ns: int, spans: Sequence[Span], is_split: bool) -> str | None:
    """Why the time of a run can't be split; None where it can, or where there is nothing to split."""
    if ended_ns < started_ns:
        return "ends before it begins"
    models = [span for span in spans if STATES[span.rank] == "model"]
    if models and all(span.started_ns == span.ended_ns for span in models):
        return "its records do not say how long a request took"
    return "its process is split into runs and has calls of its own" if is_split and spans else None


def _around(windows: pl.DataFrame) -> dict[str, list[str]]:
    """Per run itself and the runs around it, the innermost first. A process that was split into runs is around none."""
    parents: dict[str, str | None] = dict(windows.select("run_id", "parent_run_id").iter_rows())
    split = set(windows.filter("is_split")["run_id"])
    found: dict[str, list[str]] = {}
    for run_id in parents:
        chain: list[str] = []
        outer: str | None = run_id
        while outer is not None and outer in parents and outer not in chain:
            if outer not in split or outer == run_id:
                chain.append(outer)
            outer = parents[outer]
        found[run_id] = chain
    return found


def _model(swept: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """The attempts' time, divided among the parts of each attempt as its tokens are."""
    whole = parts.filter(~pl.col("cls").is_in(CARVED_CLASSES)).select(
        "attempt_id",
        "tool_id",
        "cls",
        "knob",
        "value",
        pinned_at="site_id",
        part=pl.int_range(pl.len()).over("attempt_id"),
        parts=pl.len().over("attempt_id").cast(pl.Int64),
    )
    rows = swept.join(whole, left_on="id", right_on="attempt_id", how="left", maintain_order="left")
    return rows.with_columns(cls=_known(), site_id=pl.coalesce("pinned_at", "site_id"), ns=share("ns"))


def _tool(swept: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """The tools' time, in the class of the tool call."""
    asked = parts.filter(pl.col("tool_id").is_not_null() & ~pl.col("cls").is_in(CARVED_CLASSES))
    asked = asked.select("tool_id", "cls", "knob", "value", pinned_at="site_id").unique("tool_id")
    rows = swept.rename({"id": "tool_id"}).join(asked, on="tool_id", how="left", maintain_order="left")
    return rows.with_columns(cls=_known(), site_id=pl.coalesce("pinned_at", "site_id"))


def _known() -> pl.Expr:
    return pl.when(pl.col("cls") == "unknown").then(pl.lit("useful")).otherwise(pl.col("cls").fill_null("useful"))


def _pauses(con: Connection, swept: pl.DataFrame) -> pl.DataFrame:
    """The pauses before retries, with the retries in force."""
    rows = swept.with_columns(cls="state", knob=pl.lit(RETRIES))
    return in_force(rows, load.decisions_in_force(con, [RETRIES], call_ids=rows["call_id"]))
