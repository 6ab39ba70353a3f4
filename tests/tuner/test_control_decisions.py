"""Decisions: what each one does to the policy, to what it belongs to and to the audit, and what a late one is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Conflict, Control, NotThere, Refused
from trimtab_tuner.control.recommendations import recommendation_id
from trimtab_tuner.reads import fetch

ALICE, BOB = Actor("alice", "dashboard"), Actor("bob", "cli")
ARMS = [{"incumbent": True, "weight": 0.5}, {"value": 3, "weight": 0.5}]
NOON = 1_795_262_400_000_000_000
"""2026-11-21 12:00:00 UTC."""


class Clock:
    """One second later at every look."""

    def __init__(self) -> None:
        self.now_ns = NOON

    def __call__(self) -> int:
        self.now_ns += 10**9
        return self.now_ns


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store."""
    with Store.open(settings.store_path) as opened:
        yield opened


@pytest.fixture
def control(store: Store, settings: Settings) -> Control:
    """A control of it, with a clock of its own."""
    return Control(store, settings, clock=Clock())


def proposal(knob: str = "max_retries", to_value: Any = 3, **more: Any) -> Any:
    """What the analysis would propose."""
    columns = {"finding_id": "f1", "rule": "retry_storm", "knob": knob, "service": None, "model": None}
    columns |= {"site_id": "s1", "file": "shop.py", "function": "main", "line": 12, "title": "Retry less", "why": "it"}
    columns |= {"from_value": None, "to_value": to_value, "match": {"site": "s1"}, "expected": {}, "evidence": {}}
    return SimpleNamespace(
        **columns
        | {"risk": "low", "learned_by": "rule", "calls_per_day": None, "wrong_if": None}
        | {"experiment_id": None}
        | more
    )


def proposed(control: Control, *proposals: Any) -> list[str]:
    """Ids of proposals that are recommendations now."""
    control.propose(proposals)
    return [recommendation_id(p.knob, p.match, p.from_value, p.to_value, p.rule) for p in proposals]


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    """A whole table."""
    with closing(store.cursor()) as con:
        return fetch(con, f"SELECT * FROM {table} ORDER BY ALL")


def told(store: Store) -> list[tuple[str, ...]]:
    """The audit: who, what, about what."""
    return [(row["actor"], row["action"], row["subject_kind"]) for row in rows(store, "audit")]


def statuses(store: Store) -> dict[str, str]:
    """State of each recommendation."""
    return {row["recommendation_id"]: row["status"] for row in rows(store, "recommendations")}


def test_a_new_store_has_a_policy_without_rules(control: Control, settings: Settings) -> None:
    """Before anyone decided anything there is version 1, made by the sidecar, that changes nothing."""
    control.refresh()
    document = json.loads(settings.policy_path.read_bytes())
    assert (1, [], False) == (document["version"], document["rules"], document["frozen"])
    assert {"max_retries": 5, "max_delay_s": 60, "max_in_flight": 32, "max_tokens_per_hour": 20_000_000} == document[
        "guardrails"
    ]
    assert control.events(0) == []


def test_accepting_publishes_the_rule_and_says_who_and_why(control: Control, store: Store, settings: Settings) -> None:
    """An accepted one is a rule of the next version; its row and the audit name person, reason and values."""
    (name,) = proposed(control, proposal())
    row = control.accept(name, version=1, actor=ALICE, why="  storms cost us sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4 ")
    rule = {"rule_id": f"rec-{name}", "knob": "max_retries", "match": {"site": "s1"}, "sticky": "run"}
    assert [rule | {"source": "human", "value": 3}] == json.loads(settings.policy_path.read_bytes())["rules"]
    assert ("accepted", 2, "alice", "dashboard", 2) == tuple(
        row[key] for key in ("status", "version", "decided_by", "decided_via", "policy_version")
    )
    (entry,) = rows(store, "audit")
    assert (1, "accept", "recommendation", name, None, 3, 2) == tuple(
        entry[key]
        for key in ("audit_id", "action", "subject_kind", "subject_id", "from_value", "to_value", "policy_version")
    )
    assert entry["why"].startswith("storms cost us ")
    assert "aB3dE6gH9" not in entry["why"]
    assert [(1, "sidecar"), (2, "alice")] == [(r["version"], r["actor"]) for r in rows(store, "policy_versions")]


def test_another_value_may_be_accepted(control: Control) -> None:
    """A person may set another value than the proposed one, also one that means the code's own None."""
    first, second = proposed(control, proposal(), proposal("my_knob"))
    control.accept(first, version=1, actor=ALICE, value=1)
    control.accept(second, version=1, actor=ALICE, value=None)
    assert [1, None] == [rule["value"] for rule in control.published().document["rules"]]


