"""``trimtab tune``: values of a running experiment from the command line, through a sidecar and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.settings import Settings
from trimtab_tuner.sidecar import Sidecar

Run = Callable[..., Any]


@pytest.fixture(params=[True, False], ids=["sidecar", "no sidecar"])
def home(request: pytest.FixtureRequest, settings: Settings) -> Any:
    """A home that a sidecar serves, or has served."""
    with Sidecar(settings):
        if request.param:
            yield settings
    if not request.param:
        yield settings


@pytest.fixture
def tune(home: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``trimtab tune …`` on the home in this process; what it prints, read as JSON where that was asked for."""

    def run(*arguments: str) -> Any:
        assert 0 == main(["tune", *arguments, "--home", str(home.home)])
        said = capsys.readouterr().out
        return json.loads(said) if "--json" in arguments else said

    return run


def test_values_come_and_go_and_prices_change(tune: Run, home: Settings) -> None:
    """Each command is in the policy file when it returns, and says how runs are drawn from then on."""
    experiment = tune("start", "model", "small", "--json")["experiment_id"]

    def drawn() -> list[Any]:
        (rule,) = json.loads(home.policy_path.read_bytes())["rules"]
        return [arm.get("value") for arm in rule["arms"]]

    assert drawn() == [None, "small"]
    said = tune("add", experiment, "nano", "--price-usd", "0.002", "--why", "it is new")
    assert drawn() == [None, "small", "nano"]
    assert '"nano"' in said
    assert "the code's own" in said
    tune("reprice", experiment, "small", "--factor", "0.5")
    tune("reprice", experiment, "null", "--price-usd", "0.01")
    assert [row["kind"] for row in tune("events", "--json")].count("price_changed") == 2
    tune("remove", experiment, "small")
    assert drawn() == [None, "nano"]
    assert "the experiment ended" in tune("remove", experiment, "nano")
    assert json.loads(home.policy_path.read_bytes())["rules"] == []
    assert tune("--json")["campaigns"][0]["status"] == "stopped"
