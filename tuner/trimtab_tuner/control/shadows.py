"""Pairs of answers to the same request: what ``trimtab shadow`` brought, kept.

In: pairs, inside a decision's transaction. Out: rows of ``shadow_pairs``, and those that an experiment may begin with.
Apart from :mod:`.campaigns` because nothing was drawn here: a pair is no run. What was judged by agreement alone warms
nothing up, for agreement is not quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..reads import Row, fetch
from . import rows
from .change import Change

if TYPE_CHECKING:
    import duckdb

AGREEMENT: Final = "agreement"
"""Judge that knows no task."""


def record(change: Change, pairs: Sequence[Row]) -> None:
    """Keep pairs; one that was asked again takes the place of the old one."""
    for pair in pairs:
        change.con.execute(
            "DELETE FROM shadow_pairs WHERE call_id = ? AND model = ? AND judge = ?",
            [pair["call_id"], pair["model"], pair["judge"]],
        )
        rows.insert(change.con, "shadow_pairs", pair | {"asked_by": change.actor.name})
    models = sorted({pair["model"] for pair in pairs})
    change.audit("shadow", "model", ", ".join(models), after={"pairs": len(pairs)})


def warm_pairs(con: duckdb.DuckDBPyConnection, site: str | None, models: Sequence[str]) -> list[Row]:
    """Pairs of ``models`` at a line (None: at all), for an experiment to begin with."""
    sql = """
        SELECT * FROM shadow_pairs
        WHERE judge <> $agreement AND ($site IS NULL OR site_id = $site) AND list_contains($models, model)
        ORDER BY asked_ns, call_id
    """
    return fetch(con, sql, agreement=AGREEMENT, site=site, models=list(models))
