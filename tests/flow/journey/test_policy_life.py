"""What a running agent does when whoever wrote its policy is gone, comes back, or writes nonsense."""

from __future__ import annotations

import time
from typing import Any


def accept(world: Any, knob: str) -> None:
    """Accept the recommendation for this knob, as its name on the audit."""
    row = world.recommendation(knob)
    world.client.post(f"/v1/recommendations/{row['recommendation_id']}/accept", {"version": row["version"]})


def test_the_last_policy_holds_for_its_lifetime_and_then_the_code_does(short_lived: Any) -> None:
    """A killed sidecar leaves its policy in force until it expires; a new one issues it again."""
    world = short_lived
    accept(world, "fallback")
    assert [True, True, True] == world.runs_after_decision("accept")

    world.sidecar.kill()
    world.sidecar.wait()
    killed_ns = time.time_ns()
    world.wait_for(lambda: not world.lines()[-1].is_ok)
    went_on = [line for line in world.lines() if line.begun_ns > killed_ns and line.is_ok]
    assert len(went_on) >= 3, "it held for a while"
    assert [False, False, False] == world.runs_after(time.time_ns())

    world.watch("--no-dashboard")
    assert [True, True, True] == world.runs_after(time.time_ns())
    assert world.agent.poll() is None, "the agent was never started again"


def test_nonsense_in_the_policy_stops_steering_says_why_once_and_is_mended(short_lived: Any) -> None:
    """A half-written file leaves the code's own values in force with one sentence, until the sidecar writes it anew."""
    world = short_lived
    accept(world, "fallback")
    assert [True, True, True] == world.runs_after_decision("accept")
    world.sidecar.kill()
    world.sidecar.wait()

    policy = world.home / "policy.json"
    policy.write_bytes(policy.read_bytes()[:-40])
    assert [False, False, False] == world.runs_after(time.time_ns())
    said = (world.home / "agent.log").read_text()
    assert 1 == said.count("the policy is refused")

    world.watch("--no-dashboard")
    assert [True, True, True] == world.runs_after(time.time_ns())
