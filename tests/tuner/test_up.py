"""``trimtab up`` as a user starts and stops it: through the installed command, with signals and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tracer.store import Store

SomeRun = Callable[..., list[Record]]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Starts ``trimtab up`` on the home; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def up(*options: str, command: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        usual = ("-m", "trimtab", "up", "--home", str(settings.home), *(options or ("--port", "0", "--no-dashboard")))
        process = subprocess.Popen(
            [sys.executable, *(command or usual)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield up
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def listening(process: subprocess.Popen[str]) -> str:
    """The address it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"listens on (http://\S+)", line)
    assert found, line + (process.stderr.read() if process.stderr else "")
    return found[1]


def refused(process: subprocess.Popen[str]) -> str:
    """The one sentence with which it exits 3."""
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (3, "")
    assert err.startswith("trimtab: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    start: Start, settings: Settings, spool: SpoolWriter, some_run: SomeRun, number: signal.Signals
) -> None:
    """After SIGTERM or SIGINT the last records are stored, the note is gone, and the exit code is 0."""
    process = start(TRIMTAB_COLLECT_INTERVAL_S="3600")
    url = listening(process)
    note = json.loads(settings.sidecar_path.read_text())
    assert (note["pid"], note["url"]) == (process.pid, url)
    for record in some_run(1):
        assert spool.write(record)
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    assert "has stopped" in out
    assert not settings.sidecar_path.exists()
    with Store.open(settings.store_path) as store, closing(store.cursor()) as con:
        assert con.execute("SELECT count(*) FROM attempts").fetchall() == [(2,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_dashboard_comes_with_a_link_and_goes_quietly(
    start: Start, settings: Settings, number: signal.Signals
) -> None:
    """The sidecar answers first; then one line has a link that signs in; a signal ends both, and nothing complains."""
    process = start("--port", "0", TRIMTAB_DASHBOARD_PORT="0")
    assert httpx.get(f"{listening(process)}/v1/health", trust_env=False).status_code == 200
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(2)]
    link = re.fullmatch(
        r"The dashboard, opened once with this link: (http://127.0.0.1:\d+)(/login\?code=\S+)\n", said[1]
    )
    assert link, said
    assert json.loads(settings.sidecar_path.read_text())["dashboard_url"] == link[1]
    assert httpx.get(link[1] + link[2], trust_env=False, timeout=30).status_code == 200
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("has stopped; the spool is collected.\n")
    with pytest.raises(httpx.ConnectError):
        httpx.get(link[1], trust_env=False)


def test_what_it_makes_is_this_users(start: Start, settings: Settings) -> None:
    """Home, token, store and note are readable by their owner only."""
    listening(start())
    for path in (settings.home, settings.token_path, settings.store_path, settings.sidecar_path):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_second_one_names_the_first(start: Start) -> None:
    """A second ``up`` on the same home is one sentence with the address of the first, which goes on."""
    url = listening(start())
    assert url in refused(start())
    assert httpx.get(f"{url}/v1/health", trust_env=False).json()["status"] == "ok"


def test_a_taken_port_says_how_to_go_on(
    start: Start, settings: Settings, spool: SpoolWriter, some_run: SomeRun
) -> None:
    """With the port in use, the sentence names ``--port 0``, and what the agent spooled stays."""
    for record in some_run(1):
        assert spool.write(record)
    before = {path.name: path.read_bytes() for path in settings.spool_dir.iterdir()}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert re.search(rf"Port {port} .*`--port 0`", refused(start("--port", str(port), "--no-dashboard")))
    assert before == {path.name: path.read_bytes() for path in settings.spool_dir.iterdir()}


def test_a_home_that_cannot_be_is_one_sentence(start: Start, settings: Settings) -> None:
    """A file in the home's place is named, and stays as it is."""
    settings.home.write_text("mine")
    assert "is no folder" in refused(start())
    assert settings.home.read_text() == "mine"


def test_a_killed_one_comes_back(start: Start, settings: Settings) -> None:
    """SIGKILL leaves a stale note and nothing else in the way: the next start serves the same home and token."""
    first = start()
    listening(first)
    token = settings.token_path.read_text()
    first.kill()
    first.wait()
    assert settings.sidecar_path.exists()
    url = listening(start())
    assert json.loads(settings.sidecar_path.read_text())["url"] == url
    assert settings.token_path.read_text() == token


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    start: Start, settings: Settings, spool: SpoolWriter, some_run: SomeRun
) -> None:
    """While the store can't grow, records stay in the spool and the log says so; with room again each is there once."""
    for n in range(150):
        for record in some_run(n):
            assert spool.write(record)
    spool.close()
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))
from trimtab.__main__ import main
sys.exit(main(["up", "--port", "0", "--no-dashboard", "--home", sys.argv[1]]))
"""
    full = start(command=("-c", code, str(settings.home)))
    listening(full)
    assert full.stderr is not None
    assert "It stays and is tried again." in full.stderr.readline()
    full.terminate()
    out, _ = full.communicate(timeout=240)
    assert "the spool keeps what could not be taken" in out
    again = start()
    listening(again)
    again.terminate()
    assert "the spool is collected" in again.communicate(timeout=240)[0]
    with Store.open(settings.store_path) as store, closing(store.cursor()) as con:
        assert con.execute("SELECT count(*), count(DISTINCT attempt_id) FROM attempts").fetchall() == [(300, 300)]
