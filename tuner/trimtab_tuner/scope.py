"""Which runs an answer about many runs looks at, so that no answer takes longer the longer a store grows.

In: filters. Out: the newest runs that fit, as many as hold :data:`MOST_CALLS` calls, and how many fit. Every number of
such an answer is about these runs alone, and the answer says so. A module of its own because several answers are kept
for the same runs, and none of them may quietly take others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import reads

if TYPE_CHECKING:
    import duckdb

MOST_CALLS: Final = 50_000
"""Calls of the runs that are looked at: their ledger takes a few seconds. The last run taken is taken whole."""


class Chosen(NamedTuple):
    """The runs that an answer is about."""

    run_ids: list[str]
    """Oldest first."""
    of_runs: int
    first_ns: int | None
    last_ns: int | None

    def as_json(self) -> dict[str, Any]:
        """As :class:`~.harness_models.Scope`."""
        return {"runs": len(self.run_ids), "of_runs": self.of_runs, "first_ns": self.first_ns, "last_ns": self.last_ns}


def chosen(
    con: duckdb.DuckDBPyConnection,
    *,
    service: str | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> Chosen:
    """The runs that fit."""
    filters = {"service": service, "since_ns": since_ns, "until_ns": until_ns}
    (row,) = reads.fetch(con, reads.statement("chosen_runs"), **filters, most=MOST_CALLS)
    return Chosen(row["run_ids"] or [], row["runs"], row["first_ns"], row["last_ns"])
