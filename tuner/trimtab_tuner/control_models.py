"""Shapes of what the control API takes and gives, as they are published in its OpenAPI document.

In: JSON bodies. Out: checked models; a field that a body's model does not know refuses the whole request before
anything changes, for a misspelt ``vlaue`` would otherwise be a decision that nobody made. Values of knobs stay as they
are: what a knob may be set to is checked by :func:`trimtab_tracer.policy.check_value`, the same function that the agent
uses. Apart from :mod:`.models` because these are the shapes by which something changes.

``seen`` is the version of the policy, ``version`` that of the recommendation or experiment, which the caller had before
them when they decided.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .models import Answer, Place

MAX_WHY = 1000
"""Longest reason for a decision, in characters."""
MAX_NAME = 80
"""Longest name of a person."""
MAX_COMMENT = 4000
"""Longest comment on an outcome."""
MAX_ID = 200
"""Longest id or name of a thing, in characters."""
MAX_INT32 = 2**31 - 1
"""Largest version."""
MAX_INT64 = 2**63 - 1
"""Largest point in time."""


def printable(text: str) -> str:
    """``text``, if it is one line that can be printed; names and reasons end up in terminals and pages."""
    if not text.strip() or not text.isprintable():
        raise ValueError("it has to be one line of printable characters")
    return text


def keepable(text: str | None) -> str | None:
    """As much of a reason as can be kept, in one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text or "").split())
    return line[:MAX_WHY] or None


Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(printable)]
Why = Annotated[str, Field(max_length=MAX_WHY, description="Reason, kept in the audit"), AfterValidator(printable)]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Seen = Annotated[int, Field(ge=0, le=MAX_INT32, description="Version of the policy that the caller saw")]
Version = Annotated[int, Field(ge=1, le=MAX_INT32, description="Version of it that the caller saw")]


