"""The dashboard's life as a child of the sidecar: it comes up, ends with its parent, comes back, and harms nobody."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from trimtab_tracer.settings import Settings
from trimtab_tuner import dashboard_process, home
from trimtab_tuner.dashboard_process import DashboardProcess
from trimtab_tuner.sidecar import Sidecar

Until = Callable[..., None]

PARENT = """
import sys, time
from pathlib import Path
from trimtab_tracer.settings import Settings
from trimtab_tuner.sidecar import Sidecar

with Sidecar(Settings(home=Path(sys.argv[1]), port=0, dashboard_port=0)) as sidecar:
    sidecar.show_dashboard(lambda url: print(url, flush=True))
    time.sleep(600)
"""
"""A sidecar with its dashboard, in a process that can be killed."""


@pytest.fixture
def home_settings(tmp_path: Path) -> Settings:
    """A home of one's own, and any free port."""
    (tmp_path / "home").mkdir()
    return Settings(home=tmp_path / "home", port=0, dashboard_port=0)


@pytest.fixture
def ready() -> list[str]:
    """Addresses, each time a dashboard has come up."""
    return []


@pytest.fixture
def kept(home_settings: Settings, ready: list[str]) -> Iterator[DashboardProcess]:
    """A dashboard whose sidecar is nowhere; it starts when told to, and restarts at once."""
    process = DashboardProcess(home_settings, "http://127.0.0.1:9", "the-token", ready.append)
    yield process
    process.stop()


def is_there(pid: int) -> bool:
    """Whether a process of this number runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_comes_up_beside_the_sidecar_and_goes_with_it(
    home_settings: Settings, ready: list[str], until: Until
) -> None:
    """The sidecar answers at once; its note names the dashboard when that is ready, and both are gone afterwards."""
    with Sidecar(home_settings) as sidecar:
        sidecar.show_dashboard(ready.append)
        assert 200 == httpx.get(f"{sidecar.url}/v1/health", trust_env=False).status_code
        until(lambda: ready)
        note = home.read_note(home_settings)
        assert note is not None
        assert [note.dashboard_url] == ready
        assert 200 == httpx.get(f"{ready[0]}/_stcore/health", trust_env=False, timeout=30).status_code
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{ready[0]}/_stcore/health", trust_env=False)


def test_a_killed_sidecar_takes_it_along(tmp_path: Path, until: Until) -> None:
    """After SIGKILL of the sidecar nothing of the dashboard is left."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "home")], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        threads = Path(f"/proc/{parent.pid}/task").iterdir()
        children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
        assert 1 == len(children)
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: not is_there(int(children[0])))


def test_the_token_stands_where_nobody_sees_it(kept: DashboardProcess, ready: list[str], until: Until) -> None:
    """It is in no argument and in no environment variable of the child."""
    kept.start()
    until(lambda: ready)
    for name in ("cmdline", "environ"):
        assert b"the-token" not in Path(f"/proc/{kept.pid}/{name}").read_bytes()


def test_nothing_of_the_users_reaches_it(
    kept: DashboardProcess, ready: list[str], until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamlit's variables and the user's home directory, where options may lie, are kept away from it."""
    monkeypatch.setenv("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "true")
    kept.start()
    until(lambda: ready)
    environment = Path(f"/proc/{kept.pid}/environ").read_bytes().split(b"\0")
    assert [] == [v for v in environment if v.startswith((b"STREAMLIT_", b"TRIMTAB_"))]
    assert f"HOME={kept.settings.home}".encode() in environment


def test_one_that_dies_comes_back_at_its_address(
    kept: DashboardProcess, ready: list[str], until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed dashboard is started again, on the same port."""
    monkeypatch.setattr(DashboardProcess, "PAUSES_S", (0.0,))
    kept.start()
    until(lambda: ready)
    first = kept.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: len(ready) == 2)
    assert ready[0] == ready[1]
    assert kept.pid not in (None, first)
    assert 200 == httpx.get(f"{ready[1]}/_stcore/health", trust_env=False, timeout=30).status_code


def test_one_that_always_dies_is_given_up(
    kept: DashboardProcess, until: Until, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a bounded number of deaths in a row it stays off, and the log says so once."""
    monkeypatch.setattr(dashboard_process, "MODULE", "this.is.no.module")
    monkeypatch.setattr(DashboardProcess, "PAUSES_S", (0.0, 0.0))
    kept.start()
    until(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    assert 2 == sum("started again" in record.message for record in caplog.records)
    assert "ended 3 times in a row" in caplog.records[-1].message
    assert kept.pid is None


def test_without_its_packages_it_is_left_out(
    kept: DashboardProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Streamlit is not installed there is one line with the next step, and nothing else."""
    monkeypatch.setattr(dashboard_process, "PACKAGES", ("no_such_package",))
    kept.start()
    (record,) = caplog.records
    assert "pip install 'trimtab[sidecar]'" in record.message
    assert kept.pid is None


def test_a_taken_port_is_no_reason_to_stay_away(
    home_settings: Settings, ready: list[str], until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes a free port instead, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = DashboardProcess(replace(home_settings, dashboard_port=port), "http://127.0.0.1:9", "t", ready.append)
        process.start()
        try:
            until(lambda: ready)
            assert not ready[0].endswith(f":{port}")
            assert f"port {port} is in use" in caplog.text
        finally:
            process.stop()


def test_it_is_not_started_by_hand(tmp_path: Path) -> None:
    """Without a sidecar the module says in one sentence how to get to a dashboard."""
    ended = subprocess.run(
        [sys.executable, "-m", "trimtab_dashboard"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert (1, "") == (ended.returncode, ended.stdout)
    assert "is started by `trimtab up`" in ended.stderr
    assert 1 == ended.stderr.count("\n")
