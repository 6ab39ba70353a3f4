"""Query parameters of lists, and the cursor that leads from one page to the next.

In: what the client asked for, refused if it names a parameter that the route does not know. Out: typed filters.
A cursor is opaque to clients. Lists that grow at the top while they are read (runs, calls) continue behind the last
row that was seen, the others at an offset. A cursor of another list or of no list is refused, not guessed at.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

MAX_INT = 2**63 - 1
"""Largest number of the store's columns."""
MAX_LIMIT = 1000
"""Most rows of one page."""
MAX_WAIT_S = 25
"""Longest that a request waits for something new: below the half minute after which proxies give up."""
MAX_IDS = 500
"""Most ids named in one request: more do not fit into the line of a request that HTTP servers take."""


class NoParameters(BaseModel):
    """For routes without any: an unknown one is still refused."""

    model_config = ConfigDict(extra="forbid")


class PageParameters(NoParameters):
    """What every list takes."""

    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Rows per page")
    cursor: str | None = Field(None, description="`next` of the page before")

    @property
    def after(self) -> tuple[int, str] | None:
        """Time and id of the last row that the client has, for lists that continue behind a row."""
        found = _decode(self.cursor)
        if found is None:
            return None
        if len(found) != 2 or not isinstance(found[1], str):
            raise _bad_cursor()
        return _number(found[0]), found[1]

    @property
    def offset(self) -> int:
        """Rows that the client has, for lists that continue at an offset."""
        found = _decode(self.cursor)
        if found is None:
            return 0
        if len(found) != 1:
            raise _bad_cursor()
        return _number(found[0])


class _Traffic(PageParameters):
    service: str | None = Field(None, description="Name of the agent")
    since_ns: int | None = Field(None, ge=0, le=MAX_INT, description="Started at or after this time")
    until_ns: int | None = Field(None, ge=0, le=MAX_INT, description="Started before this time")
    site: str | None = Field(None, description="Id of a site that made a request")
    model: str | None = Field(None, description="Model as asked for or as answered")


class RunParameters(_Traffic):
    """Which runs."""

    run: list[str] | None = Field(None, max_length=MAX_IDS, description="Id of a run; repeat it for several runs")
    status: Literal["ok", "error", "running"] | None = None
    outcome: Literal["success", "failure", "unknown"] | None = None
    harness: str | None = Field(None, description="Version of the harness")
    finding: str | None = Field(None, description="Id of a finding that names the run; it names up to a thousand")
    min_cost_musd: int | None = Field(None, ge=0, le=MAX_INT, description="Known cost of at least this")
    max_cost_musd: int | None = Field(None, ge=0, le=MAX_INT, description="Known cost of at most this")
    text: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Whose name, task, error or kept texts hold this, in any case. One request looks through the newest"
        " 500 runs that fit the other filters; `next` leads to older ones, `total` is null",
    )


LISTS = ("calls", "attempts", "tool_calls", "decisions", "outcomes", "sagas", "saga_steps")
"""What belongs to a run."""
MAX_OF_RUN = 10_000
"""Most rows of one list of a run."""


class RunDetailParameters(NoParameters):
    """How much of a run."""

    most: int = Field(MAX_LIMIT, ge=1, le=MAX_OF_RUN, description="Most rows of each list")
    leave_out: list[Literal["calls", "attempts", "tool_calls", "decisions", "outcomes", "sagas", "saga_steps"]] = Field(
        [], max_length=len(LISTS), description="A list that is not wanted and comes empty; repeat it for several"
    )


class CallParameters(_Traffic):
    """Which calls."""

    run: str | None = Field(None, description="Id of a run")
    status: Literal["ok", "error", "abandoned"] | None = None


class OverviewParameters(NoParameters):
    """Which runs."""

    service: str | None = Field(None, description="Name of the agent")
    since_ns: int | None = Field(None, ge=0, le=MAX_INT, description="Started at or after this time")
    until_ns: int | None = Field(None, ge=0, le=MAX_INT, description="Started before this time")


class SiteParameters(PageParameters):
    """Which sites."""

    site: str | None = Field(None, description="Id of one site")
    service: str | None = Field(None, description="Only what this agent spent there")


class FindingParameters(PageParameters):
    """Which findings."""

    status: Literal["open", "resolved", "reopened"] | None = Field(
        None, description="`reopened`: open ones that had been resolved"
    )
    ranked_by: Literal["loss", "money"] = Field(
        "loss", description="`loss`: what ended and lost most runs first; `money`: what wasted most"
    )
    rule: str | None = None
    site: str | None = Field(None, description="Id of a site")
    finding: str | None = Field(None, description="Id of one finding")
    ids: int = Field(1000, ge=0, le=1000, description="Most ids of each kind in `evidence`; its numbers are of all")


class LedgerParameters(PageParameters):
    """Which parts of the cost ledger."""

    run: str | None = Field(None, description="Id of a run; all runs without it")


class WasteParameters(NoParameters):
    """How the waste pins are grouped."""

    by: Literal["all", "run", "site", "knob", "agent", "day"] = Field("all", description="What to add up by")
    run: str | None = Field(None, description="Id of a run; all runs without it")


class ReportParameters(NoParameters):
    """What the report is about."""

    run: str | None = Field(None, description="Id of a run; all runs without it")
    since_ns: int | None = Field(None, ge=0, description="Only runs that began at or after this time")
    until_ns: int | None = Field(None, ge=0, description="Only runs that began before this time")


class KnobParameters(PageParameters):
    """Which knobs."""

    knob: str | None = Field(None, description="Name of one knob")
    site: str | None = Field(None, description="Id of one site")


class RecommendationParameters(PageParameters):
    """Which recommendations."""

    status: Literal["proposed", "accepted", "active", "promoted", "rejected", "rolled_back", "expired"] | None = None


class ExperimentParameters(PageParameters):
    """Which experiments."""

    status: Literal["running", "stopped"] | None = None


class _Waiting(NoParameters):
    wait_s: float = Field(0, ge=0, le=MAX_WAIT_S, description="How long to wait for something new, in seconds")


class PolicyParameters(_Waiting):
    """How long to wait for a policy other than the one in ``If-None-Match``."""


class EventParameters(_Waiting):
    """Which decisions, and how long to wait for one."""

    after: int = Field(0, ge=0, le=MAX_INT, description="`after` of the answer before; 0 for all from the first one")
    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Decisions in one answer")


class CampaignEventParameters(NoParameters):
    """Which events of experiments that are learned from."""

    experiment: str | None = Field(None, description="Id of one experiment")
    after: int = Field(0, ge=0, le=MAX_INT, description="`after` of the answer before; 0 for all from the first one")
    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Events in one answer")


class ImportParameters(NoParameters):
    """What is imported."""

    replace: list[str] = Field(
        [],
        max_length=MAX_IDS,
        description="Ids of runs of which only what this request brings is kept; repeat it for several runs",
    )


def encode(*position: int | str) -> str:
    """The cursor for a position: ``(time, id)`` or ``(offset,)``."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str | None) -> list[object] | None:
    if cursor is None:
        return None
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(found, list):
        raise _bad_cursor()
    return found


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INT:
        raise _bad_cursor()
    return value


def _bad_cursor() -> HTTPException:
    return HTTPException(400, "This cursor is not one of this list; begin again without `cursor`.")
