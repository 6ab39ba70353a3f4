"""A table of runs, whatever file or store it came from, in the one shape that all comparisons take.

In: a CSV, Parquet or JSON-lines file, or the runs of a store, and which column is what. Out: a :class:`Table`. A row is
a run, or, with a column of counts (``n``), that many runs of which only the mean is known. Values that can't be used
are left out, counted, and told in ``notes``; a column that can't be used at all is a :class:`~.columns.ColumnError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from ..ask import Connection
from ..effects import TRUSTED, read_runs, read_units
from ..statistics import Floats, Ints, codes
from .columns import NEVER_RAN, ColumnError, assigned

MEASURES: Final = ("success", "cost", "latency")
"""What is compared: share of successes, USD per run, seconds per run."""
ROLES: Final = ("harness", "model", "task")
"""Parts that rows may differ in by name; other factors go by their column."""
_YES: Final = ("true", "yes", "pass", "passed", "success", "resolved", "1", "1.0")
_NO: Final = ("false", "no", "fail", "failed", "failure", "unresolved", "0", "0.0")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Runs with their factors and measures. All arrays have one entry per row."""

    source: str
    factors: dict[str, Ints]
    """Level of each factor, in the order asked for."""
    levels: dict[str, tuple[str, ...]]
    """Names of the levels."""
    measures: dict[str, Floats]
    """``success`` in [0, 1], ``cost`` in USD, ``latency`` in seconds, as far as there; NaN where unknown."""
    trials: Ints
    """Runs that a row stands for."""
    started: np.ndarray | None
    """Whether the agent made a call at all; None where that is not known."""
    columns: dict[str, str]
    """Which column plays which part."""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def is_aggregate(self) -> bool:
        """Rows stand for several runs."""
        return bool((self.trials > 1).any())

    def clusters(self) -> Ints:
        """What may depend on each other: rows of one task, where there are enough tasks, else each row for itself."""
        task = self.factors.get("task")
        if task is not None and len(self.levels["task"]) >= LEAST_TASKS:
            return task
        return np.arange(len(self.trials))


LEAST_TASKS: Final = 10
"""Tasks from which on intervals are about other tasks like these, not only about other runs of these."""


