"""What the API says of the harness: lines, the map of runs, versions, comparisons and drawn values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from fastapi.testclient import TestClient

from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Decision, Record, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner import comparing, scope
from trimtab_tuner.computed import Computed
from trimtab_tuner.control import Control
from trimtab_tuner.harness_routes import harness
from trimtab_tuner.routing import Desk, application

SomeRun = Callable[..., list[Record]]
RUNS = 80
SECOND = 1_000_000_000
PATHS = ("harness", "map", "scorecard", "compare", "what-if")


def told(some_run: SomeRun, n: int) -> list[Record]:
    """Run ``n``: two lines take turns, two versions by half, and an experiment draws ``style`` with even chances."""
    run, model = f"r{n:03d}", ("gpt-4o-mini", "gpt-4o")[n % 2]
    is_first = n % 4 < 2
    records = some_run(n, success=is_first or n % 3 == 0, model=model, site=f"s{n % 2}")
    start = next(i for i, one in enumerate(records) if isinstance(one, RunStart))
    begun = records[start]
    assert isinstance(begun, RunStart)
    at = begun.ts_ns
    records[start] = RunStart(
        run, "p1", at, "order", "explicit", task=f"t{n % 8}", harness="v1" if n < RUNS // 2 else "v2"
    )
    style = Decision(
        f"{run}:style", run, "style", "short" if is_first else "long", "experiment", "s9", at, propensity=0.5
    )
    return [*records, style]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of this module's own."""
    return Settings(home=tmp_path_factory.mktemp("harness") / "home", port=0)


@pytest.fixture(scope="module")
def store(home: Settings, some_run: SomeRun) -> Iterator[Store]:
    """All runs."""
    home.home.mkdir()
    with Store.open(home.store_path) as opened:
        ingest(opened, [record for n in range(RUNS) for record in told(some_run, n)])
        yield opened


@pytest.fixture
def api(store: Store, home: Settings) -> Iterator[TestClient]:
    """The routes alone, with nothing kept."""
    with closing(Control(store, home)) as control:
        yield TestClient(application([harness(Computed(Desk(store=store, control=control)))]))