@pytest.mark.parametrize("value", [11, "3", float("nan"), {"auth": 1}, json.loads("[" * 500 + "]" * 500)])
def test_a_value_that_agents_would_refuse_is_refused(control: Control, store: Store, value: Any) -> None:
    """What no agent would take changes nothing and is named."""
    (name,) = proposed(control, proposal())
    with pytest.raises(Refused, match=r"^rule\.value.*so nothing was changed"):
        control.accept(name, version=1, actor=ALICE, value=value)
    assert (1, "proposed", []) == (control.published().version, statuses(store)[name], rows(store, "audit"))


def test_who_comes_second_is_told_who_came_first(control: Control) -> None:
    """A decision about a version that is no more changes nothing and says who decided what, when and from where."""
    (name,) = proposed(control, proposal())
    at = control.accept(name, version=1, actor=ALICE)["decided_ns"]
    clock = f"12:00:{(at - NOON) // 10**9:02d}"
    happened = f"alice accepted this recommendation at {clock} UTC (from the dashboard)"
    for late in (control.accept, control.reject):
        with pytest.raises(Conflict) as caught:
            late(name, version=1, actor=BOB)
        assert str(caught.value) == f"{happened}; nothing was changed. Look again and decide then."
    with pytest.raises(Conflict, match=r"is at version 2 now and you saw 1: alice accepted recommendation \w+ at"):
        control.remove_rule(f"rec-{name}", seen=1, actor=BOB)


def test_a_decision_of_another_day_is_told_with_its_date(control: Control) -> None:
    """Where it was not today, the day is named."""
    (name,) = proposed(control, proposal())
    control.reject(name, version=1, actor=BOB)
    control._clock.now_ns += 86400 * 10**9  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match=r"^bob rejected .* at 2026-11-21 12:00:\d\d UTC \(from the command line\)"):
        control.accept(name, version=1, actor=ALICE)


def test_a_decision_fits_the_state(control: Control) -> None:
    """What was rejected can't be accepted, what nobody obeyed can't be promoted; the way out is named."""
    first, second = proposed(control, proposal(), proposal("timeout_s", 5))
    control.reject(first, version=1, actor=BOB)
    control.accept(second, version=1, actor=BOB)
    with pytest.raises(Conflict, match=r"^bob rejected this .*only a proposed one .*`trimtab policy rule add`"):
        control.accept(first, version=2, actor=ALICE)
    with pytest.raises(Conflict, match=r"only an active one, which calls have obeyed already, can be promoted"):
        control.promote(second, version=2, actor=ALICE)
    with pytest.raises(Conflict, match=r"only one whose rule is in force"):
        control.roll_back(first, version=2, actor=ALICE)


def test_what_does_not_exist_is_named(control: Control) -> None:
    """Unknown recommendations, experiments, rules and versions are one sentence each."""
    with pytest.raises(NotThere, match=r'no recommendation "x"; `trimtab recs` lists'):
        control.accept("x", version=1, actor=ALICE)
    with pytest.raises(NotThere, match=r"no experiment"):
        control.stop_experiment("x", version=1, actor=ALICE)
    with pytest.raises(NotThere, match=r"no rule"):
        control.remove_rule("x", seen=1, actor=ALICE)
    with pytest.raises(NotThere, match=r"no policy version 7"):
        control.roll_back_policy(7, seen=1, actor=ALICE)
    with pytest.raises(NotThere, match=r"No policy before version 1 had other rules"):
        control.roll_back_policy(seen=1, actor=ALICE)


@pytest.mark.parametrize(
    "actor", [Actor("", "cli"), Actor("x" * 81, "cli"), Actor("a\nb", "cli"), Actor(" ", "cli"), Actor("a", "mail")]
)
def test_an_actor_can_stand_in_the_audit(control: Control, actor: Actor) -> None:
    """Names that can't be shown, and unknown ways in, are refused, also by freezing."""
    with pytest.raises(Refused, match=r"the actor's .* expected"):
        control.freeze(actor)
    with pytest.raises(Refused, match=r"the actor's .* expected"):
        control.put_rule({"knob": "a", "value": 1}, seen=1, actor=actor)
    assert (1, False) == (control.published().version, control.published().is_frozen)


