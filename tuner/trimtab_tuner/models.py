"""Shapes of the API's answers, as they are published in its OpenAPI document.

In: rows of the store (:mod:`.reads`). Out: checked models; a row that lost a column or changed a type fails here
and not in the client. Field names are the store's own (the migrations describe each column): ``*_ns`` are
nanoseconds, points in time since the Unix epoch in UTC; ``*_musd`` are whole micro-USD; null means unknown.
Names of fields are only ever added. Apart from the routes because clients in other languages are generated from
exactly this.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item", bound=BaseModel)


class Answer(BaseModel):
    """Base of all answers: unknown columns of a row are left out, missing ones are an error."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="`about:blank`, or a name under `trimtab:` that programs can tell apart")
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to do")


class Page(Answer, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    total: int | None = Field(description="How many match, whatever the page; null on later pages of runs and calls")
    next: str | None = Field(description="Give it as `cursor` to get the page after this; null on the last one")


class LoopHealth(Answer):
    """One of the sidecar's loops."""

    steps: int
    failures: int
    ok_ns: int | None
    failed_ns: int | None
    error: str | None = Field(description="Class of the exception if the last step failed; its text is in the log")


class Health(Answer):
    """Whether the sidecar works. Holds no data of any run, as it is readable without the token."""

    status: Literal["ok", "degraded"]
    version: str
    pid: int
    started_ns: int
    records: int = Field(description="Records taken from the spool since the sidecar started")
    spool_problems: int = Field(
        description="What the last look into the spool could not take; the log says what and why"
    )
    analyses: int = Field(
        description="Analyses made since then: one at the start, and one whenever something new came in"
    )
    collector: LoopHealth
    analysis: LoopHealth
    policy: LoopHealth
    tuning: LoopHealth
    policy_version: int
    frozen: bool = Field(description="Whether all steering is stopped")


class Version(Answer):
    """What runs here."""

    version: str
    record_schema: int = Field(description="Newest record shape that can be read")
    migrations: list[str] = Field(description="Applied migrations of the store, in order")


class Run(Answer):
    """One execution of an agent on one task."""

    run_id: str
    parent_run_id: str | None
    process_id: str
    service: str
    name: str
    task: str | None
    origin: str = Field(
        description="`explicit`, `process` (none was declared), `rebuilt` (one of several that a process's run was"
        " found to hold, which is its parent), `import`, or `unknown` (its start was lost)"
    )
    is_split: bool = Field(description="A process's run whose calls are in rebuilt runs")
    harness: str | None
    attributes: dict[str, Any]
    started_ns: int
    ended_ns: int | None
    status: Literal["ok", "error", "running"]
    end_rule: str | None
    error_type: str | None
    error_message: str | None
    error_site_id: str | None
    success: bool | None = Field(description="By the best outcome there is: explicit before evaluator before inferred")
    score: float | None
    outcome_source: str | None
    outcome_rule: str | None = Field(description="Where it is inferred: the rule that says so (docs/outcomes.md)")
    outcome_confidence: float | None = Field(description="Of that rule, in (0, 1)")
    calls: int
    attempts: int
    tool_calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_musd: int = Field(description="What is known; `attempts_unpriced` says how many attempts are not in it")
    attempts_unpriced: int


class Place(Answer):
    """A place in the user's code."""

    site_id: str
    file: str
    function: str
    line: int
    end_line: int
    source: str
    owner: str


class RunPage(Page[Run]):
    """A page of runs."""

    searched: int | None = Field(
        None, description="Runs that were looked through for `text`; null where it was not given"
    )


class Choices(Answer):
    """What runs can be chosen by."""

    services: list[str]
    models: list[str] = Field(description="Asked for or answered")
    sites: list[Place] = Field(description="Places that made requests")


class Setting(Answer):
    """What was in force in a run."""

    knob: str
    value: Any
    source: str
    propensity: float
    policy_version: int | None
    site_id: str
    times: int = Field(description="For how many calls it held")
    calls: list[str] = Field(description="The first twenty of them")
    is_of_run: bool = Field(description="Whether it held for the run as a whole")


class Settings(Answer):
    """What was in force in a run, without a row for each of its calls."""

    items: list[Setting]
    sites: list[Place]


class Blamed(Answer):
    """A step at which a failed run may have gone wrong."""

    rank: int
    share: float = Field(description="Of the run's blame; the shares of a run sum to 1. They rank, they do not promise")
    step: int | None
    agent: str | None
    call_id: str | None
    tool_ids: list[str]
    modes: list[str]
    knob: str | None
    value: Any
    site_id: str | None
    evidence: dict[str, Any]


class Blame(Answer):
    """The ranked steps of a failed run, judged by that run alone; empty where it did not fail."""

    items: list[Blamed]
    sites: list[Place]


class Call(Answer):
    """One logical LLM call."""

    call_id: str
    run_id: str
    process_id: str
    site_id: str
    api: str
    provider: str | None
    host: str
    model: str | None
    response_model: str | None
    response_id: str | None
    started_ns: int
    ended_ns: int
    attempts: int
    wait_ns: int = Field(description="Time between its attempts")
    status: str
    http_status: int | None
    error_class: str | None
    error_message: str | None
    finish_reason: str | None
    stream: bool
    ttft_ns: int | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str
    cost_musd: int | None
    cost_source: str
    cost_reported_musd: int | None
    cost_computed_musd: int | None
    output_digest: str | None
    output_chars: int | None
    prompt_digest: str | None
    tools_digest: str | None
    tools_offered: list[str] | None
    params: dict[str, Any] | None
    rejected_by_call_id: str | None
    rejection_text: str | None
    conversation_id: str | None = Field(description="Calls that continue each other share it; the id of the first one")
    continues_call_id: str | None = Field(description="The earlier call that it goes on from")
    linked_by: str | None = Field(description="How that is known, `response id`, `tool call id` and so on")


class Attempt(Answer):
    """One HTTP request of a call."""

    attempt_id: str
    call_id: str
    run_id: str
    number: int
    started_ns: int
    ended_ns: int
    api: str
    method: str
    host: str
    path: str
    site_id: str
    end: str
    stream: bool
    http_status: int | None
    error_class: str | None
    error_type: str | None
    error_message: str | None
    provider_error_type: str | None
    provider_error_code: str | None
    provider_error_message: str | None
    ttft_ns: int | None
    chunks: int
    request_bytes: int
    response_bytes: int
    request_id: str | None
    retry_after_s: float | None
    sdk_retry: int | None
    timeout_s: float | None
    max_retries: int | None
    provider: str | None
    model: str | None
    response_model: str | None
    response_id: str | None
    finish_reason: str | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cache_write_1h_tokens: int | None
    input_audio_tokens: int | None
    cache_audio_read_tokens: int | None
    output_audio_tokens: int | None
    output_image_tokens: int | None
    web_searches: int | None
    service_tier: str | None = Field(description="That served the request, as the provider says")
    speed: str | None
    inference_geo: str | None
    usage_source: str = Field(description="`estimated`: nobody reported these tokens, or not all of them")
    cost_musd: int | None
    cost_source: str
    cost_reported_musd: int | None
    cost_computed_musd: int | None
    price_version: str | None
    message_count: int | None
    parsed: bool = Field(description="False: only what the hook itself measured is here yet")


class ToolCall(Answer):
    """One tool call, asked for by a model or seen running."""

    tool_id: str
    run_id: str
    call_id: str | None
    provider_id: str | None
    name: str
    args_digest: str | None
    args_valid: bool | None
    args_error: str | None
    offered: bool | None
    origin: str
    started_ns: int | None
    ended_ns: int | None
    is_upper_bound: bool
    status: str
    error_type: str | None
    error_message: str | None
    result_digest: str | None
    result_chars: int | None
    site_id: str | None
    mutates: bool | None


class Decision(Answer):
    """One value of one knob in force."""

    decision_id: str
    run_id: str
    call_id: str | None
    knob: str
    value: Any
    source: str
    propensity: float
    site_id: str
    site_role: str
    policy_version: int | None
    decided_ns: int
    choices: list[Any] | None = Field(
        description="What a declared knob may be set to; null where the code does not say"
    )
    rule_id: str | None = Field(description="Rule of the policy that was obeyed; null where the code decided")
    seen: dict[str, Any] | None = Field(description="What a rule with `when` looked at: the run so far")
    verdict: str | None = Field(description="What was said of the first answer, of `escalate`")


class Outcome(Answer):
    """What came of a run, according to one source."""

    outcome_id: str
    run_id: str
    recorded_ns: int
    success: bool | None
    score: float | None
    source: str
    comment: str | None
    evaluator: str | None = Field(description="Who says it, where an evaluator does")
    evaluator_version: str | None


class SagaStep(Answer):
    """What became of one side effect of a failed run, in the order of undoing."""

    saga_id: str
    number: int
    tool: str
    tool_run_id: str | None
    compensation: str | None
    status: str = Field(description="`compensated`, `failed`, `undeclared`, `unknown`, `not_done` or `not_run`")
    started_ns: int
    ended_ns: int
    error_type: str | None
    error_message: str | None
    site_id: str | None


class Saga(Answer):
    """The compensations of a failed run that undoes its side effects."""

    saga_id: str
    started_ns: int
    ended_ns: int
    cause: Literal["exception", "outcome"]
    outcome: Literal["compensated", "partly", "failed", "nothing to do"]
    steps: int


class Site(Place):
    """A place in the user's code with what it spent."""

    runs: int
    calls: int
    attempts: int
    failed_attempts: int
    cost_musd: int
    attempts_unpriced: int


class RunDetail(Answer):
    """A run with everything that belongs to it, in the order in which it happened."""

    run: Run
    calls: list[Call]
    attempts: list[Attempt]
    tool_calls: list[ToolCall]
    decisions: list[Decision]
    outcomes: list[Outcome]
    sagas: list[Saga]
    saga_steps: list[SagaStep]
    sites: list[Place] = Field(description="Every place that the above name")
    agents: dict[str, str] = Field(description="Who made a call, by call, where anything says")
    parts: list[Run] = Field(description="The first runs inside this one")
    truncated: list[str] = Field(
        description="Which of the lists were cut at their first `most` rows; page /v1/calls?run="
    )


class Content(Answer):
    """Request or response text of one attempt, as far as it is kept."""

    attempt: int = Field(description="The attempt's number")
    role: Literal["request", "response"]
    body: str


class CallDetail(Answer):
    """A call with its attempts, tools, decisions and kept content."""

    call: Call
    attempts: list[Attempt]
    tool_calls: list[ToolCall]
    decisions: list[Decision]
    sites: list[Place]
    content: list[Content]


class FindingEvent(Answer):
    """A change of a finding's status."""

    at_ns: int
    event: Literal["opened", "resolved", "reopened"]


class Finding(Answer):
    """A failure mode or a waste, pinned to a decision and a line of code."""

    finding_id: str
    rule: str
    subject: str
    knob: str
    value: Any
    site_id: str | None
    file: str | None
    function: str | None
    line: int | None
    source: str | None
    title: str
    advice: str
    status: str
    runs: int
    failed_runs: int
    calls: int
    cost_musd: int
    wasted_musd: int
    evidence: dict[str, Any]
    first_seen_ns: int
    last_seen_ns: int
    updated_ns: int
    is_reopened: bool = Field(description="Open, and had been resolved before")
    history: list[FindingEvent] = Field(description="The oldest first, as far as it is known")


class LedgerPart(Answer):
    """One part of one attempt's cost, assigned to exactly one class."""

    run_id: str
    call_id: str
    attempt_id: str
    tool_id: str | None = Field(description="The tool call that this part paid for; null where it is the whole attempt")
    cls: str
    knob: str | None
    value: Any
    site_id: str | None
    cost_musd: int
    cost_known: bool
    input_tokens: int
    output_tokens: int
    is_estimated: bool = Field(description="Whether nobody reported the tokens: they are estimated from the text")


class LedgerClass(Answer):
    """All parts of one class, added up."""

    cls: str
    calls: int
    attempts: int
    cost_musd: int
    unknown: int = Field(description="Attempts of unknown cost among them, counted as 0")
    input_tokens: int
    output_tokens: int
    estimated: int = Field(description="Attempts among them whose tokens nobody reported")


class Ledger(Answer):
    """Where the money went. The classes sum exactly to the total."""

    total_musd: int
    classes: list[LedgerClass]
    parts: Page[LedgerPart]


class Loss(Answer):
    """Records that could not be kept, by agent process, kind and reason."""

    process_id: str
    service: str | None
    lost_kind: str
    reason: str
    count: int
    size_bytes: int
    first_ns: int
    last_ns: int


class Sums(Answer):
    """What runs came to."""

    runs: int
    running: int
    failed_runs: int = Field(description="An outcome says so, or none says anything and an exception ended them")
    succeeded_runs: int
    unjudged_runs: int
    inferred_runs: int = Field(description="Of the failed ones, those of which only the analysis says so")
    unanalysed_runs: int = Field(description="Not analysed yet: what they wasted is not known")
    calls: int
    attempts: int
    cost_musd: int
    unpriced: int = Field(description="Attempts of unknown cost, counted as 0")
    input_tokens: int
    output_tokens: int
    estimated: int = Field(description="Attempts whose tokens nobody reported")
    wasted_musd: int
    first_ns: int | None
    last_ns: int | None


class Stretch(Sums):
    """What the runs came to that began in one stretch of time."""

    at_ns: int = Field(description="When the stretch begins")
    p50_ns: int | None = Field(description="Median of how long a call took")
    p95_ns: int | None


class OverviewLine(Answer):
    """One class of the ledger."""

    cls: str
    label: str
    meaning: str
    is_waste: bool
    cost_musd: int
    attempts: int
    unpriced: int
    input_tokens: int
    output_tokens: int


class Drawn(Answer):
    """What an experiment drew today."""

    experiment_id: str
    arm: str
    units: int = Field(description="One run at one line each")


class Overview(Answer):
    """What all runs came to, in sum and over time."""

    totals: Sums
    bin_ns: int = Field(description="How long a stretch of `series` is")
    series: list[Stretch] = Field(description="Stretches in which a run began, in order")
    ledger: list[OverviewLine]
    losses: list[Loss]
    scripted: int = Field(
        description="Requests that trimtab's own scripted provider answered: their numbers are made up"
    )
    drawn_today: list[Drawn] = Field(description="By experiments that are learned from, since midnight UTC")


class Imported(Answer):
    """What an import brought."""

    records: int
    by_kind: dict[str, int]
