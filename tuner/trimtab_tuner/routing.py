"""What all route modules are made with: what stands behind them, their router, and the pages they answer with.

In: the parts of a running sidecar, or of a home that none serves. Out: routers on which every route takes strict bodies
(:mod:`.bodies`), names the problems it may answer with and asks for the token in the OpenAPI document; the gate has
checked it before. Apart from :mod:`.api` because that imports the route modules, and they need this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import duckdb
from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import HTTPBearer

from trimtab_tracer import __version__
from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

from . import models, paging, problems, reads
from .bodies import BodyRoute
from .control import Control
from .gate import Keys
from .waiting import Bell

Item = TypeVar("Item", bound=models.Answer)

PROBLEMS = {
    400: "Unknown parameter or field, bad cursor, or no JSON; nothing was done",
    401: "No token or a wrong one",
    403: "The token does not reach so far, or a page of another origin asks",
    404: "There is no such thing",
    421: "The Host header names someone else",
    422: "A value can't be used",
    503: "The store can't do this now",
}
"""What any route may answer with."""
CONFLICT = {409: "Somebody was quicker; nothing was done"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What decisions and the reads beside them need."""

    store: Store
    control: Control
    bell: Bell = field(default_factory=Bell)
    """Rung after every decision."""
    told: Callable[[], None] = lambda: None
    """Called after an outcome came in, which the next analysis should know of."""

    @contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that sees one state of the store."""
        con = self.store.cursor()
        try:
            con.begin()
            yield con
        finally:
            con.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Desk):
    """What all routes together need from the sidecar."""

    settings: Settings
    keys: Keys
    policy_key: str
    """Signs the policy for agents that fetch it."""
    health: Callable[[], models.Health]
    take: Callable[[list[Record], Sequence[str]], None]
    """Ingest records, in place of what is there of these runs; returns when they are committed."""


def application(routers: Iterable[APIRouter]) -> FastAPI:
    """An application of these routes, with errors as problem documents, not yet behind a gate."""
    app = FastAPI(
        title="trimtab sidecar",
        version=__version__,
        description="What the agents on this machine do, what it costs, and what they are told to do. See docs/api.md.",
        docs_url=None,  # these pages load scripts from a CDN; nothing here may reach out
        redoc_url=None,
    )
    problems.install(app)
    for each in routers:
        app.include_router(each)
    return app


def router(*, is_open: bool = False, may_conflict: bool = False) -> APIRouter:
    """A router below ``/v1``.

    Args:
        is_open: Whether its routes need no token.
        may_conflict: Whether its routes carry the version that the caller saw.
    """
    said = PROBLEMS | (CONFLICT if may_conflict else {})
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {problems.MEDIA_TYPE: {"schema": models.Problem.model_json_schema()}}}
        for status, text in sorted(said.items())
    }
    documented = [] if is_open else [Depends(HTTPBearer(auto_error=False, description="The home's `token` file"))]
    return APIRouter(prefix="/v1", responses=refusals, dependencies=documented, route_class=BodyRoute)


def page_behind(
    model: type[Item], rows: list[reads.Row], p: paging.PageParameters, *, key: tuple[str, str]
) -> models.Page[Item]:
    """A page of a list that continues behind its last row.

    Args:
        model: Of one item.
        rows: One more than fits if there is more.
        p: What was asked for.
        key: Columns by which the list is ordered: a number and a text.
    """
    shown, more = rows[: p.limit], rows[p.limit :]
    following = paging.encode(*(shown[-1][column] for column in key)) if more else None
    return _page(model, shown, following, 0 if p.cursor is None else None)


def page_at(model: type[Item], rows: list[reads.Row], p: paging.PageParameters) -> models.Page[Item]:
    """A page of a list that continues at an offset."""
    end = p.offset + len(rows)
    return _page(model, rows, paging.encode(end) if rows and end < rows[0]["total"] else None, 0)


def _page(model: type[Item], rows: list[reads.Row], following: str | None, of_none: int | None) -> models.Page[Item]:
    """A page; ``of_none`` is the total where no row says one."""
    items = [model.model_validate(row) for row in rows]
    return models.Page[model](items=items, total=rows[0]["total"] if rows else of_none, next=following)  # type: ignore[valid-type]
