"""The sidecar's HTTP API, version 1: the application, its reads of the store, and records in from ``trimtab import``.

In: HTTP requests that passed :mod:`.gate`. Out: the models of :mod:`.models`; errors as problem documents. All work on
DuckDB happens in plain functions, which FastAPI runs in its thread pool, each request with a cursor of its own inside
one transaction, so that the parts of an answer fit together. What decides about the running agents is in
:mod:`.policy_routes` and :mod:`.control_routes`; here the only write is ``POST /v1/import``; it takes the sidecar's
write lock, because two transactions that upsert the same rows would fail each other.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

import duckdb
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.exceptions import HTTPException

from trimtab_tracer import __version__
from trimtab_tracer.content import read as read_content
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import SCHEMA_VERSION, Record, from_dict, kind_of

from . import (
    bodies,
    control_routes,
    harness_routes,
    models,
    paging,
    policy_routes,
    reads,
    run_routes,
    session_routes,
    setup_routes,
    table_routes,
    tuning_routes,
)
from .computed import Computed
from .paging import MAX_LIMIT
from .routing import Backend, application, page_at, page_behind, router

MAX_BODY_BYTES = 64 << 20
"""Largest body of an import; clients split what is larger."""


def create_app(backend: Backend) -> FastAPI:
    """The application, not yet behind its gate. The OpenAPI document alone needs no backend."""
    computed = Computed(backend, PriceList(backend.settings.prices))
    return application(
        [
            _about(backend),
            _traffic(backend),
            run_routes.runs(backend),
            _results(backend, computed),
            harness_routes.harness(computed),
            table_routes.tables(backend),
            setup_routes.setup(backend),
            *policy_routes.routers(backend, backend.policy_key),
            *control_routes.routers(backend),
            *tuning_routes.routers(backend),
            session_routes.sessions(backend.keys.write),
            _imports(backend, computed),
        ]
    )


def _about(backend: Backend) -> APIRouter:
    api = router(is_open=True)

    @api.get("/health")
    def health(_: Annotated[paging.NoParameters, Query()]) -> models.Health:
        """Whether the sidecar works. Needs no token and holds no data."""
        return backend.health()

    return api


def _traffic(backend: Backend) -> APIRouter:
    api = router()

    @api.get("/version")
    def version(_: Annotated[paging.NoParameters, Query()]) -> models.Version:
        """Versions of the program, the record shapes and the store."""
        with backend.snapshot() as con:
            rows = reads.fetch(con, "SELECT name FROM migrations ORDER BY name")
        names = [row["name"] for row in rows]
        return models.Version(version=__version__, record_schema=SCHEMA_VERSION, migrations=names)

    @api.get("/calls")
    def calls(p: Annotated[paging.CallParameters, Query()]) -> models.Page[models.Call]:
        """Logical calls, newest first."""
        chosen = p.model_dump(exclude={"limit", "cursor", "run"})
        with backend.snapshot() as con:
            rows = reads.calls(con, **chosen, run_id=p.run, after=p.after, limit=p.limit + 1)
        return page_behind(models.Call, rows, p, key=("started_ns", "call_id"))

    @api.get("/calls/{call_id}")
    def call(call_id: str, _: Annotated[paging.NoParameters, Query()]) -> models.CallDetail:
        """One call with its attempts, tool calls, decisions and kept content."""
        with backend.snapshot() as con:
            found = reads.calls(con, call_id=call_id, limit=1)
            if not found:
                raise HTTPException(404, f"There is no call {call_id!r}; /v1/calls lists them.")
            parts = {
                table: reads.of_call(con, table, call_id, MAX_LIMIT)
                for table in ("attempts", "tool_calls", "decisions")
            }
            sites = reads.sites_named(con, reads.site_ids(found, *parts.values()))
        content = _texts(backend, call_id)
        return models.CallDetail.model_validate({"call": found[0], **parts, "sites": sites, "content": content})

    return api


def _results(backend: Backend, computed: Computed) -> APIRouter:
    api = router()

    @api.get("/sites")
    def sites(p: Annotated[paging.SiteParameters, Query()]) -> models.Page[models.Site]:
        """Places in the user's code, the most expensive first."""
        with backend.snapshot() as con:
            rows = reads.sites(con, site=p.site, service=p.service, limit=p.limit, offset=p.offset)
        return page_at(models.Site, rows, p)

    @api.get("/findings")
    def findings(p: Annotated[paging.FindingParameters, Query()]) -> models.Page[models.Finding]:
        """Findings with the line of code each is pinned to: open ones first, what lost most runs and money on top."""
        with backend.snapshot() as con:
            rows = reads.findings(con, **p.model_dump(exclude={"cursor"}), offset=p.offset)
        return page_at(models.Finding, rows, p)

    @api.get("/pins")
    def pins(p: Annotated[paging.ReportParameters, Query()]) -> dict[str, Any]:
        """What `trimtab findings --json` prints: findings with every place they hit, and the blame of failed runs."""
        try:
            return computed.pins(p.run)
        except LookupError:
            raise HTTPException(404, f"There is no run {p.run!r}; /v1/runs lists them.") from None

    @api.get("/ledger")
    def ledger(p: Annotated[paging.LedgerParameters, Query()]) -> models.Ledger:
        """Where the money went: every part of every attempt's cost in exactly one class."""
        try:
            return computed.ledger(p)
        except LookupError:
            raise HTTPException(404, f"There is no run {p.run!r}; /v1/runs lists them.") from None

    @api.get("/waste")
    def waste(p: Annotated[paging.WasteParameters, Query()]) -> dict[str, Any]:
        """What `trimtab waste --json` prints: money, tokens and time by class and pin."""
        try:
            return computed.waste(p.by, p.run)
        except LookupError:
            raise HTTPException(404, f"There is no run {p.run!r}; /v1/runs lists them.") from None

    @api.get("/losses")
    def losses(p: Annotated[paging.PageParameters, Query()]) -> models.Page[models.Loss]:
        """Records that could not be kept, counted exactly."""
        with backend.snapshot() as con:
            rows = reads.losses(con, limit=p.limit, offset=p.offset)
        return page_at(models.Loss, rows, p)

    @api.get("/report")
    def report(p: Annotated[paging.ReportParameters, Query()]) -> dict[str, Any]:
        """What `trimtab report --json` prints."""
        try:
            return computed.report(p.run, p.since_ns, p.until_ns)
        except LookupError:
            raise HTTPException(404, f"There is no run {p.run!r}; /v1/runs lists them.") from None

    return api


