"""Recommendations in words, and what people type as bodies for the API."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_dashboard.views import recommendations
from trimtab_tuner.recommend.proposal import MICRO_USD, SECONDS, SHARE, association, expected

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def row(**fields: Any) -> dict[str, Any]:
    """A recommendation that waits for a decision."""
    plain = {
        "recommendation_id": "r",
        "status": "proposed",
        "version": 4,
        "knob": "max_retries",
        "from_value": 0,
        "to_value": 3,
        "rule_id": None,
        "decided_by": None,
        "proposed_ns": 0,
    }
    return plain | fields


@given(JSON)
def test_an_unedited_value_is_not_sent(value: Any) -> None:
    """What stands in the field when nobody touched it is the recommendation itself, at the version that was shown."""
    proposed = row(to_value=value)
    assert ({"version": 4}, None) == recommendations.accept_body(proposed, recommendations.value_text(proposed), " ")


@given(JSON)
def test_an_edited_value_is_sent_as_it_is(value: Any) -> None:
    """Any other JSON value goes to the sidecar, which knows what can be used."""
    proposed = row(to_value={"never": "this"})
    text = recommendations.value_text(row(to_value=value))
    assert ({"version": 4, "why": "so", "value": value}, None) == recommendations.accept_body(proposed, text, " so ")


@pytest.mark.parametrize("text", ["", "3 retries", "{", "NaN", "[Infinity]", "'3'", "[" * 100_000])
def test_what_is_no_json_is_not_sent(text: str) -> None:
    """It is said in one sentence, and nothing is sent."""
    body, problem = recommendations.accept_body(row(), text, "")
    assert body is None
    assert problem is not None
    assert problem.startswith("The value is no JSON")
    assert problem.endswith("Nothing was sent.")


def test_groups_hold_every_state_once() -> None:
    """To decide, in force, decided before; in the API's order, without empty headings."""
    states = [state for _, states in recommendations.GROUPS for state in states]
    rows = [row(status=state) for state in states]
    grouped = recommendations.groups(rows)
    assert rows == [each for group in grouped for each in group.rows]
    assert ["To decide"] == [group.heading for group in recommendations.groups([row()])]
    assert len(states) == len({recommendations.state(each) for each in rows})


def test_nothing_is_called_obeyed_while_frozen() -> None:
    """A change in force is kept then, and says so; one that waits is not touched by it."""
    assert "no call obeys it" in recommendations.state(row(status="active"), is_frozen=True)[1]
    assert recommendations.state(row()) == recommendations.state(row(), is_frozen=True)


def test_a_finding_leads_to_the_change_that_answers_it() -> None:
    """To the one that waits for a decision rather than to one in force; a rejected one is no offer."""
    waiting = row(finding_id="f1", evidence={"findings": ["f1", "f2"]})
    rows = [waiting, *(row(finding_id=f, status=s, evidence={}) for f, s in (("f1", "active"), ("f3", "promoted")))]
    offers = recommendations.offers([*rows, row(finding_id="f4", status="rejected", evidence={})])
    assert {"f1", "f2", "f3"} == offers.keys()
    assert offers["f1"] == offers["f2"] != offers["f3"]


def test_the_value_in_force_is_the_one_a_person_set() -> None:
    """Where somebody accepted another value, that one is shown."""
    accepted = row(status="accepted", rule_id="rec-r")
    assert "`max_retries`: `0` → **`3`**" == recommendations.change(row())
    assert "`max_retries`: `0` → **`2`**" == recommendations.change(accepted, [{"rule_id": "rec-r", "value": 2}])


def test_history_says_who_when_and_why() -> None:
    """Who decided, through what, when, why, and since when it is obeyed."""
    decided = row(
        status="active",
        decided_by="Ida",
        decided_via="dashboard",
        decided_ns=0,
        decided_why="429s.",
        policy_version=2,
        obeyed_ns=10**9,
    )
    assert (
        "Accepted by Ida through the dashboard, 1970-01-01 00:00:00 UTC (just now). Why: 429s. Policy version 2."
        " First obeyed 1970-01-01 00:00:01 UTC."
    ) == recommendations.history(decided, 0)
    assert "Proposed 5 min ago." == recommendations.history(row(), 300 * 10**9)


def test_expectations_carry_bounds_basis_and_unit() -> None:
    """Points of calls, dollars and seconds with their bounds; what is not known is called so."""
    hoped = expected(
        association(SHARE, low=0.0, high=0.28, estimate=0.12, n=9, basis="seen"),
        association(MICRO_USD, low=None, high=400.0, estimate=None, n=2, basis="seen"),
    )
    success, cost, latency = recommendations.expected(row(expected=hoped))
    assert ("+12 points of calls, 0 to +28", "association: seen (n = 9)") == (success["By"], success["Rests on"])
    assert "? to +$0.0004 per call" == cost["By"]
    assert ("not known", "") == (latency["By"], latency["Rests on"])
    slower = expected(latency=association(SECONDS, low=-1.5, high=0, estimate=-0.25, n=1, basis="b"))
    assert "-250 ms per call, -1.5 s to 0 s" == recommendations.expected(row(expected=slower))[2]["By"]


def test_before_and_after_is_an_association() -> None:
    """Both sides with counts and interval, the difference with its own, and what kind of statement it is."""
    side = {
        "runs": 8,
        "failed_runs": 4,
        "cost_per_run_musd": 2000.4,
        "unpriced_requests": 1,
        "calls": 20,
        "lost_calls": 4,
        "attempts_per_call": 1.2,
        "p50_latency_s": 0.5,
    }
    none = side | {
        "runs": 0,
        "failed_runs": 0,
        "cost_per_run_musd": None,
        "attempts_per_call": None,
        "p50_latency_s": None,
    }
    difference = {"estimate": 0.375, "low": -0.05, "high": 0.7}
    compared = {
        "before": side,
        "after": none,
        "success_difference": difference,
        "left_out_runs": 2,
        "kind": "association",
    }
    rows = recommendations.before_and_after(compared)
    assert ["4 of 8 (50.0 %; 95 % interval 22–78 %)", "at least $0.0020", "4 of 20", "1.20", "500 ms"] == [
        row["Before"] for row in rows
    ]
    assert ["none of 0", "not known", "4 of 20", "–", "–"] == [row["Since it is obeyed"] for row in rows]
    said = recommendations.difference(compared)
    assert "+38 points (95 % interval -5 to +70); association." in said
    assert "2 runs in between or still running are left out." in said
    assert "nothing can be compared" in recommendations.difference(compared | {"success_difference": None})


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        (
            {"knob": "model", "to_value": "gpt-5-mini", "site_id": "s1"},
            "trimtab shadow gpt-5-mini --site s1 --calls 50 --usd 0.50",
        ),
        (
            {"knob": "fallback", "to_value": {"on": ["429"], "models": ["m1", "m2"]}, "site_id": None},
            "trimtab shadow m1 --calls 50 --usd 0.50",
        ),
        (
            {"knob": "model", "to_value": "x; rm -rf ~", "site_id": None},
            "trimtab shadow 'x; rm -rf ~' --calls 50 --usd 0.50",
        ),
        ({"knob": "max_retries", "to_value": 3, "site_id": "s1"}, None),
        ({"knob": "fallback", "to_value": {"on": ["429"], "models": []}, "site_id": "s1"}, None),
    ],
)
def test_a_model_can_be_shadowed_first(fields: dict[str, Any], command: str | None) -> None:
    """The command names the model and the line as a shell takes them; other settings have none."""
    assert command == recommendations.shadow_command(row(**fields))
