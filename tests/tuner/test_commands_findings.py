"""``trimtab findings`` as it is typed: on a home, through a sidecar, on a store's file, on recordings."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.sidecar import Sidecar

Typed = Callable[..., tuple[int, Any]]

TOOL = {"id": "t1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}}
AGAIN = [
    {"role": "assistant", "content": None, "tool_calls": [TOOL]},
    {"role": "tool", "tool_call_id": "t1", "content": "nothing"},
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory without settings of any kind."""
    for name in [n for n in os.environ if n.startswith("TRIMTAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run the command with ``--json``; the exit code and the document."""

    def do(*argv: object) -> tuple[int, Any]:
        code = main(["findings", "--json", *map(str, argv)])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return do


@pytest.fixture
def home(here: Path, refused_runs: Callable[..., list[Record]]) -> Path:
    """The default home with runs that a rate limit ended."""
    with Store.open(here / ".trimtab" / "trimtab.duckdb") as store:
        ingest(store, [record for n in range(2) for record in refused_runs(n)])
    return here / ".trimtab"


def _comparable(document: Any) -> Any:
    return {key: value for key, value in document.items() if key != "generated_ns"}


def test_home_store_and_sidecar_say_the_same(here: Path, home: Path, typed: Typed) -> None:
    """The home in force, its path, its store's file and its sidecar give the same object."""
    code, document = typed()
    assert (0, "rate_limit", 1) == (code, document["findings"][0]["mode"], document["findings"][0]["rank"])
    copy = here / "copy.duckdb"
    shutil.copy(home / "trimtab.duckdb", copy)
    others = [typed(home)[1], typed(copy)[1]]
    with Sidecar(Settings(home=home, port=0)):
        others.append(typed()[1])
        by_sidecar = typed("--run", document["findings"][0]["run"][:4])
    assert [_comparable(document)] * 3 == [_comparable(other) for other in others]
    assert (0, document["findings"][0]["run"]) == (by_sidecar[0], by_sidecar[1]["run"])


def test_status_and_since_choose(home: Path, typed: Typed) -> None:
    """Findings are chosen by status and by when they were seen; a time that is none is refused."""
    assert [] == typed("--status", "all", "--since", "2999-01-01", "--home", home)[1]["findings"]
    assert 2 == typed("--since", "soon")[0]


def test_table_for_people(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json: what, where, which setting, and where each failed run was lost."""
    assert 0 == main(["findings"])
    said = capsys.readouterr().out
    for part in ("rate_limit: ", "max_retries = ", "shares of a run sum to 1"):
        assert part in said


def test_recordings_are_analysed_and_not_kept(here: Path, typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    """Recordings named on the command line are analysed with their steps and files named, and no home is made."""
    ask = {"role": "user", "content": "Find it."}
    run = {"run_id": "one", "model": "m", "messages": [ask, *AGAIN, *AGAIN], "success": False}
    (here / "one.json").write_text(json.dumps(run))
    code, document = typed("one.json")
    repeated = next(one for one in document["findings"] if one["mode"] == "repeated_call")
    assert (0, 3) == (code, repeated["step"])  # the index of the message
    assert {repeated["run"]: "one.json"} == document["files"]
    assert 1 == pytest.approx(sum(step["share"] for step in document["failed_runs"][0]["blame"]))
    assert not (here / ".trimtab").exists()
    assert 0 == main(["import", "one.json"])
    capsys.readouterr()
    kept = typed()[1]
    assert document["findings"] == kept["findings"]


def test_unreadable_recordings_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What can't be read is named and makes the exit code 2; what can is analysed all the same."""
    (here / "bad.json").write_text("{")
    (here / "good.json").write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}, *AGAIN]}))
    assert 2 == main(["findings", "--json", "bad.json", "good.json"])
    out, err = capsys.readouterr()
    assert "bad.json" in err
    assert 1 == json.loads(out)["totals"]["runs"]
    assert 2 == main(["findings", "--json", "bad.json"])


def _span(n: int) -> dict[str, Any]:
    """The ``n``th call of one trace."""
    return {
        "name": "llm",
        "context": {"trace_id": "a" * 32, "span_id": f"{n + 1:016x}"},
        "start_time": f"2026-11-20T10:00:0{n}Z",
        "end_time": f"2026-11-20T10:00:0{n + 1}Z",
        "attributes": {"openinference.span.kind": "LLM", "llm.model_name": "m"},
    }


def test_a_trace_spread_over_recordings_is_one_run(here: Path, typed: Typed) -> None:
    """Spans of one trace in two files, and its labels in a third, are one run with all its calls."""
    for n in range(2):
        (here / f"part{n}.json").write_text(json.dumps(_span(n)))
    (here / "labels.json").write_text(json.dumps({"trace_id": "a" * 32, "errors": [{"category": "x"}]}))
    code, document = typed("part0.json", "part1.json", "labels.json")
    assert (0, 1, 2) == (code, document["totals"]["runs"], document["totals"]["calls"])
    assert ["part0.json"] == list(document["files"].values())


def test_a_recording_given_twice_counts_as_it_came_last(here: Path, typed: Typed) -> None:
    """Two files with the same run in different states give the later one's run, and no mixture of both."""
    ask = {"role": "user", "content": "Find it."}
    for name, messages in (("long", [ask, *AGAIN, *AGAIN]), ("short", [ask, *AGAIN])):
        (here / f"{name}.json").write_text(json.dumps({"run_id": "one", "model": "m", "messages": messages}))
    assert 1 == typed("long.json", "short.json")[1]["totals"]["calls"]
    assert 2 == typed("short.json", "long.json")[1]["totals"]["calls"]


def test_labels_alone_are_nothing_to_analyse(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of labels whose trace is not given is named, as a recording that could not be read."""
    (here / "labels.json").write_text(json.dumps({"trace_id": "a" * 32, "errors": [{"category": "x"}]}))
    (here / "other.json").write_text(json.dumps(_span(0) | {"context": {"trace_id": "b" * 32, "span_id": "1" * 16}}))
    assert 2 == main(["findings", "labels.json"])
    assert f"labels.json: labels of the trace {'a' * 32}" in capsys.readouterr().err
    assert 2 == main(["findings", "--json", "labels.json", "other.json"])
    out, err = capsys.readouterr()
    assert (1, True) == (json.loads(out)["totals"]["runs"], "labels.json: labels" in err)


@pytest.mark.parametrize("argv", [[], ["gone.duckdb"], ["--run", "nope"]])
def test_nothing_there(here: Path, argv: list[str], capsys: pytest.CaptureFixture[str], request: Any) -> None:
    """No recording, no such store, no such run: one sentence, exit code 1."""
    if "--run" in argv:
        request.getfixturevalue("home")
    assert 1 == main(["findings", *argv])
    assert capsys.readouterr().err.startswith("trimtab: ")