def test_the_second_for_the_same_calls_replaces_the_first(control: Control, store: Store) -> None:
    """Accepting for the same knob and match rolls the older one back; its audit row says by what it was superseded."""
    first, second = proposed(control, proposal(to_value=3), proposal(to_value=1))
    control.accept(first, version=1, actor=ALICE)
    control.accept(second, version=1, actor=BOB)
    assert {first: "rolled_back", second: "accepted"} == statuses(store)
    assert [f"rec-{second}"] == [rule["rule_id"] for rule in control.published().document["rules"]]
    reasons = {row["why"] for row in rows(store, "audit") if row["subject_id"] == first}
    assert {None, f"superseded by rule rec-{second}"} == reasons
    assert 3 == len(rows(store, "audit"))


def test_a_rule_by_hand_replaces_too(control: Control, store: Store) -> None:
    """A rule put by hand supersedes a recommendation on the same calls, and the other way round."""
    first, second = proposed(control, proposal(to_value=3), proposal(to_value=1))
    control.accept(first, version=1, actor=ALICE)
    control.put_rule({"knob": "max_retries", "match": {"site": "s1", "model": None}, "value": 2}, seen=2, actor=BOB)
    assert "rolled_back" == statuses(store)[first]
    control.accept(second, version=1, actor=ALICE)
    assert [1] == [rule["value"] for rule in control.published().document["rules"]]
    assert [("alice", "accept", "recommendation"), ("alice", "remove_rule", "rule")] == sorted(told(store)[-2:])


def test_a_rule_by_hand_keeps_its_id_and_place(control: Control) -> None:
    """A rule with the id of another takes its place; without an id it gets one."""
    control.put_rule({"rule_id": "mine", "knob": "model", "value": "gpt-4o"}, seen=1, actor=ALICE)
    control.put_rule({"knob": "timeout_s", "value": 5}, seen=2, actor=ALICE)
    control.put_rule({"rule_id": "mine", "knob": "max_tokens", "value": 100}, seen=3, actor=ALICE)
    rules = control.published().document["rules"]
    assert ["max_tokens", "timeout_s"] == [rule["knob"] for rule in rules]
    assert ["mine", "man-"] == [rule["rule_id"][:4] for rule in rules]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"knob": "model", "value": "https://evil.example"}, r"rule\.value"),
        ({"knob": "base_url", "value": "x"}, r"rule\.knob"),
        ({"knob": "model", "value": "gpt", "url": 1}, r"unknown key"),
        ({"knob": "model"}, r"neither 'value' nor 'arms'"),
        ({"rule_id": "rec-1", "knob": "model", "value": "gpt"}, r"does not begin with rec- or exp-"),
        ({"knob": "max_retries", "source": "experiment", "arms": ARMS}, r"start one instead"),
        ({"knob": "model", "value": "gpt", "match": []}, r"match"),
    ],
)
def test_a_rule_that_no_person_may_put(control: Control, rule: dict[str, Any], message: str) -> None:
    """Rules that agents would refuse, or that belong to recommendations and experiments, are refused."""
    with pytest.raises(Refused, match=message):
        control.put_rule(rule, seen=1, actor=ALICE)
    assert 1 == control.published().version


def test_a_policy_has_room_for_so_many_rules(control: Control) -> None:
    """The whole document is checked as agents would: one rule too many is refused."""
    with control._store.transaction() as con:
        full = control.published().document | {"version": 2}
        full["rules"] = [
            {"rule_id": f"m{n}", "knob": f"k{n}", "match": {}, "sticky": "run", "source": "human", "value": 1}
            for n in range(500)
        ]
        con.execute("INSERT INTO policy_versions VALUES (2, 1, ?, 'r', 'a', 'cli')", [json.dumps(full)])
    with pytest.raises(Refused, match=r"rules is a list of 501, expected"):
        control.put_rule({"knob": "model", "value": "gpt"}, seen=2, actor=ALICE)


def test_removing_a_rule_ends_what_it_belongs_to(control: Control, store: Store) -> None:
    """A removed rule takes its recommendation or experiment with it."""
    (name,) = proposed(control, proposal())
    control.accept(name, version=1, actor=ALICE)
    experiment = control.start_experiment("timeout_s", {}, ARMS, seen=2, actor=ALICE)
    control.remove_rule(f"rec-{name}", seen=3, actor=BOB)
    control.remove_rule(experiment["rule_id"], seen=4, actor=BOB)
    assert ("rolled_back", "stopped") == (statuses(store)[name], rows(store, "experiments")[0]["status"])
    assert [] == control.published().document["rules"]


