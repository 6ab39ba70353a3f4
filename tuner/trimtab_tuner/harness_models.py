"""Shapes of what the API says of the harness: its lines, the way of runs through them, and comparisons.

In: rows of the store and results of the analyzer. Out: checked models, as :mod:`.models` has them; units are those of
that module. Apart from it because these answers are about many runs, and say of how many.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .models import Answer, Page, Place


class Scope(Answer):
    """Which runs an answer is about."""

    runs: int = Field(description="Runs looked at: the newest ones that fit")
    of_runs: int = Field(
        description="Runs that fit; where they are more, the older ones are in no number of this answer"
    )
    first_ns: int | None = Field(description="Start of the first run looked at")
    last_ns: int | None = Field(description="Start of the last one")


class Spent(Answer):
    """What calls of a line paid for, one class of the ledger."""

    cls: str
    cost_musd: int
    attempts: int
    unknown: int = Field(description="Attempts of unknown cost among them, counted as 0")


class InForce(Answer):
    """A setting that held for calls of a line."""

    knob: str
    value: Any
    source: str
    decided_at: str = Field(description="Id of the line that decided")
    role: str = Field(description="`call`, `constructor` or `knob`")
    calls: int = Field(
        description="For how many calls it held; 0: it was decided at this line for no call in particular"
    )
    last_ns: int
    values_total: int = Field(description="Values, sources and places that the knob had here; the last five are listed")


class Step(Answer):
    """A line within one step of time."""

    at_ns: int
    calls: int
    failed_calls: int
    cost_musd: int


class SiteRow(Answer):
    """A line that makes calls."""

    site_id: str
    file: str | None = Field(description="Null where the record of the line has not come in")
    function: str | None
    line: int | None
    end_line: int | None
    source: str | None
    owner: str | None
    services: list[str] | None
    models: list[str] | None
    runs: int
    judged_runs: int = Field(description="Of them those that ended or have an outcome")
    failed_runs: int
    calls: int
    failed_calls: int
    attempts: int
    failed_attempts: int
    cost_musd: int
    attempts_unpriced: int
    wasted_musd: int = Field(description="Of the cost what bought nothing useful")
    spent: list[Spent] = Field(description="The cost by class of the ledger; the classes sum to it")
    input_tokens: int | None
    output_tokens: int | None
    median_ns: int | None
    p95_ns: int | None
    first_ns: int
    last_ns: int
    knobs: list[InForce]
    trend: list[Step]


class HarnessPage(Page[SiteRow]):
    """A page of the lines that make calls."""

    scope: Scope
    step_ns: int = Field(description="Length of a step of `trend`")
    sites: list[Place] = Field(description="Places where the settings were decided")


class MapNode(Answer):
    """A line or a tool that runs passed."""

    kind: Literal["site", "tool"]
    name: str = Field(description="Id of the line, or name of the tool")
    times: int
    runs: int
    failed: int
    cost_musd: int
    unpriced: int = Field(description="Calls of unknown cost")
    median_ns: int | None
    is_upper_bound: bool = Field(description="The time of some is an upper bound: they were not seen running")


class MapEdge(Answer):
    """From one to what began next in the run."""

    from_kind: Literal["start", "site", "tool"]
    from_name: str
    to_kind: Literal["site", "tool", "end"]
    to_name: str
    times: int
    runs: int
    failed: int = Field(description="How often what it leads to failed; of an end, how many of the runs did")
    cost_musd: int = Field(description="Of the calls it leads to")
    unpriced: int


class AgentMap(Answer):
    """The agent as it ran: what came after what."""

    scope: Scope
    nodes: list[MapNode] = Field(description="Those that an edge names")
    edges: list[MapEdge] = Field(description="The most travelled ones")
    nodes_total: int
    edges_total: int
    times_total: int = Field(
        description="How often all edges together were travelled; what is not in `edges` is left out"
    )
    sites: list[Place]


class Compared(Answer):
    """How much of success, cost and latency comes with harness, model and task (docs/compare.md)."""

    scope: Scope
    harness: str = Field(description="What told harnesses apart")
    comparison: dict[str, Any] | None = Field(
        description="As `trimtab compare --json` prints it, without its knobs and scorecard"
    )
    refusal: str | None = Field(description="Why there is no comparison")


class Dimension(Answer):
    """What a score means."""

    id: str
    formula: str
    unit: str
    hint: str = Field(description="What to do where n is 0")


class Score(Answer):
    """One dimension of one version of the harness."""

    version: str
    dimension: str
    score: float | None = Field(description="In [0, 100]; null where n is 0")
    low: float | None = Field(description="95 % interval")
    high: float | None
    n: float
    unit: str
    runs: int


class Version(Answer):
    """A version of the harness, by what its runs came to."""

    version: str
    runs: int
    first_ns: int
    last_ns: int
    judged: int = Field(description="Runs of known outcome")
    succeeded: int
    success_low: float | None = Field(description="95 % interval of the share that succeeded (Wilson)")
    success_high: float | None
    priced: int = Field(description="Runs of known cost")
    cost_musd: float | None = Field(description="Mean cost of those")
    cost_low: float | None = Field(description="95 % interval of the mean (Student's t); null of fewer than two runs")
    cost_high: float | None
    latency_s: float | None = Field(description="Median time from start to end")


class Scorecard(Answer):
    """Versions of the harness side by side, in the order of their first runs."""

    scope: Scope
    versions: list[Version]
    scores: list[Score]
    dimensions: list[Dimension]


class Drawn(Answer):
    """A knob whose values were drawn at a line."""

    site_id: str
    place: str
    knob: str
    values: list[str] = Field(description="JSON text of each value that was drawn")
    runs: list[int] = Field(description="How many runs drew each")


class Estimate(Answer):
    """A number with its 95 % interval for one look; null where it has no bound."""

    estimate: float | None
    se: float | None
    low: float | None
    high: float | None


class Valued(Answer):
    """What a value would have come to; success is a share, cost USD of a run, latency seconds of a call."""

    n: int = Field(description="Runs in the log")
    effective: float = Field(description="Runs drawn under the candidate that would tell as much")
    logged: float = Field(description="Mean of what ran")
    ipw: Estimate
    snips: Estimate
    dr: Estimate
    low: float | None = Field(
        description="95 % interval around `dr` that holds at any time; null where it has no bound"
    )
    high: float | None
    is_exact: bool = Field(description="It holds at every size; else as the number of runs grows")


class WhatIf(Answer):
    """What a value of a knob would have come to, from what was drawn."""

    choices: list[Drawn] = Field(description="What can be asked about")
    first_ns: int | None = Field(description="When the first of the values asked about was drawn")
    last_ns: int | None
    value: Valued | None
    refusal: str | None = Field(description="Why there is no value, though one was asked for")