def ask(api: TestClient, path: str, **parameters: Any) -> Any:
    """The answer."""
    answer = api.get(f"/v1/{path}", params=parameters)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def test_each_line_has_its_calls_money_and_settings(api: TestClient) -> None:
    """Two lines of forty calls each; the classes of a line sum to its cost, its trend to its calls and its cost."""
    page = ask(api, "harness")
    assert {"runs": RUNS, "of_runs": RUNS} == {key: page["scope"][key] for key in ("runs", "of_runs")}
    assert [2, None] == [page["total"], page["next"]]
    for row in page["items"]:
        assert (RUNS // 2, RUNS, RUNS // 2) == (row["calls"], row["attempts"], row["failed_attempts"])
        assert row["cost_musd"] == sum(part["cost_musd"] for part in row["spent"]) > 0
        assert [row["calls"], row["cost_musd"]] == [sum(s[k] for s in row["trend"]) for k in ("calls", "cost_musd")]
        assert [("model", "code", RUNS // 2)] == [(k["knob"], k["source"], k["calls"]) for k in row["knobs"]]
    by_place = ask(api, "harness", order="failed_runs")["items"]
    assert by_place[0]["failed_runs"] >= by_place[1]["failed_runs"] > 0


def test_lines_are_paged_and_chosen(api: TestClient) -> None:
    """A page goes on where the one before ended; one line, and the runs of a time or an agent, can be asked for."""
    first = ask(api, "harness", limit=1)
    second = ask(api, "harness", limit=1, cursor=first["next"])
    assert {"s0", "s1"} == {page["items"][0]["site_id"] for page in (first, second)}
    assert None is second["next"]
    assert ["s1"] == [row["site_id"] for row in ask(api, "harness", site="s1")["items"]]
    assert [] == ask(api, "harness", service="nobody")["items"]
    since = first["scope"]["first_ns"] + 10 * SECOND
    assert RUNS - 10 == ask(api, "harness", since_ns=since)["scope"]["of_runs"]


def test_a_bound_takes_the_newest_and_says_so(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store with more calls than are looked at, every number is of the newest runs, and how many fit is told."""
    monkeypatch.setattr(scope, "MOST_CALLS", 10)
    monkeypatch.setattr(comparing, "MOST_RUNS", 30)
    page = ask(api, "harness")
    assert (10, RUNS, 10) == (page["scope"]["runs"], page["scope"]["of_runs"], sum(r["calls"] for r in page["items"]))
    assert 10 == sum(edge["times"] for edge in ask(api, "map")["edges"] if edge["from_kind"] == "start")
    found = ask(api, "compare")
    assert (30, RUNS, 30) == (found["scope"]["runs"], found["scope"]["of_runs"], found["comparison"]["runs"])


def test_the_map_counts_every_step_once(api: TestClient, store: Store) -> None:
    """As many ways begin as end, as many as there are runs; what leads to a line sums to its calls and cost."""
    found = ask(api, "map")
    ends = {kind: sum(e["times"] for e in found["edges"] if e[kind[0]] == kind[1])
            for kind in (("from_kind", "start"), ("to_kind", "end"))}  # fmt: skip
    assert {RUNS} == set(ends.values())
    for node in found["nodes"]:
        into = [e for e in found["edges"] if (e["to_kind"], e["to_name"]) == (node["kind"], node["name"])]
        assert {key: node[key] for key in ("times", "failed", "cost_musd")} == {
            key: sum(e[key] for e in into) for key in ("times", "failed", "cost_musd")
        }
    assert found["times_total"] == sum(edge["times"] for edge in found["edges"])
    few = ask(api, "map", most=1)
    assert (1, found["edges_total"]) == (len(few["edges"]), few["edges_total"])
    assert failed_runs(store) == sum(e["failed"] for e in found["edges"] if e["to_kind"] == "end") > 0


def failed_runs(store: Store) -> int:
    """Runs whose outcome says no."""
    with closing(store.cursor()) as con:
        (row,) = con.execute("SELECT count_if(NOT success) FROM effective_outcomes").fetchall()
    return int(row[0])


def test_versions_stand_side_by_side(api: TestClient) -> None:
    """Each version with its runs, success with interval, cost, and five dimensions."""
    found = ask(api, "scorecard")
    assert ["v1", "v2"] == [one["version"] for one in found["versions"]]
    for one in found["versions"]:
        assert (RUNS // 2, RUNS // 2) == (one["runs"], one["judged"])
        assert one["success_low"] < one["succeeded"] / one["judged"] < one["success_high"]
    assert {(v, d["id"]) for v in ("v1", "v2") for d in found["dimensions"]} == {
        (s["version"], s["dimension"]) for s in found["scores"]
    }


def test_shares_gap_and_frontier_are_compared_once(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares add up to 1, each with its interval; asked again, nothing is computed again."""
    found = ask(api, "compare")
    shares = found["comparison"]["shares"]["success"]["components"]
    assert 1 == pytest.approx(sum(one["share"] for one in shares))
    assert all(one["low"] <= one["share"] <= one["high"] for one in shares)
    assert 4 == len(found["comparison"]["frontier"]["configurations"])
    monkeypatch.setattr(comparing, "compare", None)
    assert found == ask(api, "compare")
    monkeypatch.undo()
    by_style = ask(api, "compare", harness="knob:style", by=["harness"])["comparison"]
    assert {"harness": 2} == by_style["levels"]
    assert found["comparison"]["frontier"]["quality_share"] == 0.8


def test_a_drawn_value_is_weighed_or_refused(api: TestClient) -> None:
    """What was drawn can be asked about; a value that never was, and a knob that nobody drew, are refused in words."""
    (choice,) = ask(api, "what-if")["choices"]
    assert ("style", ['"long"', '"short"'], [40, 40]) == (choice["knob"], choice["values"], choice["runs"])
    asked = {"site": choice["site_id"], "knob": "style"}
    good = ask(api, "what-if", **asked, value='"short"')
    assert good["value"]["n"] == RUNS
    assert good["value"]["dr"]["estimate"] == pytest.approx(1, abs=0.05)
    assert good["value"]["logged"] < good["value"]["dr"]["estimate"]
    assert 40 == pytest.approx(good["value"]["effective"])
    refused = ask(api, "what-if", **asked, value='"terse"')
    assert refused["value"] is None
    assert "never drawn" in refused["refusal"]
    missing = api.get("/v1/what-if", params={"site": "s0", "knob": "model", "value": '"m"'})
    assert (404, True) == (missing.status_code, "lists what was" in missing.json()["detail"])


@pytest.mark.parametrize("path", PATHS)
def test_unknown_parameters_are_refused(api: TestClient, path: str) -> None:
    """A misspelt filter would answer with everything."""
    assert 400 == api.get(f"/v1/{path}", params={"nope": 1}).status_code


@pytest.mark.parametrize(
    ("path", "given"),
    [("compare", {"harness": "colour"}), ("compare", {"cost_share": 0}), ("what-if", {"value": "short"}),
     ("harness", {"order": "name"}), ("map", {"most": 0})],
)  # fmt: skip
def test_values_that_mean_nothing_are_refused(api: TestClient, path: str, given: dict[str, Any]) -> None:
    """With 422, before anything is computed."""
    assert 422 == api.get(f"/v1/{path}", params=given).status_code


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_store_answers(settings: Settings, path: str) -> None:
    """Nothing recorded is no error: lists are empty, and a comparison says what it needs."""
    settings.home.mkdir()
    with Store.open(settings.store_path) as empty, closing(Control(empty, settings)) as control:
        api = TestClient(application([harness(Computed(Desk(store=empty, control=control)))]))
        answer = ask(api, path)
    kept = [value for key, value in answer.items() if isinstance(value, list) and key != "dimensions"]
    assert [] == [value for value in kept if value]
    assert path != "compare" or "run an agent" in answer["refusal"]
    assert json.dumps(answer)
