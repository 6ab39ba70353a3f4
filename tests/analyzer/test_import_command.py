"""``trimtab import`` and ``trimtab report`` as they are typed, with and without a sidecar."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner import reads
from trimtab_tuner.commands import import_
from trimtab_tuner.sidecar import Sidecar

real = reads.runs

ASK = {"role": "user", "content": "Where is my order?"}
USAGE = {"prompt_tokens": 90, "completion_tokens": 10, "cost": 0.5}
ANSWER = {"role": "assistant", "content": "On its way.", "usage": USAGE}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a working directory without settings of any kind."""
    for name in [n for n in os.environ if n.startswith("TRIMTAB_") and n != "TRIMTAB_REAL_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A folder with two files of one run each."""
    folder = tmp_path / "traces"
    folder.mkdir()
    for n in (1, 2):
        run = {"run_id": f"run {n}", "model": "m", "messages": [ASK, ANSWER] * n, "success": n == 1}
        (folder / f"shop{n}.json").write_text(json.dumps(run))
    return folder


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line here; exit code, stdout and stderr."""

    def do(*argv: object) -> tuple[int, str, str]:
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return do


def _states(out: str) -> list[str]:
    return [run["state"] for file in json.loads(out)["files"] for run in file["runs"]]


def _rows(home: Path) -> dict[str, list[str]]:
    with Store.open(home / "trimtab.duckdb", read_only=True) as store:
        con = store.cursor()
        names = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: sorted(map(repr, con.execute(f"FROM {name}").fetchall())) for name in names}


def test_a_folder_is_imported_and_summed_up(home: Path, traces: Path, typed: Callable[..., Any]) -> None:
    """The table counts runs, calls, tokens and USD, and new against known; a pipe gets no progress bar."""
    code, out, err = typed("import", traces)
    total = next(line.split() for line in out.splitlines() if line.strip().startswith("total"))
    assert (code, err) == (0, "")
    assert total == ["total", "2", "3", "0", "300", "1.50", "2", "0"]


def test_importing_again_changes_nothing(home: Path, traces: Path, typed: Callable[..., Any]) -> None:
    """A second import, also of a renamed copy, finds every run known and leaves every table as it was."""
    first = _states(typed("import", traces, "--json")[1])
    before = _rows(home)
    (traces / "shop2.json").rename(traces / "other.json")
    assert (first, _states(typed("import", traces, "--json")[1])) == (["new", "new"], ["known", "known"])
    assert _rows(home) == before


def test_a_run_that_grew_is_brought_up_to_date(home: Path, traces: Path, typed: Callable[..., Any]) -> None:
    """A known run whose file has more calls now gets them, and is still one run."""
    typed("import", traces)
    longer = json.loads((traces / "shop1.json").read_text())
    longer["messages"] += [ASK, ANSWER]
    (traces / "shop1.json").write_text(json.dumps(longer))
    code, out, _ = typed("import", traces / "shop1.json", "--json")
    run = json.loads(out)["files"][0]["runs"][0]
    assert (code, run["state"], run["calls"], run["cost_musd"]) == (0, "updated", 2, 1_000_000)
    assert len(_rows(home)["runs"]) == 2


@pytest.mark.parametrize("is_served", [False, True])
def test_a_run_that_shrank_keeps_nothing_of_before(home: Path, traces: Path, typed: Any, is_served: bool) -> None:
    """A known run whose file has fewer calls now loses the others, and is as if it had been imported like that."""
    file = traces / "shop2.json"
    shorter = json.loads(file.read_text())
    shorter["messages"] = [ASK, ANSWER]
    with Sidecar(Settings(home=home, port=0)) if is_served else nullcontext():
        typed("import", traces)
        file.write_text(json.dumps(shorter))
        run = json.loads(typed("import", file, "--json")[1])["files"][0]["runs"][0]
    assert (run["state"], run["calls"], run["cost_musd"]) == ("updated", 1, 500_000)
    typed("import", traces, "--home", home / "anew")
    again, anew = _rows(home), _rows(home / "anew")
    tables = ("attempts", "calls", "decisions", "outcomes", "runs", "sites", "tool_calls", "waiting_exchanges")
    assert {t: again[t] for t in tables} == {t: anew[t] for t in tables}
    assert len(again["content"]) == len(anew["content"]) == 4


def test_a_trace_spread_over_files_is_one_run(home: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    """Spans of one trace in two files are one run, given together or one by one, and again change nothing."""
    kind = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini"}
    for n in range(2):
        ids = {"trace_id": "a" * 32, "span_id": f"{n + 1:016x}"}
        times = {"start_time": f"2026-11-20T10:00:0{n}Z", "end_time": f"2026-11-20T10:00:0{n + 1}Z"}
        span = {"name": "llm", "context": ids, "attributes": kind | {"llm.token_count.completion": n + 1}} | times
        (tmp_path / f"part{n}.json").write_text(json.dumps(span))
    parts = [tmp_path / f"part{n}.json" for n in range(2)]
    options = ("--json", "--service", "boats")
    assert ["new"] == _states(typed("import", *parts, *options)[1])
    before = _rows(home)
    assert (1, 2) == (len(before["runs"]), len(before["calls"]))
    assert ["known"] == _states(typed("import", *parts, *options)[1])
    assert before == _rows(home)
    for part, state in zip(parts, ("new", "updated"), strict=True):
        assert [state] == _states(typed("import", part, *options, "--home", home / "anew")[1])
    assert before["calls"] == _rows(home / "anew")["calls"]


def test_labels_without_their_spans_are_named(home: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    """A file of labels whose trace is not given is an error of that file, and nothing is imported of it."""
    (tmp_path / "labels.json").write_text(json.dumps({"trace_id": "a" * 32, "errors": [{"category": "x"}]}))
    code, out, err = typed("import", tmp_path / "labels.json")
    assert (code, "Nothing was imported." in out) == (2, True)
    assert f"labels of the trace {'a' * 32}, and nothing of the trace; give its spans with it" in err


def test_a_run_given_twice_is_kept_as_it_came_last(home: Path, traces: Path, typed: Callable[..., Any]) -> None:
    """Two files with the same run in different states, read in one go, give the second one's run and no mixture."""
    longer = json.loads((traces / "shop1.json").read_text())
    longer["messages"] += [ASK, ANSWER]
    (traces / "first.json").write_text(json.dumps(longer))
    _, out, _ = typed("import", traces / "first.json", traces / "shop1.json", "--json")
    assert _states(out) == ["new", "updated"]
    assert len(_rows(home)["calls"]) == 1


def test_known_runs_are_looked_up_by_id(
    home: Path, traces: Path, typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import asks for the runs of its files, a bounded number at a time, and never lists the others of the store."""
    asked: list[Any] = []
    typed("import", traces)
    monkeypatch.setattr(import_, "MAX_RUNS", 1)
    monkeypatch.setattr(reads, "runs", lambda con, **p: asked.append(p) or real(con, **p))
    assert _states(typed("import", traces, "--json")[1]) == ["known", "known"]
    assert [len(p["run_ids"]) for p in asked] == [1, 1, 1, 1]


def test_a_bad_file_is_named_and_the_others_are_imported(home: Path, traces: Path, typed: Callable[..., Any]) -> None:
    """An unknown format and a missing path give one sentence each and exit code 2; nothing of them is in the store."""
    (traces / "otel.json").write_text(json.dumps([{"messages": [ASK, ANSWER]}, {"spans": []}]))
    code, out, err = typed("import", traces, "missing.json")
    assert code == 2
    assert [line.split(":")[1].strip().rpartition("/")[2] for line in err.splitlines()] == [
        "missing.json",
        "otel.json, item 2",
    ]
    assert len(_rows(home)["runs"]) == 2
    assert "total" in out


def test_nothing_to_import_is_said(home: Path, typed: Callable[..., Any]) -> None:
    """With only bad arguments the exit code is 2 and no empty table is printed."""
    assert typed("import", "missing.json")[:2] == (2, "Nothing was imported.\n")


def test_totals_that_differ_from_the_files_own_are_said(home: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    """A trajectory that logs more calls than its messages hold is imported as far as it goes, and the gap is told."""
    info = {"model_stats": {"api_calls": 3, "instance_cost": 1.2}, "mini_version": "1.15.0", "exit_status": "Submitted"}
    value = {"info": info, "instance_id": "repo-1", "messages": [ASK, {"role": "assistant", "content": "x"}]}
    (tmp_path / "a.traj.json").write_text(json.dumps(value))
    assert (
        "own totals are 3 calls and USD 1.2000, its messages hold 1 calls"
        in typed("import", tmp_path / "a.traj.json")[1]
    )


def test_a_running_sidecar_takes_the_records_and_makes_the_report(home: Path, traces: Path) -> None:
    """While a sidecar holds the store, import and report of another process go through its API."""

    def trimtab(*argv: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "trimtab", *argv, "--json"], capture_output=True, check=True, text=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    with Sidecar(Settings(home=home, port=0)):
        totals = [trimtab("import", str(traces))["totals"] for _ in range(2)]
        report = trimtab("report")
    assert [(t["new"], t["known"]) for t in totals] == [(2, 0), (0, 2)]
    assert tuple(report["totals"][key] for key in ("runs", "calls", "cost_musd")) == (2, 3, 1_500_000)


def test_reports_on_what_was_imported(home: Path, traces: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    """Text, JSON, one run and one HTML file come from the same store; the file is written where it was asked for."""
    typed("import", traces)
    text, report = typed("report")[1], json.loads(typed("report", "--json")[1])
    run = next(run for run in report["runs"] if run["name"] == "run 2")
    assert "2 runs of shop1 and shop2 cost $1.50; 1 failed." in text
    assert json.loads(typed("report", "--json", "--run", run["run_id"])[1])["totals"]["cost_musd"] == 1_000_000
    assert typed("report", "--html", tmp_path / "r.html")[0] == 0
    assert report["headline"][0] in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["report"], "There is nothing to look at"),
        (["report", "--run", "nope"], "There is no run 'nope'"),
        (["report", "--html", "no/such/folder/r.html"], "no/such/folder/r.html: can't be written"),
    ],
)
def test_a_report_that_can_not_be_made(
    argv: list[str], sentence: str, home: Path, traces: Path, typed: Callable[..., Any]
) -> None:
    """An empty home, an unknown run and an unwritable file each give one sentence with the next step."""
    if len(argv) > 1:
        typed("import", traces)
    code, _, err = typed(*argv)
    assert (code, err.count("\n")) == (1, 1)
    assert sentence in err


def test_real_runs_from_files_to_report(home: Path, real_data: Path, typed: Callable[..., Any]) -> None:
    """15 real runs: the report's costs are the files' to the cent, and so are its 12 rejected answers."""
    typed("import", real_data / "mini_swe_agent" / "raw_sample")
    report = json.loads(typed("report", "--json")[1])
    logged = {
        path.name.split(".")[0]: json.loads(path.read_text())["info"]["model_stats"]
        for path in (real_data / "mini_swe_agent" / "raw_sample").glob("*.traj.json")
    }
    assert {run["name"]: (run["calls"], round(run["cost_musd"] / 1e6, 2)) for run in report["runs"]} == {
        name: (stats["api_calls"], round(stats["instance_cost"], 2)) for name, stats in logged.items()
    }
    rejected = next(line for line in report["ledger"] if line["cls"] == "rejected_output")
    assert (12, sum(run["rejected_musd"] for run in report["runs"])) == (rejected["calls"], rejected["cost_musd"])
    assert abs(rejected["cost_musd"] - 436_700) <= 12
    assert sum(line["cost_musd"] for line in report["ledger"]) == report["totals"]["cost_musd"]
