"""What a report says, as plain frozen values.

In: nothing; :mod:`.build` fills these from a store. Out: the one thing that the text, the JSON and the HTML are made
from, so that the three can't differ. A module of its own because a report also travels: ``trimtab report`` asks a
running sidecar for it as JSON and renders it here.

Units as in the store: ``*_ns`` nanoseconds (points in time since the epoch, UTC), ``*_musd`` whole micro-USD.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from ..retry_stack import Layer, RetryStack

FORMAT = 1
"""Version of the JSON form; fields are only ever added to it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a decision was made."""

    file: str
    function: str
    line: int
    """0 where there is no line: the run was imported."""
    source: str
    """The statement as it stands there, or the setting of an imported run; empty where it can't be read."""
    owner: str
    """``user | library``."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """One cause of lost runs or money, with the decision and the place behind it."""

    finding_id: str
    rule: str
    subject: str
    title: str
    advice: str
    knob: str
    value: Any
    """As JSON; None where the code set nothing."""
    place: Place | None
    runs: int
    failed_runs: int
    calls: int
    cost_musd: int
    wasted_musd: int
    evidence: dict[str, Any]
    """``calls, attempts, tools, runs, ended_runs``: ids; ``numbers``: what the rule measured."""
    is_current: bool = True
    """Whether the setting is still in force there; one that is not is history, and listed last."""
    explanation: str | None = None
    """A language model's words, where ``--explain`` asked for them."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One class of the ledger: what a part of the money paid for."""

    cls: str
    label: str
    meaning: str
    is_waste: bool
    cost_musd: int
    unpriced: int
    """Requests in this class whose cost is not known and counts as 0."""
    calls: int
    attempts: int
    input_tokens: int
    output_tokens: int
    estimated: int = 0
    """Requests in this class whose tokens nobody reported: they are estimated from the text, and so is their cost."""


@dataclass(frozen=True, slots=True)
class CallLine:
    """One LLM call."""

    call_id: str
    number: int
    """Place in its run, from 1."""
    started_ns: int
    duration_ns: int | None
    """None where it was not measured (imported runs)."""
    model: str | None
    status: str
    error_class: str | None
    error_message: str | None
    finish_reason: str | None
    attempts: int
    wait_ns: int
    input_tokens: int | None
    output_tokens: int | None
    cost_musd: int | None
    is_rejected: bool
    rejection_text: str | None
    place: Place | None
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run."""

    run_id: str
    service: str
    name: str
    task: str | None
    origin: str
    harness: str | None
    started_ns: int
    ended_ns: int | None
    status: str
    """``ok | error | running``."""
    is_failed: bool
    """Its outcome says no; or no outcome is known and an error ended it."""
    success: bool | None
    score: float | None
    outcome_source: str | None
    error_type: str | None
    error_message: str | None
    error_place: Place | None
    calls: int
    rejected: int
    """Calls whose answer the agent turned down."""
    rejected_musd: int
    """What those cost."""
    attempts: int
    failed_attempts: int
    tool_calls: int
    tool_errors: int
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    cost_musd: int
    unpriced: int
    listed: tuple[CallLine, ...]
    """Its calls; empty where the report was cut (see :attr:`Report.runs_listed`)."""
    outcome_rule: str | None = None
    """The rule that infers its outcome (:data:`~..inferred.SAYS`); None where somebody said it."""
    outcome_confidence: float | None = None
    """Of that rule, in (0, 1)."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all runs of the report, whether listed or not."""

    runs: int
    failed_runs: int
    succeeded_runs: int
    unjudged_runs: int
    """Ended without an error, and nobody recorded whether they reached their goal."""
    running: int
    calls: int
    rejected: int
    attempts: int
    failed_attempts: int
    tool_calls: int
    tool_errors: int
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    untold: int
    """Answers whose tokens nobody reported."""
    cost_musd: int
    wasted_musd: int
    unpriced: int
    reported_musd: int
    estimated_musd: int
    first_ns: int | None
    last_ns: int | None
    inferred_runs: int = 0
    """Of the failed ones: those that ended without an error and of which nobody said so; a rule infers it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the runs that began in a stretch of time came to."""

    at_ns: int
    """Its begin."""
    runs: int
    failed_runs: int
    succeeded_runs: int
    cost_musd: int
    wasted_musd: int


