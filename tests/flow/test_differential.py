"""With no rule in force nobody can tell an agent with trimtab from one without.

The program `differential/compare.py` uses SDKs and HTTP clients in a hundred and more generated ways while the provider
misbehaves, each without trimtab, with it under a policy that is not active, and without it again. What is compared is
everything that the program and the provider saw: `differential/seeing.py` lists it. The first cases cover every value;
Hypothesis draws the others, and shrinks what fails to the smallest case that does. One case is looked at with
`python tests/flow/differential/compare.py --case NUMBER`, or with the arguments that a failure shows;
`TRIMTAB_DIFFERENTIAL_CASES=600` plays more, `TRIMTAB_DIFFERENTIAL_SEED=4` others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "differential" / "compare.py"
CASES = {
    name: os.environ[name] for name in ("TRIMTAB_DIFFERENTIAL_SEED", "TRIMTAB_DIFFERENTIAL_CASES") if name in os.environ
}
LIMIT_S = 400 + 2 * int(CASES.get("TRIMTAB_DIFFERENTIAL_CASES", "0"))
SHARES = 2
"""Processes that share the cases."""
APIS = ("openai.chat", "openai.responses", "openai.embeddings", "anthropic.messages", "httpx", "httpx2")
SABOTAGES = ("swallow", "repeat", "rewrite", "rewrap", "read_ahead")


@pytest.fixture(scope="module")
def played(flow: Any) -> dict[str, list[dict[str, Any]]]:
    """All cases, and those whose arms must differ."""

    def play(share: int) -> list[dict[str, Any]]:
        ran = flow.run(PROGRAM, {}, str(share), str(SHARES), limit_s=LIMIT_S, **CASES)
        assert ran.returncode == 0, ran.stderr[-3000:]
        return [json.loads(line) for line in ran.stdout.splitlines()]

    with ThreadPoolExecutor(SHARES) as pool:
        lines = [line for share in pool.map(play, range(SHARES)) for line in share]
    kinds = {"cases": "repeated", "control": "broken", "smallest": "smallest", "shrunk": "shrunk"}
    return {kind: [line for line in lines if key in line] for kind, key in kinds.items()}


@pytest.mark.parametrize("api", APIS)
def test_nothing_changes_without_an_active_rule(played: Any, api: str) -> None:
    """Results, exceptions, chunks, headers, and the requests at the provider are those of the bare SDK."""
    cases = [case for case in played["cases"] if case["values"]["api"] == api]
    assert len(cases) >= 20
    changed = {case["case"]: case["changed"] for case in cases}
    assert {} == {name: found for name, found in changed.items() if found}


def test_half_of_the_cases_are_beside_a_sidecar(played: Any) -> None:
    """In about every second case what was captured was handed over, attempt by attempt."""
    beside = [case["handed"][0] for case in played["cases"] if case["handed"]]
    assert len(played["cases"]) * 0.3 < sum(count > 0 for count in beside) < len(played["cases"]) * 0.7
    assert sum(beside) > len(beside)


def test_cases_repeat_exactly(played: Any) -> None:
    """A case without trimtab comes out the same after trimtab was turned on and off again."""
    changed = {case["case"]: case["repeated"] for case in played["cases"]}
    assert {} == {name: found for name, found in changed.items() if found}


def test_no_case_that_is_drawn_differs(played: Any) -> None:
    """Of the cases that Hypothesis draws none fails; else this shows the smallest, and how to play it again."""
    assert [] == [line["smallest"] for line in played["smallest"]]


def test_what_fails_is_shrunk(played: Any) -> None:
    """A hook that asks once more after a server's error is found by such an error alone, with all else simple."""
    (case,) = (line["shrunk"] for line in played["shrunk"])
    assert case.pop("fault").startswith(("500", "503", "529"))
    simplest = {
        "way": "plain",
        "answer": "text",
        "timeout": "none",
        "given": "client",
        "hook": "none",
        "policy": "absent",
    }
    simplest["client"] = "own" if case.pop("api") in ("httpx", "httpx2") else "default"
    flags = dict.fromkeys(("is_async", "gzip", "is_built_before", "in_run", "uses_uvloop"), False)
    assert simplest | flags | {"retries": 0, "at_once": 1} == case


def test_cases_are_many_and_differ(played: Any) -> None:
    """There are more than a hundred cases, all different, which cover ways, faults, policies and settings."""
    values = [case["values"] for case in played["cases"]]
    wanted = int(CASES.get("TRIMTAB_DIFFERENTIAL_CASES", "100"))
    assert wanted <= len({tuple(value.items()) for value in values}) == len(values)
    seen = {axis: Counter(value[axis] for value in values) for axis in values[0]}
    least = {"way": 16, "fault": 45, "policy": 25, "client": 4, "given": 3, "hook": 5, "retries": 3, "timeout": 3}
    assert {} == {axis: len(seen[axis]) for axis, count in least.items() if len(seen[axis]) < count}
    for axis in ("is_async", "gzip", "in_run", "is_built_before", "uses_uvloop"):
        assert min(seen[axis][True], seen[axis][False]) >= 15, axis


def test_cases_fail_and_succeed(played: Any) -> None:
    """The cases end in exceptions of many classes and in results, at once or after retries."""
    outcomes = [outcome for case in played["cases"] for outcome in case["bare"]["outcomes"]]
    assert len({outcome["error"]["class"] for outcome in outcomes if "error" in outcome}) >= 25
    assert sum("result" in outcome for outcome in outcomes) >= 60
    assert sum(case["bare"]["sent"] > len(case["bare"]["outcomes"]) for case in played["cases"]) >= 20


def test_policy_that_is_not_obeyed_says_why_once(played: Any) -> None:
    """A refused or expired policy is one warning of a process that calls a model; any other is none."""
    asked = [case for case in played["cases"] if case["values"]["way"] != "listing"]
    wrong = [case["case"] for case in asked if bool(case["wording"]) != len(case["said"])]
    assert [] == wrong
    refused = [case for case in asked if case["wording"]]
    assert len(refused) >= 60
    assert [] == [case["said"] for case in refused if case["wording"] not in case["said"][0]]


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_comparison_finds_a_broken_hook(played: Any, sabotage: str) -> None:
    """A hook that loses a chunk, asks once more, marks requests, rewraps exceptions or reads ahead does not pass."""
    caught = [case["case"] for case in played["control"] if case["broken"][sabotage]]
    assert caught


def test_a_slow_trimtab_changes_nothing(played: Any) -> None:
    """Where every function of ours takes its time, results, exceptions, chunks and requests are the bare ones too."""
    changed = {case["case"]: case["late"] for case in played["control"]}
    assert {} == {name: found for name, found in changed.items() if found}
    assert len(changed) >= 12


def test_the_same_rules_in_force_are_seen(played: Any) -> None:
    """The rules of the policies that were not active would have changed every call of a model, had they been."""
    able = [case for case in played["control"] if case["values"]["api"] != "openai.embeddings"]
    assert len(able) >= 12
    assert [] == [case["case"] for case in able if not case["steered"]]
