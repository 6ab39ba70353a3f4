"""``trimtab experiment``: start, list and stop a comparison at fixed shares, with a running sidecar and without one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from trimtab.__main__ import main
from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings
from trimtab_tuner import home as homes
from trimtab_tuner.sidecar import Sidecar

Run = Callable[..., str]


@pytest.fixture(params=[True, False], ids=["sidecar", "no sidecar"])
def home(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Settings]:
    """A home that a sidecar serves, or that has a store and nobody who serves it."""
    if request.param:
        with Sidecar(settings):
            yield settings
    else:
        homes.prepare(settings.home)
        settings.spool_dir.mkdir()
        yield settings


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``trimtab experiment …`` on the home in this process; what it printed, on stderr if it failed."""

    def experiment(*arguments: str, code: int = 0) -> str:
        assert code == main(["experiment", *arguments, "--home", str(settings.home)])
        said = capsys.readouterr()
        assert "" == (said.out if code else said.err)
        return said.err if code else said.out

    return experiment


def test_from_start_to_stop(home: Settings, run: Run) -> None:
    """The values share what was asked for, the incumbent keeps the rest; a second one is refused; it can be ended."""
    assert "There is no experiment" in run()
    said = run("start", "timeout_s", "10", "20.5", "--share", "0.3", "--service", "shop", "--why", "too tight?")
    assert "Started: timeout_s is drawn by run: incumbent 70%, 10 15%, 20.5 15%." in said
    (row,) = json.loads(run("list", "--json"))
    (rule,) = parse(home.policy_path.read_bytes(), 2**62).rules
    assert [(None, 0.7), (10, 0.15), (20.5, 0.15)] == [(arm.value, round(arm.weight, 9)) for arm in rule.arms]
    assert ("shop", "too tight?") == (rule.match.service, row["why"])
    assert "runs on timeout_s" in run("start", "timeout_s", "30", code=1)
    assert row["experiment_id"] in run()
    assert "Stopped: timeout_s is what the code says again." in run("stop", row["experiment_id"])
    assert () == parse(home.policy_path.read_bytes(), 2**62).rules
    assert 1 == run("stop", row["experiment_id"], code=1).count("\n")


def test_a_share_that_leaves_nothing_is_wrong_usage(
    settings: Settings, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides need a share; one that can't be weighed is refused by the policy. Nothing starts either way."""
    homes.prepare(settings.home)
    settings.spool_dir.mkdir()
    for share in ("0", "1", "1.5", "-0.1", "nan", "half"):
        with pytest.raises(SystemExit) as left:
            run("start", "timeout_s", "10", f"--share={share}")
        assert 2 == left.value.code
        assert "is no share between 0 and 1" in capsys.readouterr().err
    assert "0.02" in run("start", "timeout_s", "10", "--share", "0.001", code=1)
    assert "There is no experiment" in run("list")
