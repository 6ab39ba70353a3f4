"""Whole tables of the store as Parquet files, for ``trimtab export`` and for any program that reads columns.

In: a table's name, and which runs. Out: one Parquet file, made by DuckDB in a temporary folder and streamed from there,
so that a table of any size costs this process no memory. Columns are those of the store (``migrations/*.sql``).
Apart from :mod:`.api`, whose answers are JSON and come in pages; the same routes answer where no sidecar runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from .paging import MAX_IDS, NoParameters
from .routing import Desk, router

OfRuns = Literal[
    "runs",
    "calls",
    "attempts",
    "tool_calls",
    "tool_requests",
    "call_places",
    "decisions",
    "outcomes",
    "inferred_outcomes",
    "sagas",
    "saga_steps",
    "spans",
    "gen_ai_spans",
]
"""Tables with a column ``run_id``."""
Others = Literal[
    "processes", "sites", "findings", "recommendations", "experiments", "policy_versions", "audit", "losses"
]
"""Tables that belong to no run; they are always whole."""
Table = Literal[OfRuns, Others, "tool_results", "content"]
MEDIA_TYPE = "application/vnd.apache.parquet"
_RUNS = "run_id IN (SELECT run_id FROM runs WHERE {})"
_OF_ATTEMPTS = f"attempt_id IN (SELECT attempt_id FROM attempts WHERE {_RUNS})"
"""A result names the request that carried it, and that its run."""


class TableParameters(NoParameters):
    """Which runs' rows; tables that belong to no run are always whole."""

    run: list[str] | None = Field(None, max_length=MAX_IDS, description="Id of a run; repeat it for several runs")
    since_ns: int | None = Field(None, ge=0, description="Only runs that began at or after this time")
    until_ns: int | None = Field(None, ge=0, description="Only runs that began before this time")


def tables(desk: Desk) -> APIRouter:
    """The routes."""
    api = router()
    answer: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "A Parquet file",
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    }

    @api.get("/tables/{table}", response_class=FileResponse, responses=answer)
    def table(table: Table, p: Annotated[TableParameters, Query()]) -> FileResponse:
        """One table of the store as a Parquet file; `content` holds the kept texts."""
        folder = tempfile.TemporaryDirectory(prefix="trimtab-table-")
        path = Path(folder.name) / f"{table}.parquet"
        statement = _content(desk) if table == "content" else f"SELECT * FROM {table}"
        where, values = _filter(table, p)
        try:
            with desk.snapshot() as con:
                # A text of our own: DuckDB takes no parameter for the name of a file.
                target = str(path).replace("'", "''")
                con.execute(f"COPY ({statement}{where}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)", values)
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(path, media_type=MEDIA_TYPE, background=BackgroundTask(folder.cleanup))

    return api


def _filter(table: str, p: TableParameters) -> tuple[str, dict[str, object]]:
    """The condition on a table's rows, and its parameters."""
    given: dict[str, object] = {"run": p.run, "since_ns": p.since_ns, "until_ns": p.until_ns}
    texts = {
        "run": "list_contains($run, run_id)",
        "since_ns": "started_ns >= $since_ns",
        "until_ns": "started_ns < $until_ns",
    }
    values = {name: value for name, value in given.items() if value is not None}
    if not values or table in get_args(Others):
        return "", {}
    of_runs = _OF_ATTEMPTS if table == "tool_results" else _RUNS
    return f" WHERE {of_runs.format(' AND '.join(texts[name] for name in values))}", values


def _content(desk: Desk) -> str:
    """Texts beside their index; those whose file is gone are left out, and so is what a file holds beyond the index."""
    files = sorted(desk.store.content_dir.glob("*.parquet")) if desk.store.content_dir.is_dir() else []
    if not files:
        return "SELECT attempt_id, role, call_id, run_id, recorded_ns, NULL::VARCHAR AS body FROM content WHERE false"
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return (
        "SELECT * FROM (SELECT c.attempt_id, c.role, c.call_id, c.run_id, c.recorded_ns, t.body FROM content c"
        f" JOIN read_parquet([{names}], filename = true) t ON t.attempt_id = c.attempt_id AND t.role = c.role"
        " AND parse_filename(t.filename) = c.segment)"
    )
