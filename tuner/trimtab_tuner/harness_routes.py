"""What the harness did: its lines with their money and failures, the map of runs through them, and comparisons.

In: requests that passed the gate. Out: the models of :mod:`.harness_models`. All of it is about many runs and dear, so
it is computed once per state of the store (:mod:`.computed`) and of a bounded number of runs, which each answer states.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field, field_validator
from starlette.exceptions import HTTPException

from . import harness_models as models
from . import paging
from .computed import Computed
from .routing import router

Factor = Literal["harness", "model", "task"]
Measure = Literal["success", "cost", "latency"]
Order = Literal["cost", "wasted", "calls", "failed_calls", "failed_share", "failed_runs", "latency", "place"]


class WhichRuns(paging.NoParameters):
    """Which runs an answer is about."""

    service: str | None = Field(None, description="Name of the agent")
    since_ns: int | None = Field(None, ge=0, le=paging.MAX_INT, description="Started at or after this time")
    until_ns: int | None = Field(None, ge=0, le=paging.MAX_INT, description="Started before this time")

    def filters(self) -> dict[str, Any]:
        """As :mod:`.scope` takes them."""
        return {name: getattr(self, name) for name in ("service", "since_ns", "until_ns")}


class HarnessParameters(WhichRuns, paging.PageParameters):
    """Which lines, in which order."""

    site: str | None = Field(None, description="Id of one line")
    order: Order = Field("cost", description="The most first; `place`: as they stand in the code")


class MapParameters(WhichRuns):
    """How much of the map."""

    most: int = Field(40, ge=1, le=300, description="Most edges, the most travelled ones")


class Judged(WhichRuns):
    """Which outcomes count."""

    inferred: bool = Field(False, description="Outcomes that trimtab inferred count too")


class CompareParameters(Judged):
    """What is compared with what."""

    harness: str = Field(
        "harness", description="What tells harnesses apart: `harness` (the version), `service`, `site`, or `knob:NAME`"
    )
    by: list[Factor] = Field(["harness", "model", "task"], min_length=1, max_length=3, description="Factors; repeat it")
    quality_share: float = Field(0.8, gt=0, le=1, description="Quality asked for, as a share of the best")
    cost_share: float = Field(0.3, gt=0, le=1, description="Cost allowed, as a share of that of the best")

    @field_validator("harness")
    @classmethod
    def _known(cls, given: str) -> str:
        if given in ("harness", "service", "site") or (given.startswith("knob:") and len(given) > len("knob:")):
            return given
        raise ValueError("expected `harness`, `service`, `site` or `knob:NAME`")


class WhatIfParameters(paging.NoParameters):
    """Which value of which knob where; without them the answer says what can be asked about."""

    site: str | None = Field(None, description="Id of the line where values were drawn")
    knob: str | None = None
    value: str | None = Field(None, max_length=10_000, description="The candidate, as JSON text")
    measure: Measure = "success"
    inferred: bool = Field(False, description="Outcomes that trimtab inferred count too")

    @field_validator("value")
    @classmethod
    def _json(cls, given: str | None) -> str | None:
        if given is not None:
            json.loads(given)  # its error is a ValueError
        return given


def harness(computed: Computed) -> APIRouter:
    """The routes."""
    api = router()

    @api.get("/harness")
    def lines(p: Annotated[HarnessParameters, Query()]) -> models.HarnessPage:
        """Lines that make calls, with money by class, failures, settings and trend, of the newest runs that fit."""
        from .harness import ORDERS

        found = computed.harness(p.filters())
        every = [row for row in found["rows"] if p.site is None or row["site_id"] == p.site]
        rows = sorted(every, key=ORDERS[p.order])[p.offset : p.offset + p.limit]
        end = p.offset + len(rows)
        deciding = {one["decided_at"] for row in rows for one in row["knobs"]}
        said = {"scope": found["scope"], "step_ns": found["step_ns"], "items": rows, "total": len(every)}
        said["next"] = paging.encode(end) if rows and end < len(every) else None
        said["sites"] = [found["sites"][name] for name in sorted(deciding & found["sites"].keys())]
        return models.HarnessPage.model_validate(said)

    @api.get("/map")
    def agent_map(p: Annotated[MapParameters, Query()]) -> models.AgentMap:
        """What came after what in runs: lines and tools, and the most travelled ways between them."""
        return models.AgentMap.model_validate(computed.agent_map(p.filters(), p.most))

    @api.get("/scorecard")
    def scorecard(p: Annotated[Judged, Query()]) -> models.Scorecard:
        """Versions of the harness side by side: what came of their runs, and their scorecards (docs/compare.md)."""
        return models.Scorecard.model_validate(computed.scorecard(p.filters(), inferred=p.inferred))

    @api.get("/compare")
    def compare(p: Annotated[CompareParameters, Query()]) -> models.Compared:
        """How much of success, cost and latency comes with harness, model and task; gap and frontier."""
        options = p.model_dump(exclude={"service", "since_ns", "until_ns"})
        return models.Compared.model_validate(computed.compared(p.filters(), options))

    @api.get("/what-if")
    def what_if(p: Annotated[WhatIfParameters, Query()]) -> models.WhatIf:
        """What a value of a knob would have come to, weighed from what was drawn; or why nobody can say."""
        try:
            return models.WhatIf.model_validate(computed.what_if(**p.model_dump()))
        except LookupError as error:
            raise HTTPException(404, f"{error.args[0]} /v1/what-if without parameters lists what was.") from None

    return api