@dataclass(frozen=True, slots=True)
class LossLine:
    """Records that could not be kept."""

    lost_kind: str
    reason: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RetryLine:
    """How often one question goes out from a line, and what a permanent failure costs."""

    place: Place | None
    times: int
    """How often a permanent failure is sent: the product of the stack's layers."""
    stack: RetryStack


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model whose tokens are known and whose price is not."""

    model: str
    provider: str
    """The price list's id of the provider, or the host where it has none."""
    calls: int
    attempts: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says."""

    version: str
    """Of trimtab."""
    generated_ns: int
    run_id: str | None
    """The one run that it is about; None for all."""
    services: tuple[str, ...]
    models: tuple[str, ...]
    price_versions: tuple[str, ...]
    totals: Totals
    headline: tuple[str, ...]
    """Sentences: what it cost and what failed, then what was lost to which line."""
    findings: tuple[FindingView, ...]
    """Those that ended runs first, then those in failed runs, then the most expensive."""
    ledger: tuple[LedgerLine, ...]
    """Classes that occur; their costs sum to :attr:`Totals.cost_musd` exactly."""
    runs: tuple[RunLine, ...]
    runs_listed: int
    """How many of them carry their calls; the others would have made the page too large."""
    losses: tuple[LossLine, ...]
    notes: tuple[str, ...]
    """What the reader has to know to trust the numbers: unknown costs, synthetic data, imports, losses."""
    scripted: int = 0
    """Requests that trimtab's own scripted provider answered: synthetic."""
    unpriced_models: tuple[UnpricedModel, ...] = ()
    """The most tokens first."""
    guessed: int = 0
    """Requests whose tokens nobody reported: they are estimated from the text."""
    retries: tuple[RetryLine, ...] = ()
    """Places where a question was sent more than once, the most requests first; at most
    :data:`~.build.MAX_RETRY_LINES`."""
    series: tuple[Stretch, ...] = ()
    """Stretches of time in which a run began, the first first."""
    stretch_ns: int = 0
    """Width of each."""
    since_ns: int | None = None
    """Only runs that began at or after this time; None for all."""
    until_ns: int | None = None
    """Only runs that began before this time."""
    guessed_tokens: int = 0
    guessed_musd: int = 0
    """What is computed from those tokens; part of :attr:`Totals.estimated_musd`."""
    format: int = field(default=FORMAT)


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON-able mappings and lists."""
    return asdict(report)


def from_json(data: dict[str, Any]) -> Report:
    """The report that :func:`as_json` gave ``data``; fields that a newer sidecar added are left out.

    Raises:
        TypeError, KeyError: a field is missing.
    """
    return _make(
        Report,
        data,
        services=tuple(data["services"]),
        models=tuple(data["models"]),
        price_versions=tuple(data["price_versions"]),
        headline=tuple(data["headline"]),
        notes=tuple(data["notes"]),
        totals=_make(Totals, data["totals"]),
        findings=tuple(_make(FindingView, f, place=_place(f["place"])) for f in data["findings"]),
        ledger=tuple(_make(LedgerLine, line) for line in data["ledger"]),
        losses=tuple(_make(LossLine, line) for line in data["losses"]),
        retries=tuple(
            _make(RetryLine, line, place=_place(line["place"]), stack=_stack(line["stack"]))
            for line in data.get("retries", ())
        ),
        series=tuple(_make(Stretch, one) for one in data.get("series", ())),
        unpriced_models=tuple(_make(UnpricedModel, line) for line in data.get("unpriced_models", ())),
        runs=tuple(
            _make(
                RunLine,
                run,
                error_place=_place(run["error_place"]),
                listed=tuple(
                    _make(CallLine, call, place=_place(call["place"]), tools=tuple(call["tools"]))
                    for call in run["listed"]
                ),
            )
            for run in data["runs"]
        ),
    )


def _make(cls: type[T], data: dict[str, Any], **replaced: Any) -> T:
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    return cls(**({k: v for k, v in data.items() if k in names} | replaced))


def _stack(data: dict[str, Any]) -> RetryStack:
    layers = tuple(_make(Layer, layer) for layer in data["layers"])
    return _make(RetryStack, data, layers=layers, call_ids=tuple(data["call_ids"]))


def _place(data: dict[str, Any] | None) -> Place | None:
    return None if data is None else _make(Place, data)
