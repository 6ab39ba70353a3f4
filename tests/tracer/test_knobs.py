"""Declared knobs: the default comes back, and the decision is on record."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trimtab
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import Decision, RunStart, Site

Recorded = Callable[[type], list[Any]]


def test_returns_its_default_and_records_it(recorded: Recorded) -> None:
    """A knob is its default, and the decision names run and line."""
    with trimtab.run("r") as run:
        value = trimtab.knob("top_k", 5, choices=[3, 5, 10])
    (decision,) = recorded(Decision)
    site = next(s for s in recorded(Site) if s.site_id == decision.site_id)
    assert 5 == value
    assert ("top_k", 5, 1.0, run.run_id) == (decision.knob, decision.value, decision.propensity, decision.run_id)
    assert 'trimtab.knob("top_k", 5' in site.source


def test_is_recorded_once_per_run_and_value(recorded: Recorded) -> None:
    """Reading a knob in a loop is one decision of its run; another run has its own."""
    for name in ("a", "b"):
        with trimtab.run(name):
            for _ in range(50):
                trimtab.knob("depth", 2)
    assert 2 == len(recorded(Decision))


def test_outside_of_runs_it_holds_for_those_that_follow(recorded: Recorded) -> None:
    """A knob read at import time is in force in every declared run, and makes no run of its own."""
    trimtab.knob("top_k", 5)
    with trimtab.run("a") as a, trimtab.run("b") as b:
        pass
    assert {a.run_id, b.run_id} == {d.run_id for d in recorded(Decision)}
    assert ["a", "b"] == [r.name for r in recorded(RunStart)]


def test_any_default_comes_back_as_it_is(recorded: Recorded) -> None:
    """Objects are returned untouched and recorded as text."""
    default = {"tools": ("a", "b")}
    with trimtab.run("r"):
        assert trimtab.knob("toolset", default) is default
    assert ['{"tools":["a","b"]}'] == [d.value for d in recorded(Decision)]


def test_secrets_are_not_recorded(recorded: Recorded) -> None:
    """A knob whose name tells of a secret comes back as it is and is recorded without its value."""
    with trimtab.run("r"):
        assert "plainSecret" == trimtab.knob("api_key", "plainSecret")
        trimtab.knob("clients", {"password": "hunter2abc"})
    assert not [d.value for d in recorded(Decision) if "plainSecret" in d.value or "hunter2" in d.value]


def test_default_outside_its_choices_is_said_once(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """A default that is none of the choices still holds, with one sentence in the log however often it is read."""
    with caplog.at_level(logging.WARNING, "trimtab"):
        assert [4] * 50 == [trimtab.knob("width", 4, choices=[3, 5]) for _ in range(50)]
    assert 1 == caplog.text.count("is none of its 2 choices")


def publish(home: Path, *rules: dict[str, Any], **fields: Any) -> None:
    """A policy with these rules."""
    document = {
        "schema": 1,
        "version": 1,
        "issued_ns": time.time_ns(),
        "lifetime_s": 3600,
        "frozen": False,
        "rules": [
            {"rule_id": f"r{i}", "match": {}, "sticky": "run", "source": "human", **r} for i, r in enumerate(rules)
        ],
        **fields,
    }
    file = home / "policy.json"
    file.write_text(json.dumps(document))
    file.chmod(0o600)


def obey(home: Path, *rules: dict[str, Any], version: int) -> None:
    """Publish it and go on when it is obeyed."""
    publish(home, *rules, version=version)
    until = time.monotonic() + 20
    while (tracer := switch.active()) is not None and time.monotonic() < until:
        policy = tracer.steering.policy()
        if policy is not None and policy.version == version:
            return
        time.sleep(0.01)
    raise AssertionError("not obeyed")


@pytest.fixture
def home(recorded: Recorded, tmp_path: Path) -> Path:
    """The home of the traced process, before it has looked for a policy."""
    path = tmp_path / "home"
    path.mkdir(exist_ok=True)
    return path


def test_policy_turns_it(home: Path, recorded: Recorded) -> None:
    """A value that is among the choices is returned and on record, with who decided and what it could have been."""
    publish(home, {"knob": "top_k", "value": 10})
    with trimtab.run("r"):
        assert 10 == trimtab.knob("top_k", 5, choices=[3, 5, 10])
    (decision,) = recorded(Decision)
    assert (10, "human", 1.0, 1) == (decision.value, decision.source, decision.propensity, decision.policy_version)
    assert (3, 5, 10) == decision.choices


@pytest.mark.parametrize(
    ("value", "default", "choices", "expected"),
    [
        (10, 5, None, 5),
        (7, 5, [3, 5, 10], 5),
        (1, True, [True, False], True),
        (True, 0, [0, 1], 0),
        ("3", 5, [3, 5], 5),
        (3.0, 5, [3, 5], 3),
        ([1, 2], (), [(), (1, 2)], (1, 2)),
        ({"a": [1]}, None, [None, {"a": [1]}], {"a": [1]}),
        ({"a": [True]}, None, [None, {"a": [1]}], None),
    ],
)
def test_only_a_choice_of_the_codes_own(
    home: Path, recorded: Recorded, value: Any, default: Any, choices: Any, expected: Any
) -> None:
    """Without choices, or with a value that is none of them in value and kind, the default holds."""
    publish(home, {"knob": "k", "value": value})
    with trimtab.run("r"):
        found = trimtab.knob("k", default, choices=choices)
    assert (type(expected), expected) == (type(found), found)
    assert [("human" if found is not default else "default")] == [d.source for d in recorded(Decision)]


def test_object_is_the_codes_own(home: Path) -> None:
    """What comes back is the very object among the choices, not one out of a policy."""
    publish(home, {"knob": "plan", "value": ["a", "b"]})
    choices = [("a",), ("a", "b")]
    with trimtab.run("r"):
        assert trimtab.knob("plan", choices[0], choices=choices) is choices[1]


def test_rule_for_another_line_or_service_is_not_for_this_one(home: Path) -> None:
    """Site and service are matched; no model is asked for, so a rule for one matches no knob."""
    others = [{"site": "elsewhere"}, {"service": "other"}, {"model": "gpt"}]
    publish(home, *({"knob": f"k{i}", "value": 1, "match": match} for i, match in enumerate(others)))
    with trimtab.run("r"):
        assert [0, 0, 0] == [trimtab.knob(f"k{i}", 0, choices=[0, 1]) for i in range(3)]


def test_experiment_draws_once_per_run(home: Path, recorded: Recorded) -> None:
    """Reading it again in a run gives the same; the incumbent is the default, with the probability it had."""
    arms = [{"incumbent": True, "weight": 0.3}, {"value": 9, "weight": 0.7}]
    publish(home, {"knob": "depth", "source": "experiment", "arms": arms})
    drawn = []
    for _ in range(30):
        with trimtab.run("r"):
            values = {trimtab.knob("depth", 2, choices=[2, 9]) for _ in range(3)}
            assert 1 == len(values)
            drawn += values
    decided = [(d.value, d.source, d.propensity) for d in recorded(Decision)]
    assert [(v, "experiment", {2: 0.3, 9: 0.7}[v]) for v in drawn] == decided
    assert {2, 9} == set(drawn)


def test_outside_of_runs_the_process_is_the_run(home: Path, recorded: Recorded) -> None:
    """Read before any run, the value is the process's, and so is what later runs are told of it."""
    arms = [{"value": 1, "weight": 0.5}, {"value": 2, "weight": 0.5}]
    publish(home, {"knob": "depth", "source": "experiment", "arms": arms})
    (value,) = {trimtab.knob("depth", 0, choices=[0, 1, 2]) for _ in range(9)}
    with trimtab.run("r") as run:
        pass
    assert value in (1, 2)
    assert [(value, "experiment", 0.5, run.run_id)] == [
        (d.value, d.source, d.propensity, d.run_id) for d in recorded(Decision)
    ]