class Body(BaseModel):
    """Base of all bodies: an unknown field is an error, and ``"3"`` is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Decide(Body):
    """A decision on a recommendation."""

    version: Version
    why: Why | None = None


class Ask(Body):
    """A wish that a finding be a recommendation."""

    why: Why | None = None


class Accept(Decide):
    """Consent to a recommendation."""

    value: Any = Field(None, description="Value to set instead of the recommended one; left out: the recommended one")


class MatchBody(Body):
    """Which calls are meant; a field left out, or null, is any."""

    site: Id | None = None
    service: Id | None = None
    model: Id | None = None
    name: Id | None = Field(default=None, description="Of the run")
    context: dict[str, str] | None = Field(
        default=None, description="Attributes of the run, each with its value as text"
    )


class RuleBody(Body):
    """A rule with one fixed value."""

    knob: Id
    value: Any
    match: MatchBody = MatchBody()
    rule_id: Id | None = Field(None, description="Of the rule to replace; left out: a new one")
    when: dict[str, Any] | None = Field(None, description="What the run must have come to, as docs/policy.md says")
    sticky: Literal["run"] = "run"
    source: Literal["human"] = "human"


class PutRule(Body):
    """A rule for the policy."""

    seen: Seen
    rule: RuleBody
    why: Why | None = None


class Confirm(Body):
    """A change of the policy that needs nothing beyond its path."""

    seen: Seen
    why: Why | None = None


class RollBack(Confirm):
    """A return to an earlier policy."""

    to: int | None = Field(None, ge=0, le=MAX_INT32, description="Left out: the newest one with other rules")


class ArmBody(Body):
    """One value of an experiment: either ``value`` or ``incumbent``."""

    weight: float = Field(description="Share of the runs, 0.02 to 0.98; all shares together are 1")
    value: Any = None
    incumbent: Literal[True] | None = Field(None, description="Whatever the code does without trimtab")

    @model_validator(mode="after")
    def one_of_them(self) -> ArmBody:
        """Refuse an arm with both or neither."""
        if ("value" in self.model_fields_set) == (self.incumbent is not None):
            raise ValueError("an arm has either 'value' or 'incumbent': true")
        return self


class StartExperiment(Body):
    """A fixed-share experiment on one knob."""

    seen: Seen
    knob: Id
    match: MatchBody = MatchBody()
    arms: list[ArmBody] = Field(min_length=2, max_length=8)
    why: Why | None = None


class Goal(Body):
    """What an experiment that is learned from is to reach, and what it may cost."""

    objective: Literal["cheapest", "best_within", "fastest", "value"] = Field(
        "cheapest",
        description="`cheapest`: least cost with success at least the code's own less `margin`; `best_within`: most"
        " success within `usd_per_day`; `fastest`: least latency within both; `value`: success at `value_usd` each,"
        " less cost",
    )
    margin: float = Field(0.02, ge=0, le=0.5, description="Loss of success that is accepted, as a share of runs")
    usd_per_day: float | None = Field(None, gt=0, description="What all runs together may cost in a day")
    value_usd: float | None = Field(None, gt=0, description="What a successful run is worth, in USD")
    max_share: float | None = Field(
        None,
        ge=0.02,
        le=0.9,
        description="Share of runs that get other values until one is promoted; left out: the setting",
    )
    explore_usd_per_day: float | None = Field(
        None,
        ge=0,
        description="What runs with other values may cost in a day until one is promoted; left out: the setting",
    )
    context_key: str | None = Field(
        None, pattern=r"^[A-Za-z_][\w.-]{0,63}$", description="Attribute of runs by which the best value may differ"
    )


class StartCampaign(Body):
    """An experiment whose weights are learned: values that are tried against what the code does."""

    seen: Seen
    knob: Id
    values: list[Any] = Field([], max_length=7, description="To try; left out: those of `after`")
    match: MatchBody | None = Field(None, description="For which calls; left out: those of `after`, or all")
    goal: Goal = Goal.model_validate({})
    after: Id | None = Field(None, description="An earlier experiment on the knob, whose runs are learned from as well")
    why: Why | None = None


class AddValue(Body):
    """Another value for a running experiment."""

    version: int = Field(ge=1, le=MAX_INT64, description="Of the experiment, as it was seen")
    value: Any = Field(description="To try, too")
    price_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="What a run with it costs, if known")
    why: Why | None = None


class RemoveValue(Body):
    """A value that is tried no more."""

    version: int = Field(ge=1, le=MAX_INT64, description="Of the experiment, as it was seen")
    value: Any
    why: Why | None = None


class RepriceValue(Body):
    """What a value costs from now on: either of the two."""

    version: int = Field(ge=1, le=MAX_INT64, description="Of the experiment, as it was seen")
    value: Any = Field(None, description="Null: the code's own")
    price_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="What a run with it costs")
    factor: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False, description="Times as much as it did")
    why: Why | None = None


class PairBody(Body):
    """Two answers to one request: the recorded one, and another model's."""

    call_id: Id
    site_id: Id
    own_model: Id
    model: Id
    judge: Id = Field(description="`agreement`, or the name of the user's own function")
    own_quality: float = Field(ge=0, le=1)
    quality: float = Field(ge=0, le=1)
    own_cost_musd: int | None = Field(ge=0)
    cost_musd: int | None = Field(ge=0)
    own_latency_s: float = Field(ge=0, allow_inf_nan=False)
    latency_s: float = Field(ge=0, allow_inf_nan=False)
    asked_ns: int = Field(ge=0, le=MAX_INT64)


class ShadowBody(Body):
    """What `trimtab shadow` brought."""

    pairs: list[PairBody] = Field(min_length=1, max_length=10_000)


class ModeBody(Body):
    """What may be done about a knob without asking."""

    seen: Seen
    mode: Literal["observe", "recommend", "auto"] | None = Field(description="Null: what holds for all knobs")
    why: Why | None = None


class Freeze(Body):
    """The stop of all steering. It must not fail because somebody else was quicker, so it needs no version, nor
    because of its reason, which is kept as far as it can be."""

    why: Annotated[str | None, AfterValidator(keepable)] = None


class OutcomeBody(Body):
    """What came of a run."""

    run_id: Id
    success: bool | None = None
    score: float | None = Field(None, allow_inf_nan=False)
    source: Literal["explicit", "evaluator"] = "explicit"
    comment: str | None = Field(None, max_length=MAX_COMMENT)
    outcome_id: Id | None = Field(None, description="The same id again changes nothing; left out: a new one")
    ts_ns: int | None = Field(None, ge=0, le=MAX_INT64, description="When it was known; left out: now")

    @model_validator(mode="after")
    def says_something(self) -> OutcomeBody:
        """Refuse an outcome that says nothing."""
        if self.success is None and self.score is None:
            raise ValueError("an outcome has 'success', 'score' or both")
        return self


class LoginCodeBody(Body):
    """For whom a one-time code is made."""

    name: Name | None = None
    """Who will use it; left out: whoever asks."""


