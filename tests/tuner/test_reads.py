"""The reads behind the API: what their statements choose, and that their headers say what they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources
from typing import Any

import duckdb
import pytest

from trimtab_analyzer import load
from trimtab_analyzer.report import build
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import (
    Attempt,
    Decision,
    Exchange,
    GenAiSpan,
    Loss,
    Outcome,
    Process,
    Record,
    RunStart,
    ToolRun,
)
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner import reads

FILES = sorted(
    path.name for path in (resources.files("trimtab_tuner") / "queries").iterdir() if path.name.endswith(".sql")
)
SomeRun = Callable[..., list[Record]]


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store."""
    with Store.open(settings.store_path) as opened:
        yield opened


@pytest.fixture
def con(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor onto it."""
    with closing(store.cursor()) as cursor:
        yield cursor


@pytest.mark.parametrize("name", FILES)
def test_the_header_names_every_parameter(name: str) -> None:
    """A statement's header says what it is for and names each parameter that the statement takes."""
    text = reads.statement(name.removesuffix(".sql"))
    header = "\n".join(line for line in text.splitlines() if line.startswith("--"))
    assert header.startswith("-- Purpose: ")
    body = text[len(header) :]
    assert set(re.findall(r"\$\w+", body)) == set(re.findall(r"\$\w+", header))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(True, "explicit", 1), (False, "evaluator", 2), (False, "inferred", 3)], (True, "explicit")),
        ([(False, "inferred", 1), (True, "evaluator", 2)], (True, "evaluator")),
        ([(False, "explicit", 1), (True, "explicit", 2)], (True, "explicit")),
        ([], (None, None)),
    ],
)
def test_the_best_outcome_counts(
    store: Store,
    con: duckdb.DuckDBPyConnection,
    some_run: SomeRun,
    said: list[tuple[bool, str, int]],
    expected: tuple[object, object],
) -> None:
    """Of several outcomes of a run, explicit beats evaluator beats inferred, and of equals the latest counts."""
    outcomes = [Outcome(f"o{at}", "r001", at, success, source=source) for success, source, at in said]
    ingest(store, [*some_run(1), *outcomes])
    (run,) = reads.runs(con, limit=5)
    assert (run["success"], run["outcome_source"]) == expected
    word = {True: "success", False: "failure", None: "unknown"}[run["success"]]
    assert [r["run_id"] for r in reads.runs(con, outcome=word, limit=5)] == ["r001"]


@pytest.mark.parametrize("sources", [("explicit", "explicit"), ("inferred", "odd"), ("odd", "odd")])
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_api_and_analysis_agree_on_ties(
    store: Store, con: duckdb.DuckDBPyConnection, sources: tuple[str, str], order: tuple[str, str]
) -> None:
    """Of two outcomes of one moment, of the same or an unknown source, both name the same one as the run's."""
    said = [
        Outcome(outcome_id, "r", 5, outcome_id == "a", float(place), source)
        for place, (outcome_id, source) in enumerate(zip(order, sources, strict=True))
    ]
    ingest(store, [RunStart("r", "p", 1, "n", "explicit"), *said])
    (run,) = reads.runs(con, limit=1)
    frame = load.outcomes(con)
    assert [(run["success"], run["score"], run["outcome_source"])] == frame.select("success", "score", "source").rows()


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (ToolRun("t", "r", "p", "look", 50, 5, "error"), ({"rebuilt", "process"}, 4, 1)),
        (
            GenAiSpan(
                *("t", "s", "r", "p", "call", "chat", "chat", 10**12, 1, "x"),
                **{"model": "gpt-4o", "provider": "openai", "input_tokens": 10, "output_tokens": 1},
            ),
            ({"rebuilt", "process"}, 5, 0),
        ),
    ],
    ids=["tool", "call"],
)
def test_what_is_left_in_a_split_run_is_counted(
    store: Store, con: duckdb.DuckDBPyConnection, left: Record, expected: tuple[set[str], int, int]
) -> None:
    """A process's run whose tasks are runs of their own is listed while a call or tool is left in it, and the report's
    totals are those of its ledger; with nothing left it is not listed."""

    def call(name: str, at: int, in_links: tuple[str, ...], out: tuple[str, ...], **context: Any) -> list[Record]:
        ids, wire = (name, name, "r", "p", 1, at, 1), ("openai.chat", "POST", "api.openai.com", "/", "s", "complete")
        more = {"finish_reason": "tool_calls" if out else "stop", "usage_source": "reported", "input_tokens": 10}
        said = Exchange(
            name, name, "r", "openai.chat", "gpt-4o", output_tokens=1, links_in=in_links, links_out=out, **more
        )
        return [Attempt(*ids, *wire, model="gpt-4o", **context), said]

    tasks = [RunStart("r", "p", 1, "n", "process"), *call("a", 10, (), ("tX",)), *call("b", 20, ("tX",), ())]
    tasks += call("c", 30, (), ("tY",), after_call_id="b", is_branch=True)
    ingest(store, [*tasks, *call("d", 40, ("tY",), (), after_call_id="c")])

    def counted() -> tuple[set[str], int, int]:
        report, listed = build(con), {run["origin"] for run in reads.runs(con, limit=9)}
        assert sum(line.cost_musd for line in report.ledger) == report.totals.cost_musd
        assert sum(line.attempts for line in report.ledger) == report.totals.attempts
        assert load.outcomes(con).height == report.totals.runs == len(reads.runs(con, limit=9))
        return listed, report.totals.calls, report.totals.tool_errors

    assert ({"rebuilt"}, 4, 0) == counted()
    ingest(store, [left])
    assert expected == counted()


