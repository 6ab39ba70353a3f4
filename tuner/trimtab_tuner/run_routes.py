"""Runs: the list, one of them with all that belongs to it, what was in force in it, and where it was lost.

In: requests that passed the gate. Out: the models of :mod:`.models`. Apart from :mod:`.api` because a run is asked for
in many ways: by filters, by a text (:mod:`.search`), whole, or only what a page of it needs.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException

from . import models, paging, reads
from .overview import Which, overview
from .paging import LISTS
from .routing import Desk, page_behind, router
from .search import SEARCHED, runs_with

if TYPE_CHECKING:
    import duckdb

    from trimtab_tracer.store import Store

MOST_PARTS = 200
"""Runs that name another one as theirs, which are listed with it."""

DAY_NS = 86_400 * 10**9

Anything = Annotated[paging.NoParameters, Query()]


def runs(desk: Desk) -> APIRouter:
    """The routes."""
    api = router()

    @api.get("/runs")
    def listed(p: Annotated[paging.RunParameters, Query()]) -> models.RunPage:
        """Runs, newest first."""
        chosen = p.model_dump(exclude={"limit", "cursor", "run", "text"})
        with desk.snapshot() as con:
            if p.text is not None:
                return _searched(con, desk.store, p, chosen)
            rows = reads.runs(con, **chosen, run_ids=p.run, after=p.after, limit=p.limit + 1)
        page = page_behind(models.Run, rows, p, key=("started_ns", "run_id"))
        return models.RunPage(**dict(page))

    @api.get("/overview")
    def all_of_them(p: Annotated[paging.OverviewParameters, Query()]) -> models.Overview:
        """What runs came to, in sum and over time: outcomes, cost, waste, latency, losses; without an analysis."""
        now_ns = time.time_ns()
        with desk.snapshot() as con:
            return overview(con, Which(**p.model_dump()), today_ns=now_ns - now_ns % DAY_NS)

    @api.get("/choices")
    def choices(_: Anything) -> models.Choices:
        """What runs can be chosen by: services, models, and places that made requests."""
        with desk.snapshot() as con:
            row = reads.choices(con)
            sites = reads.sites_named(con, set(row["sites"] or ()))
        return models.Choices(
            services=row["services"] or [], models=row["models"] or [], sites=[models.Place(**s) for s in sites]
        )

    @api.get("/runs/{run_id}")
    def run(run_id: str, p: Annotated[paging.RunDetailParameters, Query()]) -> models.RunDetail:
        """One run with its calls, attempts, tool calls, decisions, outcomes and what was undone after it failed."""
        with desk.snapshot() as con:
            found = _found(con, run_id)
            wanted = [name for name in LISTS if name not in p.leave_out]
            parts: dict[str, list[reads.Row]] = {name: [] for name in LISTS}
            parts |= {name: reads.of_run(con, name, run_id, p.most + 1) for name in wanted}  # type: ignore[arg-type]
            truncated = [name for name, rows in parts.items() if len(rows) > p.most]
            parts = {name: rows[: p.most] for name, rows in parts.items()}
            sites = reads.sites_named(con, reads.site_ids(found, *parts.values()))
            agents, inner = reads.agents_of_run(con, run_id), reads.parts_of_run(con, run_id, MOST_PARTS)
        said = {"run": found[0], **parts, "sites": sites, "agents": agents, "parts": inner, "truncated": truncated}
        return models.RunDetail.model_validate(said)

    @api.get("/runs/{run_id}/settings")
    def settings(run_id: str, _: Anything) -> models.Settings:
        """What was in force in a run: each knob and value once, with the number of calls that it held for."""
        with desk.snapshot() as con:
            _found(con, run_id)
            rows = reads.settings_of_run(con, run_id)
            sites = reads.sites_named(con, reads.site_ids(rows))
        return models.Settings.model_validate({"items": rows, "sites": sites})

    @api.get("/runs/{run_id}/blame")
    def blamed(run_id: str, _: Anything) -> models.Blame:
        """Where a failed run may have been lost: its steps as a ranked set, judged by what this run alone shows.

        Rules that compare runs say nothing here; `/v1/pins?run=` has them, and takes as long as an analysis of all.
        """
        from trimtab_analyzer.blame import blame  # brings polars
        from trimtab_analyzer.case import Case

        with desk.snapshot() as con:
            _found(con, run_id)
            steps = blame(con, [run_id], case=Case.load(con, [run_id]), content_dir=desk.store.content_dir)
            items = [_step(step) for step in steps]
            sites = reads.sites_named(con, reads.site_ids(items))
        return models.Blame.model_validate({"items": items, "sites": sites})

    return api


def _found(con: duckdb.DuckDBPyConnection, run_id: str) -> list[reads.Row]:
    found = reads.runs(con, run_ids=[run_id], limit=1)
    if not found:
        raise HTTPException(404, f"There is no run {run_id!r}; /v1/runs lists them.")
    return found


def _step(step: Any) -> dict[str, Any]:
    names = ("rank", "share", "step", "agent", "call_id", "tool_ids", "modes", "knob", "site_id", "evidence")
    value = None if step.value is None else json.loads(step.value)
    return {name: getattr(step, name) for name in names} | {"value": value}


def _searched(
    con: duckdb.DuckDBPyConnection, store: Store, p: paging.RunParameters, chosen: dict[str, Any]
) -> models.RunPage:
    """Those of the next :data:`SEARCHED` runs that hold the text; ``next`` goes on behind the last that was shown, or
    behind the last that was looked through."""
    rows = reads.runs(con, **chosen, run_ids=p.run, after=p.after, limit=SEARCHED + 1)
    looked = rows[:SEARCHED]
    holding = runs_with(store, [row["run_id"] for row in looked], p.text or "")
    hits = [row for row in looked if row["run_id"] in holding]
    shown, is_over = hits[: p.limit], len(rows) <= SEARCHED
    last = shown[-1] if len(hits) > p.limit else None if is_over else looked[-1]
    following = None if last is None else paging.encode(last["started_ns"], last["run_id"])
    items = [models.Run.model_validate(row) for row in shown]
    return models.RunPage(items=items, total=None, next=following, searched=len(looked))
