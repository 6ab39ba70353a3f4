"""Fault injection: the list and its split, the judgement, and a few cases from end to end."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import fault_injection
import pytest
from injection import report
from injection.baselines import Place
from injection.faults import Case, Truth, read, split
from injection.places import marked_places
from injection.running import Ran, Said
from injection.verdicts import Verdict, commonest_knob, false_findings, judge

from trimtab_analyzer.findings import Finding, Quote

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "fault_injection"
CASES = read(FOLDER)
FAULTS = [case for case in CASES if case.truth]

AGENT = """\
client = Client(  # site: client
    max_retries=0,
)
def look(order):  # site: tool
    return client.ask(order)  # site: call
"""


def test_the_list_is_as_asked() -> None:
    """At least 25 faults of many modes in five agents, and healthy twins with all that is troublesome and no fault."""
    assert len({case.id for case in FAULTS}) >= 25
    assert len({case.mode for case in FAULTS}) >= 20
    assert {"loop", "claude", "graph", "sdk", "crew"} == {case.agent for case in FAULTS}
    assert all(count >= 2 for count in Counter(case.agent for case in CASES if not case.truth).values())
    troubles = {"recovered_rate_limits", "slow_tools", "long_runs", "recovered_timeouts", "parallel_below_the_limit"}
    assert troubles <= {case.id for case in CASES if not case.truth}


def test_halves_are_dealt_out_by_digest() -> None:
    """The halves differ by one fault per family at most, have the same families, and follow from the ids alone."""
    by_half = Counter((case.family, case.split) for case in {case.id: case for case in FAULTS}.values())
    families = {family for family, _ in by_half}
    assert all(abs(by_half[family, "tuning"] - by_half[family, "held-out"]) <= 1 for family in families)
    listed = {"a": "x", "b": "x", "c": "x", "d": "y"}
    assert split(listed) == split(dict(reversed(listed.items())))
    assert {"tuning", "held-out"} == {split(listed)[name] for name in "abc"}


def test_the_rules_see_nothing_of_the_faults() -> None:
    """No file of the analyzer names the list, its markers, or what only the shop behind the agents has."""
    words = {"fault_injection", "faults.toml", "# site:", "HARNESS", "shipping_quote", "lookup_order", "ask_finder"}
    texts = [path.read_text() for path in (ROOT / "analyzer").rglob("*") if path.suffix in (".py", ".sql")]
    assert [] == [word for word in words for text in texts if word in text]


def test_orders_follow_from_the_seed() -> None:
    """A seed gives the same orders again, another one others, as many of each prefix as the list says."""
    case = FAULTS[2]
    assert case.orders(1) == case.orders(1) != case.orders(2)
    counted = Counter(next(p for p in case.tasks if order.startswith(p)) for order in case.orders(3))
    assert dict(case.tasks) == counted
    assert {6} == {len(order) for order in case.orders(1)}


def test_markers_name_statements(tmp_path: Path) -> None:
    """A marker stands for all lines of its statement; of a function only for the head."""
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    assert {"client": {1, 2, 3}, "tool": {4}, "call": {5}} == marked_places(script)


def finding(**changed: Any) -> Finding:
    """A finding about line 2 of agent.py that lost a call."""
    quote = Quote("s", "agent.py", "main", 2, "")
    made = Finding(
        "f", "rule", "", "max_retries", "0", "s", quote, "", "", 2, 1, 1, 0, 0,
        {"numbers": {"lost_calls": 1}, "ended_runs": [], "runs": ["r1", "r2"]}, 0, 0,
    )  # fmt: skip
    return replace(made, **changed)


def case_of(truth: Truth | None) -> Case:
    """A case in agent.py."""
    return Case("x", "agent", Path("agent.py"), "f", 1, "tuning" if truth else None, truth, {}, {}, {"Q-1": 2}, {})


def ran(*findings: Finding, failed: int = 0, requests: int = 10, truth: Truth | None = None, **said: Any) -> Ran:
    """Ten runs with these findings."""
    return Ran(case_of(truth), 10, failed, requests, 100, 1.0, Said(findings, **said))


TRUTH = Truth(("max_retries", "retries"), True, 0, frozenset({1, 2, 3}), "fails")


def judged(*findings: Finding, truth: Truth = TRUTH, **said: Any) -> Verdict:
    """The verdict on a fault with these findings, the sound run of which passes."""
    return judge(case_of(truth), 1, ran(*findings, failed=3, truth=truth, **said), ran(truth=truth), "max_retries")


@pytest.mark.parametrize(
    "wrong",
    [
        {"knob": "timeout_s"},
        {"value": "1"},
        {"site": None},
        {"site": Quote("s", "agent.py", "main", 4, "")},
        {"site": Quote("s", "other.py", "main", 2, "")},
    ],
    ids=str,
)
def test_right_is_knob_line_and_value(wrong: dict[str, Any]) -> None:
    """A finding is right if knob, file, line and value are; what stands before it costs it the first place."""
    assert (1, True) == ((verdict := judged(finding())).rank, verdict.top_1)
    assert judged(finding(knob="retries")).top_1
    assert judged(finding(**wrong)).rank is None
    assert (2, False, True) == ((v := judged(finding(**wrong), finding())).rank, v.top_1, v.top_3)


def test_trivial_answers_are_judged_by_the_same_lines() -> None:
    """The first error's line and the commonest knob's line count where they are the truth's and the knob is."""
    here, there = Place("agent.py", 3), Place("agent.py", 9)
    verdict = judged(first_error=here, knob_places={"max_retries": there})
    assert (True, False) == (verdict.by_first_error, verdict.by_commonest_knob)
    verdict = judged(first_error=there, knob_places={"": here})
    assert (False, True) == (verdict.by_first_error, verdict.by_commonest_knob)
    assert not judged(truth=replace(TRUTH, knobs=("tools",)), first_error=here).by_first_error
    assert "max_retries" == commonest_knob([case_of(TRUTH)])


