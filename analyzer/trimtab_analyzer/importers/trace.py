"""One imported run, whatever file it came from: the shape between the formats and the records.

In: nothing; the format modules fill these values. Out: :class:`Trace`, which :mod:`.to_records` turns into the
records that a live agent would have written. A module of its own so that a new file format means one new
function that returns this shape, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trimtab_tracer.wire.facts import ToolCall

MIN_TIME_S = 946_684_800
"""2000-01-01: a smaller number is no point in time of an LLM call but a duration or a counter."""

MAX_TIME_NS = 2**63
"""In the year 2262: a later moment is none, and does not fit the store."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool's result as the file has it."""

    index: int
    """Which of the turn's tool calls it answers."""
    text: str
    status: str
    """``ok | error | unknown``."""
    error_type: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One model call: what was added to the conversation before it, and what came back."""

    sent: tuple[dict[str, Any], ...]
    """Messages that went in since the turn before, as logged."""
    reply: dict[str, Any]
    """The response in the shape of OpenAI chat completions, as logged or put together from the logged parts."""
    ts_ns: int | None
    """When; None where the file does not say."""
    model: str | None = None
    """Requested by this turn, where turns may differ."""
    tools: tuple[ToolCall, ...] | None = None
    """Tool calls that the harness itself read out of the answer's text; None: those of the reply hold."""
    answers: tuple[Answer, ...] = ()
    rejection: str | None = None
    """What the harness said when it turned this turn's answer down; None where it took it."""
    agent: str | None = None
    """Who made the call, where the file tells several agents apart."""
    step: int | None = None
    """Index of the call in the file, as its format counts; None where that says nothing."""


@dataclass(frozen=True, slots=True)
class Knob:
    """A value that the file says the harness was set to."""

    name: str
    value: Any
    """None: the file shows that nothing was set, so the library's or provider's default held."""
    quote: str = ""
    """The setting as it stands in the file, shortened: what a report quotes, there being no line of code."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One run as a file tells it."""

    identity: str
    """What makes it this run and no other; the same in every copy of the file."""
    fingerprint: str
    """Digest of everything the file says of the run; tells a grown or changed file from one already imported."""
    service: str
    harness: str
    """Name and version of the harness that made the file, as far as it says."""
    function: str
    """The harness's agent type: stands where a site has its function."""
    name: str
    turns: tuple[Turn, ...]
    started_ns: int | None
    ended_ns: int | None
    request: dict[str, Any] = field(default_factory=dict)
    """What every request had in common, besides its messages: model, temperature, tools, …"""
    knobs: tuple[Knob, ...] = ()
    host: str = "unknown"
    """Where the calls went, if the file tells."""
    path: str = "/v1/chat/completions"
    status: str = "ok"
    error_type: str | None = None
    error_message: str | None = None
    task: str | None = None
    success: bool | None = None
    score: float | None = None
    outcome_source: str = "explicit"
    outcome_comment: str | None = None
    logged_calls: int | None = None
    """The file's own count of calls, where it keeps one: checked against the turns found."""
    logged_cost_usd: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    """Labels that people or a benchmark put to the run; kept with it and read by no rule."""


def point_in_time_ns(value: Any) -> int | None:
    """Nanoseconds since the epoch for a Unix time (s, ms, us or ns) or an ISO 8601 text (UTC if it names no zone)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return int(seconds * 1_000_000) * 1_000 if MIN_TIME_S <= seconds < MAX_TIME_NS / 1e9 else None
    if not isinstance(value, int | float) or not MIN_TIME_S <= value < MAX_TIME_NS:
        return None
    for below, factor in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
        if value < below:
            return value * factor if isinstance(value, int) else round(value * 1e6) * factor // 10**6
    return int(value)