async def _lines(request: Request) -> bytes:
    return await bodies.bounded(request, MAX_BODY_BYTES, "send it in several requests")


def _imports(backend: Backend, computed: Computed) -> APIRouter:
    api = router()
    lines = {"requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}

    @api.post("/import", openapi_extra=lines)
    def take(
        p: Annotated[paging.ImportParameters, Query()], body: Annotated[bytes, Depends(_lines)]
    ) -> models.Imported:
        """Take records, one JSON object per line. The same ones again change nothing; one bad line refuses all."""
        records = _parse(body)
        try:
            backend.take(records, p.replace)
            computed.forget()
        except (ValueError, TypeError, OverflowError, duckdb.DataError, duckdb.IntegrityError) as error:
            raise HTTPException(400, f"A record does not fit the store: {error}. Nothing was imported.") from None
        kinds = Counter(kind_of(type(record)) for record in records)
        return models.Imported(records=len(records), by_kind=dict(sorted(kinds.items())))

    return api


def _parse(body: bytes) -> list[Record]:
    records = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError(f"expected a JSON object, got {type(data).__name__}")
            records.append(from_dict(data))
        except (ValueError, TypeError) as error:
            detail = f"Line {number} is no record: {error}. Nothing was imported; `trimtab import` writes such lines."
            raise HTTPException(400, detail) from None
    return records


def _texts(backend: Backend, call_id: str) -> list[dict[str, Any]]:
    """Kept texts of a call."""
    try:
        return read_content(backend.store, backend.settings.content_dir, call_id)
    except FileNotFoundError:  # the collector has just joined small files into one: the index names that one now
        return read_content(backend.store, backend.settings.content_dir, call_id)