def test_losses_are_added_up(store: Store, con: duckdb.DuckDBPyConnection, process: Process) -> None:
    """Losses of one process, kind and reason are one row with the sum of their counts and the time they span."""
    ingest(
        store,
        [
            process,
            Loss("p1", "content", "spool full", 2, 100, 10),
            Loss("p1", "content", "spool full", 3, 50, 20),
            Loss("p1", "exchange", "spool full", 1, 5, 15),
        ],
    )
    rows = reads.losses(con, limit=10, offset=0)
    assert [
        (r["service"], r["lost_kind"], r["count"], r["size_bytes"], r["first_ns"], r["last_ns"], r["total"])
        for r in rows
    ] == [("shop", "content", 5, 150, 10, 20, 2), ("shop", "exchange", 1, 5, 15, 15, 2)]


def test_what_has_no_known_price_is_counted_apart(
    store: Store, con: duckdb.DuckDBPyConnection, some_run: SomeRun
) -> None:
    """A run's cost sums what is known, and says how many attempts are not in it."""
    records = [r for r in some_run(1, model="nobody-knows-this") if type(r).__name__ != "Exchange"]
    ingest(store, [*some_run(2), *records])
    costs = {r["run_id"]: (r["cost_musd"], r["attempts_unpriced"]) for r in reads.runs(con, limit=5)}
    assert costs == {"r001": (0, 1), "r002": (1000, 0)}
    assert {
        s["site_id"]: s["attempts_unpriced"] for s in reads.sites(con, site=None, service=None, limit=5, offset=0)
    } == {"s1": 1}


def test_no_value_of_a_knob_hides_another(store: Store, con: duckdb.DuckDBPyConnection, some_run: SomeRun) -> None:
    """A knob with more values than are listed shows the last used ones, and says how many there are."""
    ingest(store, [r for n in range(6) for r in some_run(n, model=f"m{n}")])
    rows = reads.knobs(con, knob="model", site=None, max_values=2, limit=10, offset=0)
    assert [(r["site_id"], r["values_total"], r["total"]) for r in rows] == [("s1", 6, 1)]
    assert ["m5", "m4"] == [value["value"] for value in rows[0]["values"]]


def test_runs_count_once_and_calls_each_for_a_knobs_value(
    store: Store, con: duckdb.DuckDBPyConnection, some_run: SomeRun
) -> None:
    """Two calls of one run under one value are two calls and one run; a value from another source stands apart."""
    more = [
        Decision("x1", "r001", "model", "m", "code", "s1", 10, call_id="a"),
        Decision("x2", "r001", "model", "m", "code", "s1", 20, call_id="b"),
        Decision("x3", "r001", "model", "m", "human", "s1", 5, call_id="c", policy_version=2),
    ]
    ingest(store, [*some_run(1, model="m")[:2], *more])
    (row,) = reads.knobs(con, knob=None, site="s1", max_values=9, limit=10, offset=0)
    assert [("m", "code", 2, 1, 20), ("m", "human", 1, 1, 5)] == [
        tuple(value[key] for key in ("value", "source", "calls", "runs", "last_ns")) for value in row["values"]
    ]