class SessionBody(Body):
    """What somebody shows to be let in: a one-time code, or the token and a name."""

    code: str | None = None
    token: str | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> SessionBody:
        """Refuse anything but one of the two."""
        if (self.code is None, self.token is None, self.name is None) not in (
            (False, True, True),
            (True, False, False),
        ):
            raise ValueError("a session needs either 'code', or 'token' and 'name'")
        return self


class PolicyState(Answer):
    """The policy in force after a request."""

    policy_version: int
    issued_ns: int
    frozen: bool
    rules: int = Field(description="How many; none is active while frozen")
    document: dict[str, Any] = Field(description="As published")


class PolicyVersion(Answer):
    """A policy that was in force."""

    version: int
    issued_ns: int = Field(description="First issue")
    reason: str
    actor: str
    via: str
    frozen: bool
    rules: int


class PolicyVersionDetail(PolicyVersion):
    """A policy that was in force, with its document."""

    document: dict[str, Any]


class KnobValue(Answer):
    """One value that a knob had at a site."""

    value: Any
    source: str = Field(description="code, default, human or experiment")
    calls: int = Field(description="Calls it held for; 0 where it holds for runs as a whole")
    runs: int
    last_ns: int


class Knob(Answer):
    """One knob at one site."""

    knob: str
    site_id: str
    place: Place | None = Field(description="Null where the site's record has not come in")
    role: str = Field(description="What the site is to the knob: call, constructor or knob")
    services: list[str] = Field(description="Agents that use it")
    steerable: bool
    values: list[KnobValue] = Field(description="The last used ones first, at most 20")
    values_total: int
    choices: list[Any] | None = Field(
        description="What a declared knob may be set to; null where the code does not say"
    )
    last_ns: int
    rule_id: str | None = Field(
        description="Of the rule in force here: the most specific one for this knob, site and one of the services."
        " A rule for one model only is listed though not every call may use that model."
    )


RecommendationStatus = Literal["proposed", "accepted", "active", "promoted", "rejected", "rolled_back", "expired"]


class Recommendation(Answer):
    """A proposed change of one knob at one site."""

    recommendation_id: str
    finding_id: str
    rule: str = Field(description="Of the finding")
    knob: str
    service: str | None
    model: str | None
    site_id: str | None
    file: str | None
    function: str | None
    line: int | None
    title: str
    why: str
    from_value: Any
    to_value: Any
    match: dict[str, Any]
    expected: dict[str, Any]
    evidence: dict[str, Any]
    risk: str
    status: RecommendationStatus
    version: int
    proposed_ns: int
    updated_ns: int
    decided_ns: int | None
    decided_by: str | None
    decided_via: str | None
    decided_why: str | None
    rule_id: str | None
    policy_version: int | None
    obeyed_ns: int | None
    learned_by: Literal["rule", "effect", "association", "shadow"] = Field(
        description="How it was learned: from a finding, by drawing values at random, by comparing them as they came,"
        " or by asking another value the same beside the agent"
    )
    calls_per_day: float | None = Field(description="Calls that it would change, by those of the last 7 days")
    wrong_if: str | None = Field(description="What would make it wrong")
    experiment_id: str | None = Field(description="In which it was learned")


class Recommendations(Answer):
    """What was asked for, as it is now."""

    items: list[Recommendation]


class Difference(Answer):
    """A difference of two shares with its 95 % interval."""

    estimate: float
    low: float
    high: float


class Side(Answer):
    """The runs before, or those after."""

    runs: int
    failed_runs: int
    unjudged_runs: int = Field(description="Did not fail, and nobody said whether they reached their goal")
    success: float | None = Field(description="Share of runs that did not fail; `low` to `high` is its 95 % interval")
    low: float | None
    high: float | None
    cost_per_run_musd: float | None
    unpriced_requests: int
    calls: int
    lost_calls: int = Field(description="Calls at the place that got no answer")
    attempts_per_call: float | None
    p50_latency_s: float | None


class BeforeAfter(Answer):
    """What runs came to before a recommendation was obeyed, and since."""

    knob: str
    site_id: str | None
    policy_version: int
    before: Side
    after: Side
    success_difference: Difference | None = Field(description="After minus before; null where a side has no runs")
    left_out_runs: int = Field(description="Runs that are neither, or have not ended")
    kind: str = Field(description="What kind of statement this is: an association")


