"""Lines of the harness, the map of runs and versions, as rows, texts and specifications."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from trimtab_dashboard.views import agent_map, harness, line_trend, plots, versions

DAY = 86_400 * 10**9


def line(**more: Any) -> dict[str, Any]:
    """A line that made ten calls, one of which failed."""
    knob = {
        "knob": "timeout_s",
        "source": "code",
        "decided_at": "client",
        "calls": 10,
        "last_ns": DAY,
        "values_total": 2,
    }
    return {
        "site_id": "ask", "file": "shop.py", "function": "answer", "line": 21, "source": "a(\n  b)",
        "runs": 5, "judged_runs": 4, "failed_runs": 1, "calls": 10, "failed_calls": 1, "attempts": 11,
        "attempts_unpriced": 1, "cost_musd": 1000,
        "wasted_musd": 250, "median_ns": 10**9, "p95_ns": 2 * 10**9, "first_ns": DAY, "last_ns": 2 * DAY,
        "spent": [{"cls": "useful", "cost_musd": 750, "attempts": 8, "unknown": 0},
                  {"cls": "truncated_output", "cost_musd": 250, "attempts": 2, "unknown": 1}],
        "knobs": [knob | {"value": 2.0}],
        "trend": [{"at_ns": DAY, "calls": 4, "failed_calls": 1, "cost_musd": 400},
                  {"at_ns": 2 * DAY, "calls": 6, "failed_calls": 0, "cost_musd": 600}],
    } | more  # fmt: skip


def edge(from_kind: str, from_name: str, to_kind: str, to_name: str, times: int, failed: int = 0) -> dict[str, Any]:
    """A way."""
    ends = {"from_kind": from_kind, "from_name": from_name, "to_kind": to_kind, "to_name": to_name}
    return ends | {"times": times, "runs": times, "failed": failed, "cost_musd": 500, "unpriced": 0}


def a_map(name: str = "search") -> dict[str, Any]:
    """From the start to a line, to a tool, and to the end."""
    edges = [
        edge("start", "", "site", "ask", 8),
        edge("site", "ask", "tool", name, 6, 3),
        edge("tool", name, "end", "", 6),
    ]
    nodes = [{"kind": "site", "name": "ask", "times": 8, "failed": 0, "cost_musd": 500},
             {"kind": "tool", "name": name, "times": 6, "failed": 3, "cost_musd": 0}]  # fmt: skip
    sites = [{"site_id": "ask", "file": "shop.py", "function": "answer", "line": 21}]
    return {"edges": edges, "nodes": nodes, "sites": sites, "edges_total": 5, "times_total": 25, "nodes_total": 2}


def test_a_line_is_told_with_its_waste_and_settings() -> None:
    """The table names the line, what failed of what, the waste by name, and the values in force."""
    (row,) = harness.table([line()])
    assert ("shop.py:21, in answer", 10.0, "1 of 4") == (row["Line"], row["Calls failed"], row["Runs failed"])
    assert ("cut answers", "timeout_s 2.0", [4, 6]) == (row["Wasted on"], row["Settings"], row["Calls over time"])
    assert "a( b)" == row["Code"]


def test_figures_have_interval_and_n() -> None:
    """Each share with Wilson's interval and what it is of; unknown costs are told."""
    notes = {figure.label: figure.note for figure in harness.figures(line())}
    assert "10.0 %; 95 % interval 2–40 %, n = 10" == notes["Calls that failed"]
    assert "25.0 %; 95 % interval 5–70 %, n = 4" == notes["Runs that failed"]
    assert "1 of 11 requests of unknown cost" == notes["Cost"]


def test_the_excerpt_marks_its_first_line() -> None:
    """Lines have their numbers; the call's line is marked, and what is unseen in them is a sign."""
    assert "▶  9 │ a(\n  10 │   b\x1b)".replace("\x1b", "␛") == harness.excerpt(line(line=9, source="a(\n  b\x1b)"))


def test_the_money_of_a_line_adds_up() -> None:
    """One row per class, by its name, with its share of the line's cost."""
    rows = harness.spent(line())
    assert [("Useful work", 75.0), ("Cut answers", 25.0)] == [(r["What it paid for"], r["Share"]) for r in rows]


def test_settings_say_who_set_them_where_and_what_is_not_listed() -> None:
    """A value of a constructor names the constructor's line; earlier values are counted."""
    site = {"site_id": "client", "file": "shop.py", "function": "<module>", "line": 7}
    (row,) = harness.knobs(line(), [site])
    assert ("2.0", "the code", "shop.py:7") == (row["Value"], row["Set by"], row["Where"])
    assert "Not listed: 1 earlier of timeout_s." == harness.more_values(line())


