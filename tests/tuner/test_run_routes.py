"""Runs chosen by cost, finding and text, what was in force in them, and where they were lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Content, Record, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner import run_routes, search
from trimtab_tuner.control import Control
from trimtab_tuner.routing import Desk, application

SomeRun = Callable[..., list[Record]]
FINDING = """
INSERT INTO findings BY NAME SELECT
    'f' AS finding_id, 'r' AS rule, '' AS subject, 'k' AS knob, 'null' AS value, 't' AS title, 'a' AS advice,
    'open' AS status, 2 AS runs, 1 AS failed_runs, 2 AS calls, 0 AS cost_musd, 0 AS wasted_musd,
    '{"runs": ["r001", "r004"], "ended_runs": ["r005"]}' AS evidence,
    0 AS first_seen_ns, 0 AS last_seen_ns, 0 AS updated_ns
"""


@pytest.fixture
def store(settings: Settings, some_run: SomeRun) -> Iterator[Store]:
    """Seven runs; number 3 was asked about a "Café", and number 5 said so in two lines."""
    with Store.open(settings.store_path) as opened:
        for n in range(7):
            run = f"r{n:03d}"
            body = json.dumps({"m": 'a "Café"\nfor two'}, ensure_ascii=n == 5) if n in (3, 5) else "{}"
            told = Content(f"{run}.c.1", f"{run}.c", run, "request", 1, body)
            ingest(opened, [*some_run(n, success=n != 3), told])
        with opened.transaction() as con:
            con.execute(FINDING)
            con.execute("UPDATE runs SET harness = 'v1' WHERE run_id = 'r002'")
        yield opened


@pytest.fixture
def api(store: Store, settings: Settings) -> Iterator[TestClient]:
    """The routes alone."""
    with closing(Control(store, settings)) as control:
        yield TestClient(application([run_routes.runs(Desk(store=store, control=control))]))


def chosen(api: TestClient, **filters: Any) -> list[int]:
    """Numbers of the runs that fit."""
    answer = api.get("/v1/runs", params=filters)
    assert 200 == answer.status_code, answer.text
    return [int(item["run_id"][1:]) for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"finding": "f"}, [5, 4, 1]),
        ({"finding": "none"}, []),
        ({"harness": "v1"}, [2]),
        ({"harness": "none"}, []),
        ({"min_cost_musd": 1000, "max_cost_musd": 1000}, [6, 5, 4, 3, 2, 1, 0]),
        ({"min_cost_musd": 1001}, []),
        ({"max_cost_musd": 999}, []),
        ({"text": "SELL"}, [6, 5, 4, 3, 2, 1, 0]),
        ({"text": "café"}, [3]),
        ({"text": 'a "Café"\nFOR'}, [3]),
        ({"text": "for two", "finding": "f"}, [5]),
        ({"text": "%"}, []),
    ],
)
def test_filters_choose_runs(api: TestClient, filters: dict[str, Any], expected: list[int]) -> None:
    """Each filter keeps exactly the runs it names; a text is found in any case and as JSON writes it."""
    assert expected == chosen(api, **filters)


def test_a_search_goes_on_where_it_stopped(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks through so many runs at a time, says so, and its next page looks through older ones, hit or no hit."""
    monkeypatch.setattr(run_routes, "SEARCHED", 2)
    pages, cursor = [], None
    while True:
        given = {"text": "for two", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = api.get("/v1/runs", params=given).json()
        pages.append(([item["run_id"] for item in page["items"]], page["searched"], page["total"]))
        cursor = page["next"]
        if cursor is None:
            break
    assert [(["r005"], 2, None), (["r003"], 2, None), ([], 2, None), ([], 1, None)] == pages


def test_texts_that_can_not_be_read_cost_only_themselves(api: TestClient, store: Store) -> None:
    """A file that is damaged or gone is passed over; names and the other files are searched."""
    files = sorted(store.content_dir.glob("*.parquet"))
    with closing(store.cursor()) as con:
        of = dict(con.execute("SELECT run_id, segment FROM content WHERE attempt_id LIKE '%.1'").fetchall())
    Path(store.content_dir / of["r000"]).write_bytes(b"no parquet")
    Path(store.content_dir / of["r001"]).unlink()
    assert len(files) >= 3
    assert [5, 3] == chosen(api, text="for two")
    assert search.SEARCHED >= 500


def test_what_is_there_to_choose(api: TestClient) -> None:
    """Services, models and places, each once."""
    said = api.get("/v1/choices").json()
    assert ["gpt-4o-mini"] == said["models"]
    assert ["s1"] == [site["site_id"] for site in said["sites"]]
    assert [""] == said["services"]


def test_settings_of_a_run_come_once(api: TestClient) -> None:
    """A value with the number of its calls, and the places it names."""
    said = api.get("/v1/runs/r001/settings").json()
    (item,) = said["items"]
    assert ("model", "gpt-4o-mini", 1, ["r001.c"], False) == tuple(
        item[k] for k in ("knob", "value", "times", "calls", "is_of_run")
    )
    assert ["s1"] == [site["site_id"] for site in said["sites"]]
    assert 404 == api.get("/v1/runs/none/settings").status_code


def test_only_what_is_wanted_of_a_run(api: TestClient) -> None:
    """A list that is left out comes empty; one that is longer than asked for is cut, and named."""
    said = api.get("/v1/runs/r001", params={"most": 1, "leave_out": ["decisions", "outcomes"]}).json()
    assert ([], [], 1) == (said["decisions"], said["outcomes"], len(said["attempts"]))
    assert ["attempts"] == said["truncated"]
    assert 400 == api.get("/v1/runs/r001", params={"leave": "decisions"}).status_code


def test_a_run_names_the_runs_inside_it(api: TestClient, store: Store) -> None:
    """In the order in which they began."""
    inner = [RunStart(f"i{n}", "p1", 5 - n, "helper", "explicit", parent_run_id="r001") for n in range(2)]
    ingest(store, inner)
    assert ["i1", "i0"] == [run["run_id"] for run in api.get("/v1/runs/r001").json()["parts"]]


def test_a_lost_run_is_blamed_on_its_steps(api: TestClient) -> None:
    """Ranked, with shares that sum to one; a run that did not fail has no blame."""
    said = api.get("/v1/runs/r003/blame").json()
    assert [1] == [item["rank"] for item in said["items"]]
    assert 1 == pytest.approx(sum(item["share"] for item in said["items"]))
    assert "r003.c" == said["items"][0]["call_id"]
    assert [] == api.get("/v1/runs/r002/blame").json()["items"]
    assert 404 == api.get("/v1/runs/none/blame").status_code
