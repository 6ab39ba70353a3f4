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
