from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.settings import Settings


@pytest.fixture
def erase(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command over the home; exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["erase", "--home", str(settings.home), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def recorded(spool: Any, some_run: Any) -> None:
    """Two runs with their texts, in the spool."""
    for number in (1, 2):
        for record in some_run(number):
            spool.write(record)
    spool.close()


def test_without_yes_they_are_counted_and_kept(erase: Any, recorded: None) -> None:
    """The same number is said until somebody says yes; after it there is none."""
    code, out, _ = erase("--all")
    counted = json.loads(erase("--all", "--json")[1])
    assert (code, counted["erased"]) == (0, False)
    assert f"{counted['texts']} texts would be erased. Nothing was" in out
    assert counted["texts"] > 0
    assert {"texts": counted["texts"], "erased": True} == json.loads(erase("--all", "--yes", "--json")[1])
    assert "0 texts erased" in erase("--all", "--yes")[1]


def test_a_run_alone(erase: Any, recorded: None) -> None:
    """The texts of one run are some of all; those of a time before it are none."""
    everything, one = (json.loads(erase(*which, "--json")[1])["texts"] for which in (["--all"], ["--run", "r001"]))
    assert 0 < one < everything
    assert 0 == json.loads(erase("--run", "r001", "--before", "1970-01-02", "--json")[1])["texts"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Say which texts"),
        (["--all", "--run", "r001"], "Say which texts"),
        (["--run", "nobody"], "There is no run nobody"),
        (["--service", "sh0p"], "There is no agent 'sh0p'; there are: "),
        (["--before", "soon"], "--before: expected a span such as 7d"),
    ],
)
def test_a_slip_of_the_pen_erases_nothing(erase: Any, recorded: None, arguments: list[str], told: str) -> None:
    """What can't be meant is said, with exit code 2."""
    code, _, error = erase(*arguments, "--yes")
    assert (code, told in error) == (2, True), error
    assert json.loads(erase("--all", "--json")[1])["texts"] > 0


def test_a_running_sidecar_keeps_its_store(sidecar: Any, erase: Any) -> None:
    """While a sidecar serves the home, it is named and nothing is done."""
    code, _, error = erase("--all", "--yes")
    assert code != 0
    assert sidecar.url in error


def test_a_home_without_a_recording_is_named(settings: Settings, erase: Any) -> None:
    """With the home that was looked at."""
    code, _, error = erase("--all")
    assert code != 0
    assert f"There is nothing to erase: {settings.home}" in error
