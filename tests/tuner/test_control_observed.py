"""What agents' records say: who obeyed the policy, and whether steered calls cost too much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, Decision, Exchange, Record, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Control
from trimtab_tuner.reads import fetch

ALICE = Actor("alice", "cli")
SECOND = 10**9
HOUR = 3600 * SECOND


class Clock:
    """Stands still until it is set."""

    now_ns = 1_795_262_400 * SECOND

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store."""
    with Store.open(settings.store_path) as opened:
        yield opened


@pytest.fixture
def control(store: Store, settings: Settings, clock: Clock) -> Control:
    """A control that lets steered calls cost two dollars a day."""
    return Control(store, replace(settings, steer_max_usd_per_day=2.0), clock=clock)


def accepted(control: Control, knob: str = "max_retries", value: Any = 3, **match: str) -> str:
    """Id of an accepted recommendation for these calls."""
    columns = {"finding_id": "f", "rule": "retry_storm", "knob": knob, "service": None, "model": None}
    columns |= {"site_id": None, "file": None, "function": None, "line": None, "title": "t", "why": "w"}
    columns |= {"from_value": None, "to_value": value, "match": match, "expected": {}, "evidence": {}, "risk": "low"}
    columns |= {"learned_by": "rule", "calls_per_day": None, "wrong_if": None, "experiment_id": None}
    control.propose([SimpleNamespace(**columns)])
    (row,) = rows(control, "SELECT * FROM recommendations WHERE status = 'proposed'")
    return str(control.accept(row["recommendation_id"], version=1, actor=ALICE)["recommendation_id"])


def rows(control: Control, sql: str) -> list[dict[str, Any]]:
    """What a query gives."""
    with closing(control._store.cursor()) as con:
        return fetch(con, sql)


def call(name: str, at_ns: int, *, cost_usd: str = "0", model: str = "gpt-4o", service: str = "shop") -> list[Record]:
    """Records of one call of run ``r-<name>`` at site s1."""
    ids = (f"{name}/1", name, f"r-{name}", "p", 1, at_ns, SECOND)
    wire = ("openai.chat", "POST", "api.openai.com", "/v1/chat/completions", "s1", "complete")
    said = {"input_tokens": 10, "output_tokens": 1, "usage_source": "reported", "cost_reported_usd": cost_usd}
    return [
        RunStart(f"r-{name}", "p", at_ns, "buy", "explicit", service=service),
        Attempt(*ids, *wire, http_status=200, model=model),
        Exchange(f"{name}/1", name, f"r-{name}", "openai.chat", model, response_model=model, **said),  # type: ignore[arg-type]
    ]


def obeyed(name: str, at_ns: int, *, knob: str = "max_retries", site: str = "s1", **more: Any) -> Decision:
    """The decision by which that call obeyed version 2."""
    named = {"source": "human", "policy_version": 2, "call_id": name} | more
    return Decision(f"{name}:{knob}", f"r-{name}", knob, 3, site_id=site, ts_ns=at_ns, **named)


def state(control: Control, name: str) -> tuple[str, int, int | None]:
    """State, version and first obedience of a recommendation."""
    (row,) = rows(control, f"SELECT * FROM recommendations WHERE recommendation_id = '{name}'")
    return row["status"], row["version"], row["obeyed_ns"]


def test_the_first_call_that_obeys_makes_it_active(control: Control, store: Store, clock: Clock) -> None:
    """An accepted recommendation becomes active with the time of the first decision, by the sidecar, once."""
    name = accepted(control, site="s1")
    control.note_obeyed()
    assert ("accepted", 2, None) == state(control, name)
    later = clock.now_ns + 5 * SECOND
    ingest(store, [*call("c1", later + SECOND), obeyed("c1", later + SECOND), *call("c0", later), obeyed("c0", later)])
    for _ in range(2):
        control.note_obeyed()
    assert ("active", 3, later) == state(control, name)
    assert [("alice", "accept"), ("sidecar", "activate")] == [(r["actor"], r["action"]) for r in control.events(0)]
    assert "promoted" == control.promote(name, version=3, actor=ALICE)["status"]


@pytest.mark.parametrize(
    ("match", "decision", "expected"),
    [
        ({}, {}, "active"),
        ({"site": "s1"}, {"site": "client", "site_role": "constructor"}, "active"),
        ({"site": "client"}, {"site": "client", "site_role": "constructor"}, "active"),
        ({"service": "shop", "model": "gpt-4o"}, {}, "active"),
        ({"site": "s1"}, {"policy_version": 3}, "active"),
        ({"site": "s2"}, {}, "accepted"),
        ({"service": "mail"}, {}, "accepted"),
        ({"model": "claude"}, {}, "accepted"),
        ({}, {"source": "code", "policy_version": None}, "accepted"),
        ({}, {"source": "experiment"}, "accepted"),
        ({}, {"policy_version": 1}, "accepted"),
        ({}, {"knob": "timeout_s"}, "accepted"),
    ],
)
def test_only_calls_that_it_matches_count(
    control: Control, store: Store, clock: Clock, match: dict[str, str], decision: dict[str, Any], expected: str
) -> None:
    """A decision counts for the knob, by a person's rule, under its version or a later one, on the matched calls."""
    name = accepted(control, **match)
    ingest(store, [*call("c1", clock.now_ns), obeyed("c1", clock.now_ns, **decision)])
    control.note_obeyed()
    assert expected == state(control, name)[0]


