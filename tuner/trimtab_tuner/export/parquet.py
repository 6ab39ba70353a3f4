"""Writes the store's tables into a folder, one Parquet file each, for DuckDB, polars, pandas and everything else.

In: a client of the sidecar or of the home, and which runs. Out: ``<folder>/<table>.parquet``, each complete or absent,
with the store's own columns (docs/export.md). Files of an earlier export are replaced; others in the folder are left.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab_tracer.errors import TrimtabError

from .source import Range

if TYPE_CHECKING:
    from ..client import Client

TABLES = (
    *("runs", "calls", "call_places", "attempts", "tool_calls", "tool_requests", "tool_results", "decisions"),
    *("outcomes", "inferred_outcomes", "sagas", "saga_steps", "spans", "gen_ai_spans"),
    *("processes", "sites", "findings", "recommendations", "experiments", "policy_versions", "audit", "losses"),
)
"""What is written, in this order; ``content`` comes behind them where texts are asked for."""


def write(
    client: Client,
    folder: Path,
    chosen: Range,
    content: bool,
    on_table: Callable[[str], None] = lambda name: None,
) -> dict[str, int]:
    """Write every table; returns the bytes of each file by the table's name, and tells ``on_table`` of each.

    Raises:
        TrimtabError: the folder can't be written.
    """
    sizes: dict[str, int] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for table in (*TABLES, *(("content",) if content else ())):
            given = {"since_ns": chosen.since_ns, "until_ns": chosen.until_ns, "run": chosen.run_id}
            data = client.table(table, **given)
            aside = folder / f".{table}.parquet.new"
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            aside.replace(folder / f"{table}.parquet")
            sizes[table] = len(data)
            on_table(table)
    except OSError as error:
        where = getattr(error, "filename", None) or folder
        raise TrimtabError(
            f"{where}: can't be written: {error.strerror or error}; name a folder that is yours, on a disk with space."
        ) from None
    return sizes
