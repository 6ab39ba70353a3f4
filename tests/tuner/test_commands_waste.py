"""``trimtab waste``: the same sums on the terminal, as JSON, from a store and from a sidecar."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_analyzer.waste import BY
from trimtab_tracer.settings import Settings
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


def test_a_home_without_a_recording_is_named(settings: Settings, capsys: Any) -> None:
    """That there is nothing to add up is said with the home that was looked at."""
    code, _, error = _main(capsys, "waste", "--home", str(settings.home))
    assert code != 0
    assert f"There is nothing to look at: {settings.home}" in error


def test_the_groupings_are_those_of_the_analyzer() -> None:
    """The command names them without loading it."""
    assert BY == waste.BY