def test_a_steered_model_hides_the_one_asked_for(control: Control, store: Store, clock: Clock) -> None:
    """A rule for one model that sets another is obeyed by calls whose recorded model is that other one."""
    name = accepted(control, "model", "gpt-4o-mini", model="gpt-4o")
    records = call("c1", clock.now_ns, model="gpt-4o-mini")
    ingest(store, [*records, obeyed("c1", clock.now_ns, knob="model")])
    control.note_obeyed()
    assert "active" == state(control, name)[0]


def test_a_knob_of_ones_own_is_obeyed_too(control: Control, store: Store, clock: Clock) -> None:
    """A declared knob belongs to no call: its decision counts by its own site and the run's service."""
    name = accepted(control, "my_knob", site="k1", service="shop")
    decision = obeyed("c1", clock.now_ns, knob="my_knob", site="k1", site_role="knob", call_id=None, choices=(1, 3))
    ingest(store, [*call("c1", clock.now_ns), decision])
    control.note_obeyed()
    assert "active" == state(control, name)[0]


def test_taken_back_it_has_to_be_obeyed_anew(control: Control, store: Store, clock: Clock) -> None:
    """What is rolled back is not active any more; brought back by the policy's roll back it waits for new calls."""
    name = accepted(control)
    ingest(store, [*call("c1", clock.now_ns), obeyed("c1", clock.now_ns)])
    control.note_obeyed()
    control.roll_back(name, version=3, actor=ALICE)
    control.roll_back_policy(2, seen=3, actor=ALICE)
    control.note_obeyed()
    assert ("accepted", 5, None) == state(control, name)
    ingest(store, [*call("c2", clock.now_ns), obeyed("c2", clock.now_ns, policy_version=4)])
    control.note_obeyed()
    assert ("active", 6, clock.now_ns) == state(control, name)


def spend(store: Store, name: str, at_ns: int, usd: str, **decision: Any) -> None:
    """A call that obeyed and cost so much."""
    ingest(store, [*call(name, at_ns, cost_usd=usd), obeyed(name, at_ns, **decision)])


def test_the_spend_cap_freezes_once(control: Control, store: Store, clock: Clock) -> None:
    """Above the cap the sidecar freezes, with the sum as its reason, and not again while it is frozen."""
    accepted(control)
    spend(store, "c1", clock.now_ns - HOUR, "1.5")
    control.check_spend()
    assert not control.published().is_frozen
    spend(store, "c2", clock.now_ns, "0.6")
    for _ in range(3):
        control.check_spend()
    assert (3, True) == (control.published().version, control.published().is_frozen)
    (row,) = control.events(1)
    assert ("sidecar", "spend_cap", True) == (row["actor"], row["action"], row["to_value"])
    assert "steered calls cost 2.1 USD, steer_max_usd_per_day is 2" == row["why"]


def test_after_a_person_let_it_go_on_it_is_watched_from_there(control: Control, store: Store, clock: Clock) -> None:
    """What was spent before unfreezing no longer counts; what comes after it does."""
    accepted(control)
    spend(store, "c1", clock.now_ns - HOUR, "5")
    control.check_spend()
    clock.now_ns += HOUR
    control.unfreeze(ALICE, seen=3)
    control.check_spend()
    assert not control.published().is_frozen
    spend(store, "c2", clock.now_ns + SECOND, "2.5")
    clock.now_ns += HOUR
    control.check_spend()
    assert control.published().is_frozen


@pytest.mark.parametrize(
    ("at", "decision"),
    [
        (-25 * HOUR, {}),
        (0, {"source": "code", "policy_version": None}),
        (0, {"knob": "timeout_s"}),
        (0, {"call_id": None}),
    ],
)
def test_money_that_no_policy_spent_freezes_nothing(
    control: Control, store: Store, clock: Clock, at: int, decision: dict[str, Any]
) -> None:
    """Calls of the day before, calls that were not steered, and knobs that cost nothing do not count."""
    accepted(control)
    spend(store, "c1", clock.now_ns + at, "50", **decision)
    control.check_spend()
    assert not control.published().is_frozen


def test_an_experiment_spends_too(control: Control, store: Store, clock: Clock) -> None:
    """What an experiment's arms cost counts like what a person's rule does; without any rule nothing is asked."""
    spend(store, "c1", clock.now_ns, "50", source="experiment", knob="model")
    control.check_spend()
    assert not control.published().is_frozen
    arms = [{"incumbent": True, "weight": 0.5}, {"value": "gpt-4o-mini", "weight": 0.5}]
    control.start_experiment("model", {}, arms, seen=1, actor=ALICE)
    control.check_spend()
    assert control.published().is_frozen
