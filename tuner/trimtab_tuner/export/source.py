"""What is exported, read in portions: finished runs with everything that belongs to them.

In: a client of the sidecar or of the home, and which runs. Out: one :class:`Portion` of at most :data:`RUNS_AT_ONCE`
runs at a time, so that a store of any size fits. Rows are mappings by column name, as the store has them.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

    from ..client import Client

RUNS_AT_ONCE = 100
"""Runs of one portion: their ids are in one request's address."""
PARTS = ("calls", "attempts", "tool_calls", "decisions", "outcomes", "spans")

Row = dict[str, Any]


class Range(NamedTuple):
    """Which runs: all of them, those that began in a span of time, or one."""

    since_ns: int | None = None
    until_ns: int | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Some runs, and the rows that belong to each by its id."""

    runs: list[Row]
    parts: dict[str, dict[str, list[Row]]]

    def of(self, part: str, run_id: str) -> list[Row]:
        """Rows of one table that belong to a run."""
        return self.parts[part].get(run_id, [])


class Source:
    """Reads the store through its API.

    Args:
        client: Of the sidecar, or of the home.
        chosen: Which runs.
        content: Whether kept texts are read as well.
    """

    def __init__(self, client: Client, chosen: Range, content: bool = False) -> None:
        self._client = client
        self._chosen = chosen
        self._parts = (*PARTS, "content") if content else PARTS

    @cached_property
    def sites(self) -> dict[str, Row]:
        """Every site by its id."""
        return {row["site_id"]: row for row in self._rows("sites")}

    @cached_property
    def processes(self) -> dict[str, Row]:
        """Every process by its id."""
        return {row["process_id"]: row for row in self._rows("processes")}

    @cached_property
    def _all_runs(self) -> list[Row]:
        return self._rows("runs")

    @cached_property
    def parents(self) -> dict[str, str | None]:
        """The run that each run is told as a part of, also of runs that are not exported.

        A rebuilt run is part of none: its process may go on for weeks and hold the tasks of everybody.
        """
        return {r["run_id"]: None if r["origin"] == "rebuilt" else r["parent_run_id"] for r in self._all_runs}

    @cached_property
    def running(self) -> int:
        """How many of the chosen runs have not ended yet; they are left for a later export."""
        return sum(row["ended_ns"] is None for row in self._wanted())

    def portions(self) -> Iterator[Portion]:
        """The finished runs, oldest first."""
        finished = [row for row in self._wanted() if row["ended_ns"] is not None]
        finished.sort(key=lambda row: (row["started_ns"], row["run_id"]))
        for start in range(0, len(finished), RUNS_AT_ONCE):
            runs = finished[start : start + RUNS_AT_ONCE]
            ids = [row["run_id"] for row in runs]
            yield Portion(runs, {part: _by_run(self._rows(part, ids)) for part in self._parts})

    def _wanted(self) -> list[Row]:
        since_ns, until_ns, run_id = self._chosen
        return [
            row
            for row in self._all_runs
            if (run_id is None or row["run_id"] == run_id)
            and (since_ns is None or row["started_ns"] >= since_ns)
            and (until_ns is None or row["started_ns"] < until_ns)
        ]

    def _rows(self, table: str, runs: Sequence[str] | None = None) -> list[Row]:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        found: pa.Table = pq.read_table(io.BytesIO(self._client.table(table, run=runs)))
        rows: list[Row] = found.to_pylist()
        for row in rows:
            for name in ("params", "attributes", "value"):
                if isinstance(row.get(name), str):
                    row[name] = json.loads(row[name])
        return rows


def _by_run(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["run_id"]].append(row)
    return found
