"""Retry loops around retry loops, as frameworks stack them, at a provider that stays down.

The agents are functions of `programs/stacks.py`. Its `crew` has the shape of CrewAI's: tasks that try three times,
agents that try three times, and an SDK that tries three times, which makes 27 requests of one question.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer import load
from trimtab_analyzer.case import Case
from trimtab_analyzer.layers import retry_stacks
from trimtab_tracer.extras import HOST_BUDGET

CREW = 27
"""Requests of the crew without us."""
OUTAGES = ("429", "500", "drop", "mixed")
OUTAGE = "500"
"""What the other stacks meet."""
STEERED = ("max_retries", "fallback", "backoff", "all")
"""Policies that ask for more, or for other pauses."""
OTHERS = ("fresh_clients", "streaming", "langchain", "together", "talkative", "tenacious", "by_hand")
SAVING = ("fresh_clients", "streaming", "langchain", "together")
"""Stacks whose inner calls have retries that they can save, and repeat what they send."""
MAX_RETRIES = 5
"""Of the policies that raise retries."""


Play = Callable[[str, str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def played(flow: Any) -> Play:
    """What became of one stack at one outage under one policy."""

    def play(matrix: tuple[str, ...]) -> list[dict[str, Any]]:
        ran = flow.run(flow.program("stacks.py"), {}, *matrix, limit_s=240)
        assert ran.returncode == 0, ran.stderr[-3000:]
        return [json.loads(line) for line in ran.stdout.splitlines()]

    crew = ("crew", ",".join(OUTAGES), ",".join(("off", "none", "no retries", *STEERED)))
    others = (",".join(OTHERS), OUTAGE, "off,none,all")
    with ThreadPoolExecutor(2) as pool:
        lines = [line for lines in pool.map(play, (crew, others)) for line in lines]
    found = {(line["stack"], line["outage"], line["policy"]): line for line in lines}
    return lambda *key: found[key]


@pytest.fixture(scope="module")
def imported(warm: Any) -> Any:
    """A process that has imported what the stacks begin with."""
    return warm("anthropic", "openai", "httpx", "trimtab_tuner.provider")


@pytest.mark.parametrize("outage", OUTAGES)
def test_crew_makes_27_requests_by_itself(played: Play, outage: str) -> None:
    """Without us, and with us and no policy, three loops of three make 27 requests of one model."""
    bare, traced = played("crew", outage, "off"), played("crew", outage, "none")
    assert (CREW, {"gpt-a"}) == (bare["requests"], set(bare["models"]))
    assert {**bare, "policy": "none"} == traced


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("policy", STEERED)
def test_no_policy_makes_the_outage_dearer(played: Play, policy: str, outage: str) -> None:
    """More retries, other models or other pauses: not one request more, and the agent sees what it would have seen."""
    bare, steered = played("crew", outage, "off"), played("crew", outage, policy)
    assert steered["requests"] <= CREW
    assert bare["seen"] == steered["seen"]


@pytest.mark.parametrize("outage", OUTAGES)
def test_these_policies_are_obeyed(played: Play, outage: str) -> None:
    """With retries set to 0 the same crew makes 9 requests, and with a fallback it asks other models."""
    assert CREW // 3 == played("crew", outage, "no retries")["requests"]
    assert {"gpt-a", "gpt-b", "gpt-c"} == set(played("crew", outage, "fallback")["models"])


@pytest.mark.parametrize("stack", OTHERS)
def test_any_stack_is_itself_without_a_policy(played: Play, stack: str) -> None:
    """Other frameworks' stacks end alike after the same requests."""
    assert {**played(stack, OUTAGE, "off"), "policy": "none"} == played(stack, OUTAGE, "none")


@pytest.mark.parametrize("stack", SAVING)
def test_stack_with_retries_inside_costs_no_more(played: Play, stack: str) -> None:
    """New clients at each attempt, streams, LangChain, four workers at once: no policy costs a request more."""
    bare, steered = played(stack, OUTAGE, "off"), played(stack, OUTAGE, "all")
    assert steered["requests"] <= bare["requests"]
    assert len(set(steered["models"])) > 1
    assert bare["seen"] == steered["seen"]


