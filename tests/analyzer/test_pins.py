"""Findings with their places: keys, steps, agents, spans, amounts, and the blame of failed runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer.findings import analyze, persist
from trimtab_analyzer.pins import pins, select
from trimtab_tracer.prices import PriceList
from trimtab_tracer.setting_values import PriceOverride

DOCS = Path(__file__).parents[2] / "docs" / "findings.md"


def _story(shelf: Any) -> None:
    """Two calls of `r1` go well; the third meets a rate limit and ends it. `r2` got over one."""
    shelf.call("r1")
    shelf.call("r1")
    shelf.call("r1", {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}, decisions={"max_retries": 0})
    shelf.con.execute("UPDATE runs SET status = 'error', error_type = 'RateLimitError', ended_ns = 10")
    shelf.run("r2")
    shelf.call("r2", {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}, decisions={"max_retries": 0})
    shelf.outcome("r2", True)
    span = {"trace_id": "t", "span_id": "s", "home": "r1", "run_id": "r1", "process_id": "p", "subject": "call"}
    span |= {"operation": "chat", "name": "chat", "scope": "x", "started_ns": 0, "ended_ns": 1, "status": "ok"}
    shelf.insert("gen_ai_spans", span | {"span_key": "ts", "stream": False, "call_id": "c3"})


def test_a_finding_names_its_places(shelf: Any) -> None:
    """Mode, run, step, agent, call and span ids, knob, value, line and amounts: enough to go and look."""
    _story(shelf)
    (one,) = pins(shelf.con)["findings"]
    assert (1, "rate_limit", "r1", 2, "shop", "open") == tuple(
        one[key] for key in ("rank", "mode", "run", "step", "agent", "status")
    )
    assert ("max_retries", 0, "code") == (one["knob"], one["value"], one["value_source"])
    assert ("agent.py", "main", 14) == tuple(one["site"][key] for key in ("file", "function", "line"))
    first, second = one["occurrences"]
    assert {
        "run": "r1",
        "step": 2,
        "agent": "shop",
        "call": "c3",
        "tools": [],
        "spans": ["ts"],
        "failed": True,
    } == first
    assert ("r2", 0, "c4", False) == (second["run"], second["step"], second["call"], second["failed"])
    assert (2, 1, 1, 2, 0) == tuple(
        one["amounts"][key] for key in ("runs", "failed_runs", "ended_runs", "calls", "cost_musd")
    )
    assert ["ts"] == one["spans"]


def test_a_missed_cache_costs_what_the_users_prices_say(shelf: Any, stories: Any) -> None:
    """Over all runs and over one; a model that no list has wasted no known money."""
    stories["cache_miss"](shelf)
    prices = PriceList([PriceOverride("m1", input=2.0, output=10.0, cache_read=0.5)])
    for run_id in (None, "r1"):
        (unknown,), (known,) = (pins(shelf.con, run_id, prices=p)["findings"] for p in (None, prices))
        assert ("cache_miss", 0) == (unknown["mode"], unknown["amounts"]["wasted_musd"])
        assert known["amounts"]["wasted_musd"] > 0


def test_numbers_are_those_of_the_findings(shelf: Any) -> None:
    """Order, ids and amounts are the analysis' own."""
    _story(shelf)
    shelf.call("r2", tools=[{"result_digest": "same"}])
    shelf.call("r2", tools=[{"result_digest": "same"}])
    found = analyze(shelf.con)
    told = pins(shelf.con)["findings"]
    assert [(f.finding_id, f.wasted_musd, f.title) for f in found] == [
        (one["finding_id"], one["amounts"]["wasted_musd"], one["title"]) for one in told
    ]
    repeated = next(one for one in told if one["mode"] == "repeated_call")
    assert [["c6:0"]] == [one["tools"] for one in repeated["occurrences"]]


def test_blame_of_a_failed_run_sums_to_one(shelf: Any) -> None:
    """Each failed run has ranked steps whose shares sum to 1; what did not fail has none."""
    _story(shelf)
    (run,) = pins(shelf.con)["failed_runs"]
    assert "r1" == run["run"]
    assert 1 == pytest.approx(sum(one["share"] for one in run["blame"]))
    top = run["blame"][0]
    assert (1, 2, "c3", "rate_limit", "max_retries", 0) == (
        *(top[key] for key in ("rank", "step", "call")),
        top["modes"][0],
        top["knob"],
        top["value"],
    )


def test_one_run(shelf: Any) -> None:
    """For one run the findings are that run's, with its amounts; a run that is not there is refused."""
    _story(shelf)
    document = pins(shelf.con, "r2")
    assert ("r2", 1, 0) == (document["run"], document["totals"]["runs"], document["totals"]["failed_runs"])
    assert [("r2", 1)] == [(one["run"], one["amounts"]["runs"]) for one in document["findings"]]
    assert [] == document["failed_runs"]
    with pytest.raises(LookupError, match="r9"):
        pins(shelf.con, "r9")


def test_resolved_ones_stay_findable(shelf: Any) -> None:
    """A finding of an earlier analysis that nothing shows any more is resolved, and listed when asked for."""
    _story(shelf)
    persist(shelf.con, analyze(shelf.con))
    shelf.con.execute("DELETE FROM attempts WHERE error_class IS NOT NULL; DELETE FROM calls WHERE status = 'error'")
    shelf.con.execute("UPDATE runs SET status = 'ok', error_type = NULL")
    document = pins(shelf.con)
    assert [("rate_limit", "resolved")] == [(one["mode"], one["status"]) for one in document["findings"]]
    assert [] == select(document, "open", None)["findings"]
    assert 1 == len(select(document, "all", None)["findings"])
    seen = document["findings"][0]["last_seen_ns"]
    assert [1, 0] == [len(select(document, "resolved", since)["findings"]) for since in (seen, seen + 1)]


def test_a_store_without_anything(shelf: Any) -> None:
    """Nothing recorded is an empty list, not an error."""
    shelf.con.execute("DELETE FROM runs")
    document = pins(shelf.con)
    assert ([], [], 0) == (document["findings"], document["failed_runs"], document["totals"]["runs"])


def test_every_key_is_documented(shelf: Any) -> None:
    """docs/findings.md names each key, and no other."""
    _story(shelf)
    document = json.loads(json.dumps(pins(shelf.con)))
    tables = dict(re.findall(r"<!-- keys: (\w+) -->\n(.*?)<!-- end -->", DOCS.read_text(), re.S))
    named = {name: set(re.findall(r"^\| `(\w+)`", text, re.M)) for name, text in tables.items()}
    finding, run = document["findings"][0], document["failed_runs"][0]
    assert named == {
        "document": {*document},
        "finding": {*finding},
        "amounts": {*finding["amounts"]},
        "occurrence": {*finding["occurrences"][0]},
        "failed_run": {*run},
        "blame": {*run["blame"][0]},
    }


def test_one_run_is_told_about_in_the_light_of_all(shelf: Any, stories: Any) -> None:
    """What was an incident over all runs is none of a single run's settings; its places and amounts are that run's."""
    stories["incident"](shelf)
    (whole,), (one,) = pins(shelf.con)["findings"], pins(shelf.con, "sales")["findings"]
    assert ("incident", whole["finding_id"]) == (one["mode"], one["finding_id"])
    assert (["sales"], 2) == (one["runs"], one["amounts"]["calls"])
    assert 6 == whole["amounts"]["calls"]
    assert {"sales"} == {place["run"] for place in one["occurrences"]}
