"""What the policy in force orders for a call: whose rule, which value, within which caps, and for how long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer import steering as module
from trimtab_tracer.decisions import Hint, Plan, Setting, obeyed
from trimtab_tracer.policy_source import PolicySource
from trimtab_tracer.progress import Progress
from trimtab_tracer.records import Choice, Site
from trimtab_tracer.settings import Settings
from trimtab_tracer.steering import Steering

CALL = Site("call", "a.py", "ask", 5, 5, "ask()")
BUILT = Site("built", "a.py", "make", 2, 2, "OpenAI()")


class Clock:
    """Seconds that pass with every look, so that each look finds what is new."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


class Kit:
    """Steering over a policy file."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, service="shop")
        self.version = 0
        self.steering = self.made()

    def made(self, **settings: Any) -> Steering:
        changed = replace(self.settings, **settings)
        return Steering(changed, PolicySource(changed, monotonic=Clock()))

    def publish(self, *rules: dict[str, Any], **fields: Any) -> None:
        self.version += 1
        document = {
            "schema": 1,
            "version": self.version,
            "issued_ns": time.time_ns(),
            "lifetime_s": 3600,
            "frozen": False,
            "rules": [
                {"rule_id": f"rule-{i}", "match": {}, "sticky": "run", "source": "human", **rule}
                for i, rule in enumerate(rules)
            ],
            **fields,
        }
        file = self.settings.home / "policy.new"
        file.write_text(json.dumps(document))
        file.chmod(0o600)
        file.replace(self.settings.policy_path)

    def plan(self, run_id: str = "run", hint: Hint | None = None, model: str | None = "gpt") -> Plan | None:
        return self.steering.plan(CALL, hint, model, run_id)

    def values(self, **asked: Any) -> dict[str, Any]:
        plan = self.plan(**asked)
        return plan.values() if plan is not None else {}


@pytest.fixture
def kit(tmp_path: Path, strict: None) -> Kit:
    return Kit(tmp_path)


def hint(max_retries: int = 2, is_default: bool = False) -> Hint:
    setting = Setting(max_retries, by_call=False, is_default=is_default, built_at=BUILT)
    return Hint(max_retries=setting, timeout=setting)


def experiment(*values: Any, weight: float | None = None, **more: Any) -> dict[str, Any]:
    arms = [{"value": value, "weight": weight or 1 / len(values)} for value in values]
    return {"knob": "timeout_s", "source": "experiment", "arms": arms, **more}


def test_nothing_is_ordered_without_a_rule(kit: Kit) -> None:
    """No policy, an empty one, a frozen one, one for other calls and one for declared knobs: no plan."""
    plans = [kit.plan()]
    for rules, fields in (
        ([], {}),
        ([{"knob": "timeout_s", "value": 3}], {"frozen": True}),
        ([{"knob": "timeout_s", "value": 3, "match": {"model": "other"}}], {}),
        ([{"knob": "timeout_s", "value": 3, "match": {"service": "other"}}], {}),
        ([{"knob": "top_k", "value": 3}], {}),
    ):
        kit.publish(*rules, **fields)
        plans.append(kit.plan())
    assert [None] * 6 == plans
    kit.publish({"knob": "timeout_s", "value": 3, "match": {"model": "gpt", "service": "shop", "site": "call"}})
    assert {"timeout_s": 3} == kit.values()


def test_rule_may_name_the_line_that_chose(kit: Kit) -> None:
    """Retries and timeouts are pinned to the constructor where they were given there; models to the call."""
    at_built = {"match": {"site": "built"}}
    kit.publish(
        {"knob": "timeout_s", "value": 3, **at_built},
        {"knob": "max_retries", "value": 4, **at_built},
        {"knob": "model", "value": "new", **at_built},
    )
    assert {"timeout_s": 3, "max_retries": 4} == kit.values(hint=hint())
    assert {} == kit.values(hint=hint(is_default=True))
    plan = kit.plan(hint=hint())
    assert plan is not None
    assert [("built", "constructor")] * 2 == [(o.pin.site.site_id, o.pin.role) for o in plan.orders]


def test_values_are_cut_to_the_strictest_cap(tmp_path: Path, kit: Kit) -> None:
    """Constants, settings and guardrails: the lowest counts, and what is cut is what is ordered."""
    pauses = {"initial_s": 9, "factor": 2, "max_s": 60, "jitter": 0}
    kit.publish({"knob": "max_retries", "value": {"server": 9, "other": 1}}, {"knob": "backoff", "value": pauses})
    assert {"server": 5, "other": 1} == kit.values()["max_retries"]
    kit.steering = kit.made(steer_max_retries=3, steer_max_delay_s=20.0)
    assert {"server": 3, "other": 1} == kit.values()["max_retries"]
    assert {**pauses, "max_s": 20.0} == kit.values()["backoff"]
    kit.publish({"knob": "max_retries", "value": 9}, guardrails={"max_retries": 2, "max_delay_s": 999})
    assert 2 == kit.values()["max_retries"]
    plan = kit.plan()
    assert plan is not None
    assert (2, 20.0) == (plan.caps.max_retries, plan.caps.max_delay_s)


def test_run_keeps_what_it_drew(kit: Kit) -> None:
    """One draw per run, line and rule, also where the shares change; another run, or another arm, draws anew."""
    kit.publish(experiment(3, 4))
    first = {run: kit.values(run_id=run)["timeout_s"] for run in map(str, range(40))}
    assert {3, 4} == set(first.values())
    kit.publish(experiment(4, 3, 5))
    assert first == {run: kit.values(run_id=run)["timeout_s"] for run in map(str, range(40))}
    kit.publish(experiment(6, 7))
    assert {6, 7} == {kit.values(run_id=run)["timeout_s"] for run in map(str, range(40))}


def test_person_is_obeyed_at_once(kit: Kit) -> None:
    """A fixed value is no draw: a run under way gets the new one."""
    values = []
    for value in (3, 9):
        kit.publish({"knob": "timeout_s", "value": value})
        values.append(kit.values()["timeout_s"])
    assert [3, 9] == values


def test_memory_of_draws_is_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten is drawn again, with the same result."""
    monkeypatch.setattr(module, "MAX_STICKY", 5)
    kit.publish(experiment(3, 4))
    drawn = [[kit.values(run_id=str(n))["timeout_s"] for n in range(30)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 5 == len(kit.steering._sticky)


def test_threads_draw_alike(kit: Kit) -> None:
    """Many threads of one run at once have one value."""
    kit.publish(experiment(*range(1, 9)))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(kit.values()["timeout_s"])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (12, 1) == (len(found), len(set(found)))


@pytest.mark.parametrize(
    "change",
    [
        lambda kit: kit.publish({"knob": "max_retries", "value": 3}, frozen=True),
        lambda kit: kit.publish({"knob": "max_retries", "value": 3, "rule_id": "another"}),
        lambda kit: kit.publish(),
        lambda kit: kit.settings.policy_path.unlink(),
        lambda kit: kit.steering.close(),
    ],
)
def test_plan_that_is_over(kit: Kit, change: Callable[[Kit], None]) -> None:
    """A plan holds as long as its rules are in force: not frozen, not taken back, not switched off."""
    kit.publish({"knob": "max_retries", "value": 3}, {"knob": "timeout_s", "value": 9})
    plan = kit.plan()
    assert plan is not None
    kit.publish({"knob": "max_retries", "value": 3})
    assert kit.steering.holds(plan)
    change(kit)
    assert not kit.steering.holds(plan)


def test_nothing_dearer_once_the_tokens_are_spent(kit: Kit) -> None:
    """Models, limits, fallbacks and more retries stay the code's; fewer retries, pauses and timeouts are steered on."""
    kit.publish(
        {"knob": "model", "value": "new"},
        {"knob": "max_tokens", "value": 9},
        {"knob": "fallback", "value": {"on": ["server"], "models": ["b"]}},
        {"knob": "timeout_s", "value": 9},
        {"knob": "max_retries", "value": {"server": 4, "rate_limit": 1}},
        guardrails={"max_tokens_per_hour": 100},
    )
    assert 5 == len(kit.values(hint=hint()))
    kit.steering.tokens.add(100)
    assert {"timeout_s": 9, "max_retries": {"server": 2, "rate_limit": 1}} == kit.values(hint=hint())


def test_places_to_wait_are_counted(kit: Kit) -> None:
    """As many calls wait as the cap says; one that goes makes room."""
    kit.publish({"knob": "max_retries", "value": 3}, guardrails={"max_in_flight": 2})
    plan = kit.plan()
    assert plan is not None
    taken = [kit.steering.begin_waiting(plan.caps) for _ in range(3)]
    kit.steering.end_waiting()
    assert [True, True, False, True] == [*taken, kit.steering.begin_waiting(plan.caps)]


def test_observing_never_steers(kit: Kit) -> None:
    """With the setting off there is no policy, whatever lies in the home."""
    kit.publish({"knob": "timeout_s", "value": 3})
    kit.steering = kit.made(steering=False)
    assert kit.steering.policy() is None


def test_what_was_seen_is_told_where_it_mattered(kit: Kit) -> None:
    """By the rule with the condition and by the one that it gives way to; a knob without conditions says nothing."""
    kit.publish(
        {"knob": "max_tokens", "value": 9},
        {"knob": "max_tokens", "value": 99, "when": {"min_step": 1}},
        {"knob": "timeout_s", "value": 3},
    )
    run = Progress("run", "shop")
    told = []
    for _ in range(2):
        plan = kit.steering.plan(CALL, None, "gpt", "run", run)
        assert plan is not None
        told.append({order.knob: (order.value, order.seen) for order in plan.orders})
        run.began_call()
    seen = [{"calls": calls, "tokens": 0, "previous_failed": False} for calls in (0, 1)]
    assert [{"timeout_s": (3, None), "max_tokens": each} for each in ((9, seen[0]), (99, seen[1]))] == told
    assert {"timeout_s": 3, "max_tokens": 9} == kit.values()  # of a run that is not known no condition holds


def test_only_what_began_may_go_on_beyond_its_condition(kit: Kit) -> None:
    """A model's rule whose condition is over is there for conversations that began with it, marked as past."""
    kit.publish(
        {"knob": "model", "value": "first", "when": {"max_step": 0}},
        {"knob": "max_tokens", "value": 9, "when": {"max_step": 0}},
    )
    run = Progress("run", "shop")
    run.began_call()
    plan = kit.steering.plan(CALL, None, "gpt", "run", run)
    assert plan is not None
    assert [("model", True, ("rule-0",))] == [(order.knob, order.is_past, order.rules) for order in plan.orders]


def test_orders_take_the_place_of_choices(kit: Kit) -> None:
    """The code's choice keeps its line; value, source, propensity and version are the order's; new knobs are added."""
    pauses = {"initial_s": 1, "factor": 2, "max_s": 8, "jitter": 0}
    arms = [{"incumbent": True, "weight": 0.02}, {"value": 9, "weight": 0.98}]
    kit.publish(
        {"knob": "timeout_s", "value": 7},
        {"knob": "backoff", "value": pauses},
        {
            "knob": "max_retries",
            "source": "experiment",
            "arms": [{**arms[0], "weight": 0.98}, {**arms[1], "weight": 0.02}],
        },
    )
    plan = kit.plan(hint=hint())
    assert plan is not None
    mine = (
        Choice("timeout_s", 3, "code", "built", "constructor"),
        Choice("max_retries", 1, "code"),
        Choice("n", 1, "code"),
    )
    assert (
        Choice("timeout_s", 7, "human", "built", "constructor", 1.0, 1, "rule-0"),
        Choice("max_retries", 1, "experiment", None, "call", 0.98, 1, "rule-2", "incumbent"),
        Choice("n", 1, "code"),
        Choice("backoff", pauses, "human", "built", "constructor", 1.0, 1, "rule-1"),
    ) == obeyed(mine, plan.orders)
    assert mine == obeyed(mine, ())