@pytest.mark.parametrize(("of_runs", "said"), [(3, "n = 3 runs"), (5, "2 older runs are in none of these numbers")])
def test_the_scope_says_what_is_left_out(of_runs: int, said: str) -> None:
    """How many runs of when, and how many older ones are not looked at."""
    assert said in harness.scope({"runs": 3, "of_runs": of_runs, "first_ns": DAY, "last_ns": 2 * DAY})


def test_charts_over_time_state_n_range_and_interval() -> None:
    """Counts say that they have no interval, shares have a line for it."""
    calls, failed, cost = line_trend.charts(line(), DAY)
    assert all("n = 10 calls" in one.note and "by day" in one.note for one in (calls, failed, cost))
    assert "95 % intervals" in failed.note
    assert 25.0 == failed.spec["data"]["values"][0]["y"]
    assert [3, 4, 6] == [value["y1"] for value in calls.spec["data"]["values"]]


def test_a_map_tells_counts_costs_and_failures() -> None:
    """Edges carry their count and cost, one that often fails is dashed; the same stands in the table."""
    graph = agent_map.dot(a_map())
    assert 'n0 -> n1 [label="8 · $0.0005"' in graph
    assert 'label="6\\n3 failed", penwidth=' in graph
    assert 1 == graph.count("dashed")
    rows = agent_map.table(a_map())
    assert ["start of the run", "shop.py:21, in answer", "tool search"] == [row["From"] for row in rows]
    assert "2 rarer ways with 5 steps (20.0 % of all) are left out" in agent_map.left_out(a_map())


def test_hostile_names_are_labels_and_nothing_else() -> None:
    """Quotes, escapes, entities and markup of a name end up as the text they are."""
    name = 'x"]; evil [label="\\N <b>&lt;\n\x1b[31m'
    graph = agent_map.dot(a_map(name))
    assert r'"tool x\"]; evil [label=\"\\N <b>&amp;lt; ␛[31m\n6 calls\n3 failed"' in graph
    if dot := shutil.which("dot"):
        drawn = subprocess.run([dot, "-Tsvg"], input=graph, capture_output=True, text=True, check=True).stdout
        assert 4 == drawn.count('class="node"')


def version(name: str, judged: int, succeeded: int, cost: float) -> dict[str, Any]:
    """A version whose runs cost that much in the mean, give or take a tenth."""
    of = {"version": name, "runs": judged, "judged": judged, "succeeded": succeeded, "priced": judged}
    return of | {
        "cost_musd": cost,
        "cost_low": 0.9 * cost,
        "cost_high": 1.1 * cost,
        "latency_s": 1.5,
        "first_ns": DAY,
        "last_ns": DAY,
    }


def test_versions_are_compared_with_intervals() -> None:
    """Success by Newcombe's interval, cost by that of both means; both with their n."""
    success, cost = versions.difference(version("a", 100, 50, 1e4), version("b", 80, 60, 2e4))
    assert "Success: +25.0 points (95 % interval +10.8 to +37.6), n = 100 and 80 runs of known outcome." == success
    assert "Cost of a run: +0.0100 USD (95 % interval +0.0078 to +0.0122), n = 100 and 80 runs of known cost." == cost
    assert "50 of 100" in versions.table([version("a", 100, 50, 1e4)])[0]["Success"]


def test_scores_are_points_with_their_intervals() -> None:
    """A dimension without a score is no point; it says what to do instead."""
    score = {"version": "a", "dimension": "context", "score": 90.0, "low": 80.0, "high": 95.0, "n": 10, "unit": "calls"}
    none = score | {"dimension": "tools", "score": None, "low": None, "high": None, "n": 0}
    dimensions = [{"id": "context", "hint": ""}, {"id": "tools", "hint": "no tool call was recorded"}]
    found = {"scores": [score, none], "dimensions": dimensions}
    assert [("context", 90.0)] == [(v["name"], v["value"]) for v in versions.scores(found)["data"]["values"]]
    assert ["tools: no tool call was recorded"] == versions.silent(found)


def test_groups_differ_in_colour_and_shape() -> None:
    """Two groups have two colours and two shapes; a line to read against is drawn where asked for."""
    rows = [{"name": "x", "group": g, "value": 1, "low": 0, "high": 2, "said": ""} for g in "ab"]
    spec = plots.intervals(rows, title="t", by="version", at=1)
    point = spec["layer"][-1]["encoding"]
    assert [2, 2] == [len(set(point[channel]["scale"]["range"])) for channel in ("color", "shape")]
    assert 3 == len(spec["layer"])