class Experiment(Answer):
    """Values of one knob, compared at fixed shares."""

    experiment_id: str
    knob: str
    match: dict[str, Any]
    arms: list[dict[str, Any]]
    status: Literal["running", "stopped"]
    version: int
    why: str | None
    started_ns: int
    started_by: str
    stopped_ns: int | None
    stopped_by: str | None
    rule_id: str
    policy_version: int


class KnobMode(Answer):
    """The mode of one knob."""

    knob: str = Field(description="Its name, or `*` for all that have none of their own")
    mode: Literal["observe", "recommend", "auto"]
    set_ns: int | None = Field(description="Null where the setting `tune_mode` says so")
    set_by: str | None


class KnobModes(Answer):
    """Modes that people have set."""

    modes: list[KnobMode]


class Campaign(Answer):
    """An experiment whose weights are learned, and what it has learned so far."""

    experiment_id: str
    knob: str
    match: dict[str, Any]
    arms: list[dict[str, Any]]
    status: Literal["running", "stopped"]
    version: int = Field(description="Of the experiment: give it to stop it")
    spec: dict[str, Any] = Field(description="What was asked for")
    verdict: dict[str, Any] = Field(description="Per arm: units, and means of quality, cost and latency with intervals")
    weights: dict[str, dict[str, float]] = Field(
        description="As published last: context (empty for all others), key of the arm (JSON text of its value, or"
        " `incumbent`), weight"
    )
    phase: Literal["exploring", "promoted", "halted"]
    promoted_arm: str | None
    explored_usd: float | None = Field(
        description="What runs with other values than the code's cost in the last 24 hours, and the begun hour before"
    )
    units: int = Field(description="Runs at a line that it has learned from")
    started_ns: int
    started_by: str
    updated_ns: int
    published_ns: int


class Notice(Answer):
    """Something that a webhook was told of, or is to be told of."""

    kind: Literal["new_finding", "rollback", "budget_stop"]
    subject: str = Field(description="Id of the finding, or of the row of the audit")
    noted_ns: int
    sent_ns: int | None
    tries: int
    next_ns: int | None = Field(description="When it is tried; null: sent or given up")
    error: str | None = Field(description="Why the last try failed")


class Shares(Answer):
    """With which weights a value was drawn from a version of the policy on."""

    version: int
    issued_ns: int
    arms: list[dict[str, Any]] | None = Field(description="Null where nothing was drawn")


class Draws(Answer):
    """How often a value was drawn in a stretch of time."""

    at_ns: int = Field(description="Its begin")
    arm: str = Field(description="JSON text of the value, or `incumbent`")
    units: int = Field(description="Runs at a line")


class TuningHistory(Answer):
    """How an experiment that is learned from was drawn."""

    bin_ns: int = Field(description="Width of a stretch of time")
    shares: list[Shares] = Field(description="Versions in which weights changed, the last 500, oldest first")
    draws: list[Draws]


class Tuning(Answer):
    """Modes, and experiments that are learned from."""

    modes: list[KnobMode]
    campaigns: list[Campaign]


class ShadowTaken(Answer):
    """What became of pairs."""

    pairs: int


class CampaignEvent(Answer):
    """One thing that happened to an experiment that is learned from."""

    event_id: int
    experiment_id: str
    at_ns: int
    kind: str
    arm: str | None
    told: str
    figures: dict[str, Any]


class CampaignEvents(Answer):
    """Events after a known one, oldest first."""

    items: list[CampaignEvent]
    after: int = Field(description="Give it as `after` to get what follows")


class AuditEntry(Answer):
    """One decision: who, when, from, to, why."""

    audit_id: int
    at_ns: int
    actor: str
    via: str
    action: str
    subject_kind: str
    subject_id: str
    from_value: Any
    to_value: Any
    why: str | None
    policy_version: int = Field(description="In force after it")


class Events(Answer):
    """Decisions after a known one, oldest first."""

    items: list[AuditEntry]
    after: int = Field(description="Give it as `after` to get what follows")


class FreezeState(Answer):
    """Whether steering is stopped, and who last said so."""

    frozen: bool
    policy_version: int
    at_ns: int | None = Field(description="Null where nobody ever froze or unfroze")
    actor: str | None
    via: str | None
    why: str | None


class OutcomeTaken(Answer):
    """What became of an outcome."""

    outcome_id: str
    is_new: bool


class LoginCode(Answer):
    """A code that opens one session."""

    code: str
    name: str
    expires_ns: int


class Session(Answer):
    """Somebody who was let in."""

    session_id: str
    name: str
