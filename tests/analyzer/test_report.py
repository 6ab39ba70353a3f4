"""What a report says of a small store."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from trimtab_analyzer.failures import RULES
from trimtab_analyzer.report import Report, as_html, as_json, build, from_json, print_text

LIMITED = {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}
HANGS = {"error_class": "timeout", "end": "error", "timeout_s": 2.0, "cost_musd": None}


def _text(report: Report) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_text(report, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_headline_says_cost_failure_waste_and_line(shelf: Any) -> None:
    """Four facts in this order: what it cost, what failed, what was wasted, and which line is first to fix."""
    shelf.call(finish_reason="length", cost_musd=300_000, decisions={"max_tokens": 120})
    shelf.call(cost_musd=700_000, decisions={"max_tokens": 120})
    shelf.outcome("r1", False)
    first, waste, line = build(shelf.con).headline
    assert first == "1 run of shop cost $1.00; it failed."
    assert waste == "$0.30 of it (30.0 %) went into failed, cut, rejected or needless work."
    assert line.startswith("First to fix is agent.py:14, in main, with max_tokens = 120: 1 of 2 answers")


@pytest.mark.parametrize("rule", [rule.id for rule in RULES[::4]])
def test_every_finding_is_shown_with_its_line(rule: str, shelf: Any, stories: dict[str, Callable[[Any], None]]) -> None:
    """Whatever rule speaks, text and HTML show title, knob, place and advice, and JSON keeps all of it."""
    stories[rule](shelf)
    report = build(shelf.con)
    finding = next(f for f in report.findings if f.rule == rule)
    text, page = _text(report), as_html(report).replace("&#39;", "'")
    assert all(said in shown for said in ("agent.py:14", finding.knob) for shown in (text, page))
    assert finding.title.partition("“")[0] in page
    assert from_json(json.loads(json.dumps(as_json(report)))) == report


def test_the_parts_of_the_ledger_sum_to_the_total(all_told: Any) -> None:
    """Over all stories at once, class by class, nothing is lost and nothing counted twice."""
    report = build(all_told.con)
    spent = all_told.con.execute("SELECT sum(cost_musd)::BIGINT, count(*) FROM attempts").fetchall()
    assert [(sum(line.cost_musd for line in report.ledger), report.totals.attempts)] == spent
    assert sum(line.cost_musd for line in report.ledger if line.is_waste) == report.totals.wasted_musd


def test_what_ended_runs_comes_before_what_was_merely_there(shelf: Any) -> None:
    """A broken tool seen in two failed runs does not outrank the rate limit that ended one of them."""
    failing = {"status": "error", "error_type": "KeyError"}
    for number in range(5):
        shelf.call(tools=[failing | {"args_digest": f"a{number}"}])
    shelf.outcome("r1", False)
    ended = shelf.run("r2", status="error", error_type="openai.RateLimitError")
    shelf.call(ended, tools=[failing | {"args_digest": "b"}])
    shelf.call(ended, {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}, decisions={"max_retries": 0})
    assert [f.rule for f in build(shelf.con).findings][:2] == ["rate_limit", "broken_tool"]


def test_what_was_merely_there_is_not_called_the_first_to_fix(shelf: Any) -> None:
    """A lost call that cost nothing and ended no run is named with how often it is there, failed or not."""
    for number in range(4):
        shelf.call(shelf.run(f"x{number}"), *([LIMITED] if number else []), decisions={"max_retries": 0})
    shelf.outcome("x1", False), shelf.outcome("x2", False)
    line = build(shelf.con).headline[-1]
    assert line.startswith("Most frequent in failed runs is agent.py:14, in main, with max_retries = 0: 3 of 4 calls")
    assert line.endswith(" (2 of 2 failed runs; base rate: 60.0 % of all runs).")
    shelf.con.execute("DELETE FROM outcomes")
    assert build(shelf.con).headline[-1].startswith("No finding ended a run or cost known money; on top is agent.py:14")


def test_tokens_that_nobody_counted_are_not_shown_as_none(shelf: Any) -> None:
    """Beside a cost that is not known stands that the tokens are not known either."""
    shelf.call(cost_musd=None, input_tokens=None, output_tokens=None)
    report = build(shelf.con)
    (row,) = [line for line in _text(report).splitlines() if "ended, not judged" in line]
    assert row.split()[-4:] == ["not", "known", "not", "known"]
    assert '<td class="n">not known</td>\n      <td class="n">not known</td>' in as_html(report)
    assert "Cost not known  not known" in _text(report)


def test_tools_are_named_and_not_their_digest(shelf: Any) -> None:
    """The set of tools in force reads as the names of its tools."""
    shelf.call(tools=[{"args_valid": False}], tools_offered=["search", "buy"], decisions={"tools": "0123456789abcdef"})
    report = build(shelf.con)
    assert "agent.py:14, in main   tools: buy and search" in _text(report)
    assert "offers <code>tools: buy and search</code>" in as_html(report)


def test_unknown_costs_are_said_openly(shelf: Any) -> None:
    """A sum with unknown parts says "at least", in every form; a store without any known cost says so."""
    shelf.call("r1", HANGS, {})
    report = build(shelf.con)
    assert "cost at least $0.0001" in report.headline[0]
    assert any("What 1 of 2 requests cost is not known" in note for note in report.notes)
    shelf.con.execute("UPDATE attempts SET cost_musd = NULL, cost_source = 'unknown'")
    assert "cost an unknown amount" in build(shelf.con).headline[0]


def test_losses_and_imports_are_said(shelf: Any) -> None:
    """Lost records, imported runs and runs that nobody judged each have their sentence."""
    shelf.insert(
        "losses",
        {"process_id": "p", "lost_kind": "content", "reason": "spool full", "ts_ns": 1, "count": 4, "size_bytes": 9},
    )
    shelf.run("r2", origin="import", attributes='{"times": "file"}')
    notes = " ".join(build(shelf.con).notes)
    assert "4 records could not be kept: 4 of kind content (spool full)" in notes
    assert "1 of 2 runs was imported from files" in notes
    assert "1 run carried no time at all" in notes
    assert "2 of 2 runs were not judged" in notes


def test_synthetic_data_is_said_first(shelf: Any) -> None:
    """Requests that the scripted provider answered are counted in the first note and shown below the headline."""
    shelf.call(response_id="chatcmpl-scripted_000001_0_297e30")
    shelf.call(response_id="chatcmpl-real")
    report = build(shelf.con)
    assert report.notes[0].startswith(
        "Synthetic data: 1 of 2 requests was answered by trimtab's own scripted provider."
    )
    assert _text(report).index("Synthetic data") < _text(report).index("Where the money went")


def test_one_run_is_reported_alone(shelf: Any) -> None:
    """With a run id all sums and findings are of that run; an unknown id is an error."""
    shelf.call("r1")
    shelf.run("r2")
    shelf.call("r2", finish_reason="length")
    report = build(shelf.con, "r1")
    assert (report.totals.runs, report.totals.calls, report.findings) == (1, 1, ())
    with pytest.raises(LookupError):
        build(shelf.con, "nope")


def test_one_run_is_reported_in_the_light_of_all(shelf: Any, stories: Any) -> None:
    """What is an incident over all runs is one in the report of a single run, too; amounts are that run's."""
    stories["incident"](shelf)
    whole, one = build(shelf.con), build(shelf.con, "sales")
    assert (["incident"], whole.findings[0].finding_id) == ([f.rule for f in one.findings], one.findings[0].finding_id)
    assert (whole.findings[0].title, 2, ["sales"]) == (
        one.findings[0].title,
        one.findings[0].calls,
        one.findings[0].evidence["runs"],
    )
    assert one.totals.cost_musd == sum(line.cost_musd for line in one.ledger) < whole.totals.cost_musd
    assert any("findings are those of all runs" in note for note in one.notes)
    assert not any("findings are those of all runs" in note for note in whole.notes)


