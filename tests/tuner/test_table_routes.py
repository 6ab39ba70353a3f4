"""``GET /v1/tables/{table}``: whole tables as Parquet, for those who have the token."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import get_args

import httpx
import polars as pl
import pytest

from trimtab_tracer.records import GenAiSpan, Record
from trimtab_tracer.spool import SpoolWriter
from trimtab_tuner.export.parquet import TABLES
from trimtab_tuner.table_routes import Table

pytestmark = pytest.mark.usefixtures("unanalysed")


def flat(union: object) -> set[str]:
    """The texts of nested literals."""
    return {one for each in get_args(union) for one in (flat(each) if get_args(each) else {each})}


def test_every_table_is_a_file(api: httpx.Client, spool: SpoolWriter, some_run: Callable[..., list[Record]]) -> None:
    """Each table is served, filters choose runs and what belongs to them, and the export writes all of them."""
    told = GenAiSpan("e" * 32, "f" * 16, "r002", "p1", "agent", "invoke_agent", "shop", 0, 1, "framework")
    for record in (*some_run(1), told, *some_run(2)):
        spool.write(record)
    spool.close()
    while api.get("/v1/runs").json()["total"] < 2:
        pass
    assert flat(Table) == {*TABLES, "content"}
    frames = {
        table: pl.read_parquet(io.BytesIO(api.get(f"/v1/tables/{table}", params={"run": "r002"}).content))
        for table in flat(Table)
    }
    assert {"r002"} == {run for name in ("runs", "calls", "attempts", "content") for run in frames[name]["run_id"]}
    assert [("f" * 16, "r002")] == frames["gen_ai_spans"].select("span_id", "run_id").rows()
    assert 1 == frames["sites"].height
    since = {"since_ns": int(frames["runs"]["started_ns"][0])}
    assert ["r002"] == pl.read_parquet(io.BytesIO(api.get("/v1/tables/runs", params=since).content))["run_id"].to_list()


def test_what_is_refused(api: httpx.Client) -> None:
    """Another table, an unknown parameter and a missing token."""
    assert 422 == api.get("/v1/tables/secrets").status_code
    assert 400 == api.get("/v1/tables/runs", params={"nope": 1}).status_code
    assert 401 == api.get("/v1/tables/runs", headers={"Authorization": ""}).status_code