def test_rolling_the_policy_back_takes_everything_along(control: Control, store: Store) -> None:
    """Earlier rules come back as a new version: who loses its rule is rolled back, who regains it is accepted again."""
    (name,) = proposed(control, proposal())
    control.accept(name, version=1, actor=ALICE)
    experiment = control.start_experiment("timeout_s", {}, ARMS, seen=2, actor=ALICE)
    control.roll_back_policy(1, seen=3, actor=BOB, why="it got worse")
    assert (4, []) == (control.published().version, control.published().document["rules"])
    assert ("rolled_back", "stopped") == (statuses(store)[name], rows(store, "experiments")[0]["status"])
    control.roll_back_policy(seen=4, actor=BOB)
    assert [f"rec-{name}", experiment["rule_id"]] == [r["rule_id"] for r in control.published().document["rules"]]
    (row,) = rows(store, "experiments")
    assert ("accepted", "running", 5, None) == (
        statuses(store)[name],
        row["status"],
        row["policy_version"],
        row["stopped_ns"],
    )
    assert [(3, 1), (4, 3)] == [
        (row["from_value"], row["to_value"]) for row in rows(store, "audit") if row["action"] == "roll_back_policy"
    ]


def test_rolling_back_goes_to_the_last_other_rules(control: Control) -> None:
    """Freezing makes versions too; without a number the rules before these come back, and it stays frozen."""
    control.put_rule({"knob": "max_retries", "value": 1}, seen=1, actor=ALICE)
    control.freeze(ALICE)
    control.roll_back_policy(seen=3, actor=ALICE)
    assert (4, [], True) == (
        control.published().version,
        control.published().document["rules"],
        control.published().is_frozen,
    )
    with pytest.raises(Refused, match=r"version 1 has the same rules"):
        control.roll_back_policy(1, seen=4, actor=ALICE)


def test_an_experiment_has_its_calls_to_itself(control: Control) -> None:
    """While it runs, no other one on its knob and no rule on its calls can begin; afterwards they can."""
    (name,) = proposed(control, proposal(match={"site": "s1", "service": "shop"}))
    row = control.start_experiment("max_retries", {"site": "s1"}, ARMS, seen=1, actor=ALICE)
    assert ("running", 1, [f"exp-{row['experiment_id']}"]) == (
        row["status"],
        row["version"],
        [rule["rule_id"] for rule in control.published().document["rules"]],
    )
    with pytest.raises(Conflict, match=rf"^Experiment {row['experiment_id']} steers .*stop the experiment first"):
        control.accept(name, version=1, actor=BOB)
    with pytest.raises(Conflict, match=r"stop the experiment first"):
        control.put_rule({"knob": "max_retries", "value": 1}, seen=2, actor=BOB)
    with pytest.raises(Conflict, match=r"runs on max_retries, and only one can"):
        control.start_experiment("max_retries", {"site": "s2"}, ARMS, seen=2, actor=BOB)
    control.put_rule({"knob": "max_retries", "match": {"site": "s2"}, "value": 1}, seen=2, actor=BOB)
    assert "stopped" == control.stop_experiment(row["experiment_id"], version=1, actor=BOB)["status"]
    assert "accepted" == control.accept(name, version=1, actor=BOB)["status"]


def test_an_experiment_never_runs_over_a_rule(control: Control) -> None:
    """Where a person's rule is on some of the same calls, no experiment starts; the rule is named."""
    control.put_rule({"rule_id": "mine", "knob": "max_retries", "value": 1}, seen=1, actor=ALICE)
    with pytest.raises(Conflict, match=r"^Rule mine steers the same knob .*take that rule back first"):
        control.start_experiment("max_retries", {"site": "s1"}, ARMS, seen=2, actor=BOB)


@pytest.mark.parametrize(
    "arms",
    [
        [],
        [{"value": 1, "weight": 1.0}],
        [{"value": 1, "weight": 0.99}, {"value": 2, "weight": 0.01}],
        [{"value": 1, "weight": 0.5}, {"value": 2, "weight": 0.4}],
        [{"value": 1, "weight": 0.5}, {"value": 1, "weight": 0.5}],
        [{"value": 1, "weight": 0.5}, {"value": 99, "weight": 0.5}],
        [{"incumbent": True, "value": 1, "weight": 0.5}, {"value": 2, "weight": 0.5}],
        [{"value": n, "weight": 1 / 9} for n in range(9)],
        "arms",
    ],
)
def test_arms_that_agents_would_refuse(control: Control, arms: Any) -> None:
    """2 to 8 different values that the knob may have, with weights from 0.02 to 0.98 that sum to 1."""
    with pytest.raises(Refused, match=r"rule\.arms"):
        control.start_experiment("max_retries", {}, arms, seen=1, actor=ALICE)
    assert [] == control.published().document["rules"]