def test_a_large_store_is_cut_but_summed_whole(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the failed and the dearest runs are listed, the sums stay whole, and the cut is said."""
    monkeypatch.setitem(build.__globals__, "MAX_RUNS", 2)
    monkeypatch.setitem(build.__globals__, "MAX_CALLS", 1)
    for n, cost in enumerate((100, 900, 500)):
        shelf.call(shelf.run(f"x{n}"), cost_musd=cost)
    shelf.outcome("x0", False)
    report = build(shelf.con)
    assert ({"x0", "x1"}, 1_500) == ({run.run_id for run in report.runs}, report.totals.cost_musd)
    assert [run.run_id for run in report.runs if run.listed] == ["x0"]
    assert any("The table shows 2 of 4 runs, and the calls of 1 of them" in note for note in report.notes)


def test_an_empty_store_reports_nothing(shelf: Any) -> None:
    """No run at all is said in every form and raises nowhere."""
    shelf.con.execute("DELETE FROM runs")
    report = build(shelf.con)
    assert report.headline == ("Nothing has been recorded yet.",)
    assert all("Nothing has been recorded yet." in shown for shown in (_text(report), as_html(report)))


def test_models_without_a_price_are_named(shelf: Any) -> None:
    """Which models, how many calls and tokens, and what to do; an attempt of unknown tokens is no matter of prices."""
    for given in (None, 10):
        shelf.call("r1", {"input_tokens": given, "output_tokens": None, "cost_musd": None, "http_status": 200})
    shelf.call(cost_musd=None, model="house", provider="10.0.0.7:8000", input_tokens=900, output_tokens=100)
    shelf.call(cost_musd=None, model="house", provider="10.0.0.7:8000", input_tokens=90, output_tokens=10)
    report = build(shelf.con)
    (line,) = report.unpriced_models
    assert ("house", "10.0.0.7:8000", 2, 990, 110) == (
        *(line.model, line.provider, line.calls, line.input_tokens, line.output_tokens),
    )
    said = (
        "No price is known for house at 10.0.0.7:8000 (2 calls, 1,100 tokens). Give one in trimtab.toml, as"
        ' [prices."house"] with input and output in USD per million tokens; `trimtab reprice` brings it to what was'
        " recorded before."
    )
    assert said in report.notes
    assert all("No price is known for house" in shown for shown in (_text(report), as_html(report)))


def test_estimated_tokens_are_never_mixed_silently(shelf: Any) -> None:
    """Where tokens are estimated the notes, the ledger's line and its row in text and HTML say how many."""
    shelf.call(cost_musd=500, cost_source="estimated", usage_source="reported")
    shelf.call(cost_musd=700, cost_source="estimated", usage_source="estimated", input_tokens=60, output_tokens=40)
    report = build(shelf.con)
    assert (1, 100, 700) == (report.guessed, report.guessed_tokens, report.guessed_musd)
    (line,) = report.ledger
    assert (2, 1) == (line.attempts, line.estimated)
    (note,) = (n for n in report.notes if "reported no tokens" in n)
    assert note.startswith(
        "The provider reported no tokens for 1 of 2 requests, or not all: their 100 tokens are estimated"
    )
    assert "$0.0007 computed from them" in note
    assert "(tokens of 1 estimated)" in _text(report)
    assert "1 estimated</small>" in as_html(report)
    assert report == from_json(json.loads(json.dumps(as_json(report))))


def test_loops_around_a_question_are_multiplied_out(shelf: Any) -> None:
    """Text and HTML say each loop with its owner, the product, and what an unanswered question cost."""
    shelf.con.execute("UPDATE sites SET via = ['crewai', 'openai']")
    for _ in range(3):
        shelf.call("r1", *[LIMITED | {"body_digest": "b", "max_retries": 2}] * 3)
        shelf.now += 2_000_000_000
    report = build(shelf.con)
    said = "3 (crewai, or a loop of yours around it) x 3 (openai) = 9 requests"
    cost = "a question without an answer took 9 requests in 13 s, 4 s of it waiting; nothing billed"
    assert all(text in shown for text in (said, cost) for shown in (_text(report), as_html(report)))
    assert report == from_json(json.loads(json.dumps(as_json(report))))