def test_what_was_got_over_is_no_false_finding() -> None:
    """A finding that lost no call and ended no run is none; any other on a healthy run is."""
    over = {"numbers": {"lost_calls": 0}, "ended_runs": [], "runs": ["r1"]}
    ended = over | {"ended_runs": ["r1"]}
    found = [finding(), finding(evidence=over), finding(evidence=ended), finding(evidence=over | {"numbers": {}})]
    assert [found[0], found[2], found[3]] == false_findings(ran(*found))


def test_a_fault_without_harm_counts_for_nothing() -> None:
    """Where no run fails, sound settings fail too, or not enough is wasted, the case is invalid and says why."""
    wastes = replace(TRUTH, harm="requests")
    sound = ran(truth=TRUTH)
    assert [] == judged(finding()).problems
    for truth, bad, twin in [
        (TRUTH, ran(finding(), truth=TRUTH), sound),
        (TRUTH, ran(finding(), failed=3, truth=TRUTH), ran(failed=1, truth=TRUTH)),
        (wastes, ran(finding(), requests=11, truth=wastes), ran(truth=wastes)),
    ]:
        verdict = judge(case_of(truth), 1, bad, twin, "")
        assert ["no harm is shown"] == [problem[:16] for problem in verdict.problems]
        assert (0, 1) == ((part := report.figures([verdict])["faults"])["cases"], part["invalid"])


def test_slips_in_the_list_stop(tmp_path: Path) -> None:
    """An unknown key, an agent that is not there and a marker that no line carries are refused with a sentence."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "a.py").write_text(AGENT)
    (tmp_path / "model.toml").write_text("")
    fault = '[[fault]]\nid = "x"\nwhat = ""\ntasks = {}\nharm = "fails"\nknob = ["k"]\n'
    for text, said in [
        (fault + 'agents = ["b"]\nsite = ["call"]\n', r"no .*b\.py"),
        (fault + 'agents = ["a"]\nsite = ["cal"]\n', r"markers \['cal'\]; it has \['call', 'client', 'tool'\]"),
        (fault + 'agents = ["a"]\nsite = ["call"]\nknobs = []\n', r"unknown keys \['knobs'\]"),
        (fault + fault, "an id of its own"),
    ]:
        (tmp_path / "faults.toml").write_text(text)
        with pytest.raises(SystemExit, match=said):
            read(tmp_path)


REPRESENTATIVE = (
    "retries_off_outage@claude", "timeout_tight@loop", "max_tokens_small@claude", "no_loop_guard@loop",
    "recovered_rate_limits@loop", "parallel_below_the_limit@crew",
)  # fmt: skip


@pytest.mark.timeout(900)  # ten processes, on a machine that may be busy
def test_some_cases_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Faults do harm, their knobs and lines are found first, twins are quiet, and the keys are those of the docs."""
    arguments = ["--only", ",".join(REPRESENTATIVE), "--json", "--out", str(tmp_path)]
    assert 0 == fault_injection.main(arguments), capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert [] == [case["id"] for case in found["cases"] if case["truth_knob"] and not case["top_1"]]
    assert 0 == found["twins"]["false_findings"]
    assert found == json.loads((tmp_path / "figures.json").read_text())
    assert len(REPRESENTATIVE) + 1 == len((tmp_path / "cases.csv").read_text().splitlines())
    text = (ROOT / "docs" / "fault-injection.md").read_text()
    keys = {*found, *found["faults"], *found["twins"], *found["cases"][0]}
    assert [] == sorted(key for key in keys if f"`{key}`" not in text)


def test_the_document_has_figures() -> None:
    """The document holds the benchmark's table between its markers."""
    text = (ROOT / "docs" / "fault-injection.md").read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    assert re.search(r"^\| all \| \d+", text, re.MULTILINE)