def test_frozen_policy_turns_nothing(home: Path) -> None:
    """While steering is stopped the default holds."""
    publish(home, {"knob": "top_k", "value": 10}, frozen=True)
    assert 5 == trimtab.knob("top_k", 5, choices=[5, 10])


def test_choices_on_record_are_json_without_secrets(recorded: Recorded) -> None:
    """Objects that no policy could name, and secrets, are left out of the choices on record."""
    secret = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
    with trimtab.run("r"):
        trimtab.knob("mode", "a", choices=["a", ("b", 1), object(), secret, None])
    (decision,) = recorded(Decision)
    assert ("a", ["b", 1], None) == decision.choices


def test_reading_again_is_seen_anew_where_something_changed(home: Path, recorded: Recorded) -> None:
    """Another default, other choices and another policy count at once, on the same line and in the same run."""
    publish(home, {"knob": "k", "value": 10})

    def read(default: Any, choices: Any) -> Any:
        return trimtab.knob("k", default, choices=choices)

    asked: list[tuple[Any, Any]] = [(5, [5, 10]), (5, [5, 10]), (6, [6, 10]), (5, [10, 5]), (5, (5, 7)), (5, None)]
    with trimtab.run("r"):
        assert [10, 10, 10, 10, 5, 5] == [read(*each) for each in asked]
        obey(home, {"knob": "k", "value": 7}, version=2)
        assert [5, 7] == [read(5, [5, 10]), read(5, (5, 7))]
    found = [(d.value, d.source) for d in recorded(Decision)]
    assert [(10, "human"), (5, "default"), (7, "human")] == found