def read_file(path: Path) -> pl.DataFrame:
    """The rows of a CSV, TSV, Parquet or JSON-lines file.

    Raises:
        ColumnError: it is of no known form or can't be read.
    """
    readers = {
        ".csv": lambda: pl.read_csv(path, infer_schema_length=None),
        ".tsv": lambda: pl.read_csv(path, infer_schema_length=None, separator="\t"),
        ".parquet": lambda: pl.read_parquet(path),
        ".jsonl": lambda: pl.read_ndjson(path, infer_schema_length=None),
        ".ndjson": lambda: pl.read_ndjson(path, infer_schema_length=None),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ColumnError(f"{path}: expected a file that ends in {', '.join(readers)}, or a store (.duckdb).")
    try:
        frame = reader()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ColumnError(f"{path}: can't be read as {path.suffix[1:]}: {str(error).splitlines()[0]}") from None
    if not frame.height:
        raise ColumnError(f"{path}: holds no rows; there is nothing to compare.")
    return frame


def read_store(con: Connection, knobs: Sequence[str] = (), sources: Sequence[str] = TRUSTED) -> pl.DataFrame:
    """The ended runs of a store: those of :data:`~..effects.units.RUNS`, and ``knob:NAME`` for each of ``knobs``.

    A run around other runs is one row, with all that was spent in it (``whole``). A knob's column holds the JSON
    text of the value that the run got of it, itself or in a run inside it; ``mixed`` where it got several.
    """
    every = read_runs(con, sources).rename({"site_id": "site"})
    frame = every.filter(pl.col("whole") == pl.col("run_id")).drop("whole")
    rows = read_units(con, sources, knobs).rows if knobs else pl.DataFrame()  # decisions are the bulk of a store
    for knob in knobs:
        of_run = (
            rows.filter(pl.col("knob") == knob)
            .join(every.select("run_id", "whole"), on="run_id")
            .group_by(run_id="whole")
            .agg(
                pl.when((pl.col("value").n_unique() == 1) & (pl.col("value").null_count() == 0))
                .then(pl.col("value").first())
                .otherwise(pl.lit("mixed"))
                .alias(f"knob:{knob}")
            )
        )
        frame = frame.join(of_run, on="run_id", how="left")
    if not frame.height:
        raise ColumnError("The store holds no ended run; run an agent, or bring runs in with `trimtab import`.")
    return frame


def as_table(
    frame: pl.DataFrame, named: Mapping[str, str | None], by: Sequence[str] | None = None, source: str = "the table"
) -> Table:
    """The table of these rows.

    Args:
        frame: one row per run, or per group of ``n`` runs.
        named: column of ``harness``, ``model``, ``task``, ``success``, ``cost``, ``total_cost``, ``latency``, ``n`` and
            ``started``; None or left out where it is to be guessed.
        by: factors: ``harness``, ``model``, ``task``, or columns; None for all of the three that are there.
        source: what to call the table in errors.

    Raises:
        ColumnError: a column is missing or can't be used, or there is no factor or no measure.
    """
    columns = assigned(frame.columns, named, source)
    factors = _factors(frame, columns, by, source)
    notes: list[str] = []
    trials = _trials(frame, columns)
    started = _started(frame, columns)
    measures = {}
    if named.get("success") is None and "success" in columns and not frame[columns["success"]].count():
        notes.append(f"No row has a {columns.pop('success')}, so success is not compared.")
    if "success" in columns:
        measures["success"] = _success(frame, columns["success"], notes)
    if "cost" in columns or "total_cost" in columns:
        cost = _amount(frame, columns, "cost", trials)
        measures["cost"] = _priced(cost, trials, started, measures.get("success"), notes)
    if "latency" in columns:
        measures["latency"] = _positive(_amount(frame, columns, "latency", trials), "latency", notes)
    if not measures:
        raise ColumnError.nothing("success, cost and latency", MEASURES, frame.columns, source)
    levels = {name: tuple(sorted({str(one) for one in values})) for name, values in factors.items()}
    kept = {name: codes([str(one) for one in values]) for name, values in factors.items()}
    return Table(source, kept, levels, measures, trials, started, columns, notes)


def _factors(
    frame: pl.DataFrame, columns: dict[str, str], by: Sequence[str] | None, source: str
) -> dict[str, list[object]]:
    asked = list(by) if by is not None else [role for role in ROLES if role in columns]
    found: dict[str, list[object]] = {}
    for name in asked:
        column = columns.get(name) if name in ROLES else name
        if column is None:
            raise ColumnError.nothing(f"a column for {name}", (name,), frame.columns, source)
        if column not in frame.columns:
            raise ColumnError.missing("by", column, [*ROLES, *frame.columns], source)
        role = next((r for r in ROLES if columns.get(r) == column), name)
        found[role] = (
            frame[column].fill_null("unknown").to_list()
            if frame[column].dtype == pl.String
            else ["unknown" if one is None else one for one in frame[column].to_list()]
        )
    if not found:
        raise ColumnError.nothing("harness, model and task", ROLES, frame.columns, source)
    return found


def _trials(frame: pl.DataFrame, columns: dict[str, str]) -> Ints:
    if "n" not in columns:
        return np.ones(frame.height, dtype=np.int64)
    counts = frame[columns["n"]].cast(pl.Float64, strict=False)
    if counts.null_count() or bool((counts < 1).any()):
        raise ColumnError.unusable(
            "n", columns["n"], "empty cells or numbers below 1", "the number of runs of each row"
        )
    return counts.round().cast(pl.Int64).to_numpy()


def _started(frame: pl.DataFrame, columns: dict[str, str]) -> np.ndarray | None:
    if "started" in columns:
        return np.asarray(_yes_or_no(frame, columns["started"], "started").fill_null(1.0).to_numpy() > 0)
    for name in NEVER_RAN:
        if name in frame.columns and frame[name].dtype.is_numeric():
            return np.asarray(frame[name].fill_null(1).to_numpy() > 0)
    return None


def _yes_or_no(frame: pl.DataFrame, name: str, part: str) -> pl.Series:
    """Numbers; 1 and 0 for what says yes or no."""
    column = frame[name]
    if column.dtype == pl.Boolean or column.dtype.is_numeric():
        return column.cast(pl.Float64)
    text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    seen = set(text.drop_nulls().to_list())
    if odd := sorted(seen - {*_YES, *_NO, ""}):
        raise ColumnError.unusable(part, name, ", ".join(repr(o) for o in odd[:3]), "true and false, or numbers")
    return text.replace_strict({**dict.fromkeys(_YES, 1.0), **dict.fromkeys(_NO, 0.0)}, default=None)


def _success(frame: pl.DataFrame, name: str, notes: list[str]) -> Floats:
    values = _yes_or_no(frame, name, "success")
    known = values.drop_nulls().to_numpy()
    if not len(known):
        raise ColumnError.unusable("success", name, "nothing but empty cells", "true and false, or shares")
    least, most = float(known.min()), float(known.max())
    if least < 0 or most > 100:
        raise ColumnError.unusable("success", name, f"{least:g} to {most:g}", "shares from 0 to 1, or per cent")
    if most > 1:
        values = values / 100
        notes.append(f"{name} goes up to {most:g}, so it is read as per cent.")
    if empty := values.null_count():
        notes.append(f"{empty} of {frame.height} rows have no {name}; they are left out where success is compared.")
    return values.to_numpy().astype(np.float64)


def _amount(frame: pl.DataFrame, columns: dict[str, str], part: str, trials: Ints) -> Floats:
    """The numbers as they stand there, per run; NaN where there is none."""
    is_total = part == "cost" and "total_cost" in columns
    column = frame[columns["total_cost" if is_total else part]]
    if column.dtype.is_nested():
        odd = column
    else:
        odd = column.filter(column.is_not_null() & column.cast(pl.Float64, strict=False).is_null())
    if len(odd):
        seen = ", ".join(repr(one) for one in odd.unique(maintain_order=True).head(3))
        option = "total-cost" if is_total else part
        raise ColumnError.unusable(option, column.name, seen, "numbers alone")
    values = np.array(column.cast(pl.Float64).to_numpy(), dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return np.asarray(values / trials if is_total else values)


def _priced(cost: Floats, trials: Ints, started: np.ndarray | None, success: Floats | None, notes: list[str]) -> Floats:
    """``cost`` with 0 for runs that never started, and NaN for any other 0.

    A run that made calls costs something, and none succeeds without a call: a 0 of such a run is unknown. One that
    never started cost nothing, also where nobody wrote that down; to leave it out would make a harness look good that
    often fails that way. Where the table does not say which runs started, single runs that failed at a cost of 0 are
    taken as such.
    """
    hits = np.full(len(cost), np.nan) if success is None else success
    if started is None:
        free = (hits == 0) & (trials == 1) & (cost == 0)
        hint = "; where that is wrong, name a column of calls or such with --started"
    else:
        free = ~(hits > 0) & ~started & ~(cost > 0)
        hint = ""
    if free.any():
        notes.append(f"{int(free.sum())} rows are of runs that never started and cost nothing; they count as 0{hint}.")
    return np.where(free, 0.0, _positive(np.where(free, 1.0, cost), "cost", notes))


def _positive(values: Floats, part: str, notes: list[str]) -> Floats:
    """NaN for what can't be; what is unknown is told."""
    nothing = values <= 0
    if nothing.any():
        notes.append(f"{int(nothing.sum())} rows have a {part} of 0 or less though they ran; it is taken as unknown.")
    if missing := int(np.isnan(values).sum()):
        notes.append(f"{missing} of {len(values)} rows have no {part}.")
    return np.where(nothing, np.nan, values)
