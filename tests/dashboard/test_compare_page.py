"""The page Compare over a real sidecar: shares, gap, frontier and drawn values, or what they would need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from trimtab_dashboard import strings
from trimtab_tracer.records import Decision, Outcome, Record, RunStart

Page = Callable[..., AppTest]
Said = Callable[[AppTest], str]
COPIES = 6


@pytest.fixture(scope="module")
def records(records: list[Record]) -> list[Record]:
    """The story with two versions, told outcomes, and values of ``style`` that were drawn."""
    told: list[Record] = []
    for record in records:
        if isinstance(record, Outcome):
            continue
        if not isinstance(record, RunStart):
            told.append(record)
            continue
        n, at = int(record.run_id[1:]), record.ts_ns
        version = ("v1", "v2")[n % 2]
        told.append(RunStart(record.run_id, "p1", at, "order", "explicit", task=record.task, harness=version))
        told.append(Outcome(f"o{n}", record.run_id, at, n % 2 == 0 or n % 3 == 0))
        for copy in range(COPIES):  # runs without calls: their outcomes and draws count
            run, start = f"{record.run_id}c{copy}", at + copy + 1
            style = "short" if (n + copy) % 2 else "long"
            told.append(RunStart(run, "p1", start, "order", "explicit", task=record.task, harness=version))
            told.append(Decision(f"{run}:style", run, "style", style, "experiment", "client", start, propensity=0.5))
            told.append(Outcome(f"o{run}", run, start, style == "short"))
    return told


def test_shares_and_gap_are_told_with_n_and_interval(page: Page, said: Said) -> None:
    """Each measure has its sentence; where no gap can be told, what it takes is."""
    shown = said(page("compare"))
    assert "Success varies with" in shown
    assert "lines are 95 % intervals" in shown
    assert "n = " in shown


def test_cost_and_quality_need_two_configurations(page: Page, said: Said) -> None:
    """Two versions with known success and cost are two; their runs are one click away."""
    app = page("compare", part="Cost and quality")
    assert {"v1", "v2"} == {name.partition(" / ")[0] for name in app.dataframe[0].value["Configuration"]}
    assert strings.FRONTIER_NOTE in said(app)


def test_a_drawn_value_is_weighed_and_another_refused(page: Page, said: Said) -> None:
    """What every run would have come to with it, its effective runs; a value that was never drawn is refused."""
    app = page("compare", part="What if")
    figures = {metric.label: metric.value for metric in app.metric}
    assert {"What ran", "With this value", "Effective runs"} == set(figures)
    assert "chance chose the values" in said(app)
    app = page("compare", part="What if", value="terse")
    assert [] == list(app.exception)
    assert "never drawn" in " ".join(warning.value for warning in app.warning)


@pytest.mark.parametrize("view", ["Shares and gap", "Cost and quality", "What if"])
@pytest.mark.usefixtures("empty")
def test_nothing_recorded_says_what_to_do(page: Page, said: Said, view: str) -> None:
    """An empty home is no error."""
    app = page("compare", part=view)
    assert [] == list(app.exception)
    assert (strings.NOTHING_DRAWN if view == "What if" else strings.EMPTY) in said(app)