def test_runs_and_their_state_decide(home: Path, recorded: Recorded) -> None:
    """Attributes of the run and what happened in it are looked at; each value is recorded once, with what was seen."""

    @trimtab.tool
    def break_down() -> None:
        raise ValueError("no")

    gold = {"match": {"context": {"tier": "gold"}}}
    publish(
        home,
        {"knob": "depth", "value": 3, **gold},
        {"knob": "depth", "value": 9, **gold, "when": {"previous_failed": True}},
    )
    values = []
    for tier in ("gold", "tin"):
        with trimtab.run("r", tier=tier):
            for _ in range(3):
                values += [trimtab.knob("depth", 1, choices=[1, 3, 9]) for _ in range(2)]
                with pytest.raises(ValueError, match="no"):
                    break_down()
    assert [3, 3, 9, 9, 9, 9, *[1] * 6] == values
    found = [(d.value, d.rule_id, d.seen) for d in recorded(Decision)]
    seen: list[Any] = [{"calls": 0, "tokens": 0, "previous_failed": has_failed} for has_failed in (False, True)]
    assert [(3, "r0", seen[0]), (9, "r1", seen[1]), (1, None, None)] == found


def test_many_rules_cost_no_more_than_one(home: Path) -> None:
    """Reading a knob again takes about as long under hundreds of rules as under none, and microseconds."""
    arms = [{"value": 3, "weight": 0.5}, {"value": 5, "weight": 0.5}]
    about = {"knob": "top_k", "source": "experiment", "arms": arms}
    table = {("top_k", n): n for n in range(500)}

    def fastest(read: Callable[[], Any]) -> float:
        taken = []
        for _ in range(20):
            started = time.perf_counter()
            for _ in range(200):
                read()
            taken.append(time.perf_counter() - started)
        return min(taken)

    def knob() -> int:
        return trimtab.knob("top_k", 5, choices=[3, 5, 10])

    times = []
    for version, n in ((1, 0), (2, 400)):
        obey(home, *({**about, "match": {"context": {"tier": str(i)}}} for i in range(n)), about, version=version)
        with trimtab.run("r", tier="399"):
            knob()
            times.append(fastest(knob))
    assert times[1] < 3 * times[0]
    assert times[1] < 300 * fastest(lambda: table["top_k", 5])