def test_who_stops_second_is_told_too(control: Control) -> None:
    """An experiment is stopped once."""
    row = control.start_experiment("max_retries", {}, ARMS, seen=1, actor=ALICE)
    control.stop_experiment(row["experiment_id"], version=1, actor=ALICE)
    with pytest.raises(Conflict, match=r"^alice stopped this experiment at .* \(from the dashboard\); nothing was"):
        control.stop_experiment(row["experiment_id"], version=1, actor=BOB)


def test_freezing_needs_no_version_and_keeps_the_rules(control: Control, store: Store) -> None:
    """Frozen, the document says so and keeps its rules; deciding goes on; unfreezing needs the version seen."""
    (name,) = proposed(control, proposal())
    assert control.freeze(BOB, "alarm").is_frozen
    assert 2 == control.freeze(ALICE).version
    control.accept(name, version=1, actor=ALICE)
    assert (True, 1) == (control.published().is_frozen, len(control.published().document["rules"]))
    with pytest.raises(Conflict, match=r"you saw 2: alice accepted"):
        control.unfreeze(BOB, seen=2)
    published = control.unfreeze(BOB, seen=3)
    assert (4, False, 1) == (published.version, published.is_frozen, len(published.document["rules"]))
    with pytest.raises(Conflict, match=r"Steering is not frozen"):
        control.unfreeze(BOB, seen=4)
    assert [
        ("bob", "freeze", "policy"),
        ("alice", "freeze", "policy"),
        ("alice", "accept", "recommendation"),
        ("bob", "unfreeze", "policy"),
    ] == told(store)
    assert "alarm" == rows(store, "audit")[0]["why"]


def test_a_reason_has_a_bound(control: Control) -> None:
    """A reason that is too long is refused before anything changes, also that of a freeze."""
    with pytest.raises(Refused, match=r"the reason \(why\).*at most 2000 characters"):
        control.freeze(ALICE, "x" * 2001)
    assert not control.published().is_frozen


# --- proposals ------------------------------------------------------------------------------------------------------


def test_a_proposal_keeps_its_id_and_takes_new_figures(control: Control, store: Store) -> None:
    """The same change proposed again is the same recommendation at the same version, with the newest evidence."""
    (name,) = proposed(control, proposal(evidence={"n": 1}))
    (again,) = proposed(control, proposal(evidence={"n": 2}, match={"site": "s1", "model": None}))
    (row,) = rows(store, "recommendations")
    assert (name, {"n": 2}, 1, "proposed") == (again, row["evidence"], row["version"], row["status"])
    assert row["updated_ns"] > row["proposed_ns"]
    assert 12 == len(name)
    assert set("0123456789abcdef") >= set(name)


def test_what_nothing_asks_for_expires_and_may_come_back(control: Control, store: Store) -> None:
    """A proposal that is no longer made expires, by the sidecar; made again it is proposed at a new version."""
    (name,) = proposed(control, proposal())
    control.propose([])
    assert ("expired", 2) == (statuses(store)[name], rows(store, "recommendations")[0]["version"])
    assert [("sidecar", "expire", "recommendation")] == told(store)
    with pytest.raises(Conflict, match=r"^trimtab let this recommendation expire, .* UTC; nothing was changed"):
        control.accept(name, version=1, actor=ALICE)
    proposed(control, proposal())
    assert ("proposed", 3) == (statuses(store)[name], rows(store, "recommendations")[0]["version"])
    with pytest.raises(Conflict, match=r"^This recommendation is proposed at version 3, and you saw version 1;"):
        control.reject(name, version=1, actor=ALICE)
    control.accept(name, version=3, actor=ALICE)


def test_what_was_decided_stays_decided(control: Control, store: Store) -> None:
    """Rejected and accepted ones are neither proposed again nor expired; another value is another recommendation."""
    first, second = proposed(control, proposal(), proposal("timeout_s", 5.0))
    control.reject(first, version=1, actor=ALICE)
    control.accept(second, version=1, actor=ALICE)
    proposed(control, proposal(), proposal("timeout_s", 5.0))
    control.propose([])
    assert {first: "rejected", second: "accepted"} == statuses(store)
    (other,) = proposed(control, proposal(to_value=1))
    assert "proposed" == statuses(store)[other]


def test_an_analysis_without_news_writes_nothing(control: Control, store: Store) -> None:
    """The same proposals again leave every row as it was."""
    proposed(control, proposal(evidence={"calls": ("c1",), "share": 0.25}))
    before = rows(store, "recommendations")
    proposed(control, proposal(evidence={"calls": ("c1",), "share": 0.25}))
    assert before == rows(store, "recommendations")
