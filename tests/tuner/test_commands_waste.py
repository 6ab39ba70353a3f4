"""``trimtab waste``: the same sums on the terminal, as JSON, from a store and from a sidecar."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_analyzer.waste import BY
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import RunEnd, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.commands import waste


def _main(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def _record(spool: Any, some_run: Any) -> None:
    for record in some_run(1):
        spool.write(record)
    spool.close()


def test_the_store_is_added_up(settings: Settings, spool: Any, some_run: Any, capsys: Any) -> None:
    """Text and JSON say the same, by whatever they are grouped; what is missing is named."""
    _record(spool, some_run)
    for by in BY:
        code, said, _ = _main(capsys, "waste", "--json", "--by", by, "--home", str(settings.home))
        found = json.loads(said)
        assert (code, by) == (0, found["by"])
        assert found["total"]["cost_musd"] == sum(row["cost_musd"] for row in found["money"])
    code, said, _ = _main(capsys, "waste", "--by", "agent", "--home", str(settings.home))
    assert code == 0
    assert all(part in said for part in ("Where $", "useful", "model", "What can't be said", "nobody said"))


def test_a_running_sidecar_answers(sidecar: Any, settings: Settings, spool: Any, some_run: Any, capsys: Any) -> None:
    """While a sidecar serves the home, its answer is printed."""
    code, said, _ = _main(capsys, "waste", "--json", "--by", "site", "--home", str(settings.home))
    assert (code, json.loads(said)["by"]) == (0, "site")


@pytest.mark.parametrize(("by", "is_said"), [("run", True), ("day", False)])
def test_times_that_do_not_add_up_are_said(settings: Settings, capsys: Any, by: str, is_said: bool) -> None:
    """A run inside another one is listed by run with its own time, which the total has once; it is said there."""
    with Store.open(settings.store_path) as store:
        around = RunStart(run_id="around", process_id="p", ts_ns=0, name="a", origin="explicit")
        runs = [around, replace(around, run_id="inside", parent_run_id="around")]
        ends = [RunEnd(run_id=one.run_id, ts_ns=10**9, status="ok", rule="block exit") for one in runs]
        ingest(store, [*runs, *ends])
    _, said, _ = _main(capsys, "waste", "--by", by, "--home", str(settings.home))
    assert (is_said, "Where 1 s went" in said) == (waste.NESTED in " ".join(said.split()), True)


def test_a_home_without_a_recording_is_named(settings: Settings, capsys: Any) -> None:
    """That there is nothing to add up is said with the home that was looked at."""
    code, _, error = _main(capsys, "waste", "--home", str(settings.home))
    assert code != 0
    assert f"There is nothing to look at: {settings.home}" in error


def test_the_groupings_are_those_of_the_analyzer() -> None:
    """The command names them without loading it."""
    assert BY == waste.BY