@pytest.mark.parametrize("stack", ["tenacious", "by_hand"])
def test_stack_without_retries_inside_costs_one_advance(played: Play, stack: str) -> None:
    """Where calls have no retries of their own to save, the policy's are spent once, and not at each repetition."""
    bare, steered = played(stack, OUTAGE, "off"), played(stack, OUTAGE, "all")
    assert bare["requests"] < steered["requests"] <= bare["requests"] + MAX_RETRIES


def test_stack_that_never_repeats_itself_has_a_budget(played: Play) -> None:
    """Attempts whose texts all differ look like different calls; the host's budget bounds what they cost."""
    bare, steered = played("talkative", OUTAGE, "off"), played("talkative", OUTAGE, "all")
    assert CREW == bare["requests"] <= steered["requests"] <= CREW + HOST_BUDGET


def test_rules_for_one_line_of_an_agent(flow: Any, imported: Any) -> None:
    """Rules for the very line that a first run was pinned to are obeyed by the next one, which asks no oftener."""
    first = work(flow, imported, flow.home())
    line = flow.records(first.home).row("SELECT DISTINCT site_id FROM decisions WHERE knob = 'max_retries'")
    wanted = {
        "max_retries": MAX_RETRIES,
        "fallback": {"on": ["rate_limit"], "models": ["gpt-b"]},
        "backoff": {"initial_s": 0.0, "factor": 1.0, "max_s": 0.001, "jitter": 0.0},
    }
    second = work(flow, imported, publish(flow.home(), line["site_id"], wanted))
    assert [(CREW, "gave up after AgentError\n")] * 2 == [(len(ran.log), ran.stdout) for ran in (first, second)]
    assert {"gpt-a", "gpt-b"} == {entry.model for entry in second.log}
    rows = flow.records(second.home).rows("SELECT DISTINCT knob, value FROM decisions WHERE source = 'human'")
    assert wanted == {row["knob"]: json.loads(row["value"]) for row in rows}


@pytest.mark.parametrize(
    ("stack", "owner", "layers"),
    [("crew", "user", [("sdk", "openai", 3)]), ("langchain", "framework", [("sdk", "openai", 3)])],
)
def test_each_loop_has_an_owner(
    flow: Any, imported: Any, stack: str, owner: str, layers: list[tuple[str, str, int]]
) -> None:
    """The requests of one question are split among the SDK and the loops around it, with whose they are."""
    records = flow.records(work(flow, imported, flow.home(), stack).home)
    with closing(records.store.cursor()) as con, load.snapshot(con):
        (found,) = retry_stacks(Case.load(con))
    around = found.layers[:-1]
    assert {owner} == {layer.owner for layer in around}
    assert layers == [(layer.owner, layer.name, layer.times) for layer in found.layers[-1:]]
    assert (CREW, CREW, True) == (found.times, found.requests, found.is_permanent)


def publish(home: Path, site_id: str, values: dict[str, Any]) -> Path:
    """Lay a policy for one line into a home."""
    each = {"match": {"site": site_id}, "sticky": "run", "source": "human"}
    rules = [{"rule_id": f"r-{knob}", "knob": knob, "value": value, **each} for knob, value in values.items()]
    head = {"schema": 1, "version": 1, "issued_ns": time.time_ns(), "lifetime_s": 3600, "frozen": False}
    path = home / "policy.json"
    path.write_text(json.dumps({**head, "rules": rules}))
    path.chmod(0o600)
    return home


def work(flow: Any, imported: Any, home: Path, stack: str = "crew") -> Any:
    """Run a stack as a program of its own at a provider that is rate limiting for good."""
    scenario = {"rules": [{"fault": {"status": 429, "retry_after_ms": 1}}]}
    ran = flow.run_warm(flow.program("stacks.py"), scenario, imported, stack, home=home)
    assert ran.returncode == 0, ran.stderr
    return ran
