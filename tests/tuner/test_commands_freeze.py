"""``trimtab freeze`` and ``unfreeze``: the brake works with a sidecar, without one, and without a store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from trimtab.__main__ import main
from trimtab_tracer.policy import NONE, Arm, Match, Rule, parse, to_document
from trimtab_tracer.settings import Settings
from trimtab_tuner import client, home
from trimtab_tuner.sidecar import Sidecar

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on the home in this process; exit code, output and complaint."""

    def command(name: str, *arguments: str) -> tuple[int, str, str]:
        code = main([name, *arguments, "--home", str(settings.home)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def is_frozen(settings: Settings) -> bool:
    """What agents read."""
    policy = parse(settings.policy_path.read_bytes(), time.time_ns())
    assert policy.holds_at(time.time_ns())
    return policy.is_frozen


def test_with_a_sidecar(settings: Settings, run: Run) -> None:
    """The file says frozen when the command returns, the account names user and reason, and unfreeze ends it."""
    with Sidecar(settings):
        code, out, _ = run("freeze", "--why", "costs explode")
        assert (0, True) == (code, is_frozen(settings))
        assert "within 2 s agents do what their code says" in out
        api = client.connect(settings)
        assert api is not None
        told = api.get("/v1/freeze")
        assert (client.user_name(), "cli", "costs explode") == tuple(told[key] for key in ("actor", "via", "why"))
        assert (0, True) == (run("freeze")[0], is_frozen(settings))  # once more does no harm
        code, out, _ = run("unfreeze")
        assert (0, False) == (code, is_frozen(settings))
        assert "Steering goes on: 0 rules are active again.\nAgents obey policy version 3 within 2 s." in out
        code, out, err = run("unfreeze")
        assert (1, "") == (code, out)
        assert "not frozen" in err


def test_without_a_sidecar(settings: Settings, run: Run) -> None:
    """A home that nobody serves, even one that is not there yet, is frozen, and a sidecar that starts keeps it so."""
    code, out, _ = run("freeze", "--json")
    assert (0, True) == (code, is_frozen(settings))
    assert json.loads(out)["frozen"]
    with Sidecar(settings):
        assert is_frozen(settings)
    assert (0, False) == (run("unfreeze")[0], is_frozen(settings))


def test_a_rule_under_a_freeze_waits(settings: Settings, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """What is decided while steering is frozen is published, and the command says that nobody obeys it yet."""
    run("freeze")
    assert 0 == main(["policy", "rule", "add", "max_retries", "1", "--home", str(settings.home)])
    assert "Steering is frozen, so agents do what their code says until `trimtab unfreeze`." in capsys.readouterr().out
    policy = parse(settings.policy_path.read_bytes(), time.time_ns())
    assert (True, 1, frozenset()) == (policy.is_frozen, len(policy.rules), policy.knobs)


def test_a_store_that_cannot_be_opened_is_no_obstacle(settings: Settings, run: Run) -> None:
    """With a damaged store the published policy itself is frozen, its rules kept, and what is wrong is said."""
    home.prepare(settings.home)
    rule = Rule("r", "max_retries", Match(site="s"), "human", (Arm(3, 1.0),))
    policy = replace(NONE, version=7, issued_ns=time.time_ns(), lifetime_s=60, rules=(rule,))
    settings.policy_path.write_text(json.dumps(to_document(policy)))
    settings.store_path.write_bytes(b"no store" * 4096)
    code, out, err = run("freeze")
    assert (3, "", 1) == (code, out, err.count("\n"))
    assert "Steering is stopped by" in err
    assert "the store can't be opened" in err
    frozen = parse(settings.policy_path.read_bytes(), time.time_ns())
    assert (True, 7, (rule,)) == (frozen.is_frozen, frozen.version, frozen.rules)
    assert frozen.issued_ns > policy.issued_ns
    assert 0o600 == settings.policy_path.stat().st_mode & 0o777


@pytest.mark.parametrize("there", [None, b"", b"{", b'{"schema": 9}'])
def test_no_policy_that_can_be_read_is_no_obstacle_either(settings: Settings, run: Run, there: bytes | None) -> None:
    """Where the published file is absent, half written or from the future, a frozen one takes its place."""
    home.prepare(settings.home)
    settings.store_path.write_bytes(b"no store" * 4096)
    if there is not None:
        settings.policy_path.write_bytes(there)
    assert 3 == run("freeze")[0]
    assert is_frozen(settings)


def test_a_sidecar_that_hangs_is_no_obstacle(settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living sidecar that does not answer is told, and agents are stopped all the same."""
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.05)
    home.prepare(settings.home)
    home.token(settings)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        home.write_note(settings, home.Note(os.getpid(), url, 1, "0.1.0"))
        code, _, err = run("freeze")
    assert (3, True) == (code, is_frozen(settings))
    assert "does not answer" in err


def test_agents_stop_while_a_sidecar_still_thinks(settings: Settings) -> None:
    """The file says frozen before a sidecar that hangs is given up, and nothing else is left in the home."""
    home.prepare(settings.home)
    home.token(settings)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        home.write_note(settings, home.Note(os.getpid(), f"http://127.0.0.1:{mute.getsockname()[1]}", 1, "0.1.0"))
        with ThreadPoolExecutor(1) as pool:
            freezing = pool.submit(main, ["freeze", "--home", str(settings.home)])
            asked, _ = mute.accept()
            while not settings.policy_path.exists():
                assert not freezing.done()
                time.sleep(0.01)
            assert is_frozen(settings)
            asked.close()
            assert 3 == freezing.result(60)
    assert [] == [path.name for path in settings.home.iterdir() if path.name.startswith(".policy")]


def test_a_home_where_nothing_was_is_named(settings: Settings, run: Run) -> None:
    """Who stands in the wrong folder is told that nothing runs here; in a home with a recording nothing is added."""
    assert f"Nothing was recorded in {settings.home} so far" in run("freeze")[1].replace("\n", " ")
    assert "Nothing was recorded" not in run("freeze")[1]


def test_what_cannot_be_stopped_says_so(settings: Settings, run: Run) -> None:
    """Where nothing can be written the sentence names the last resort."""
    settings.home.write_text("a file")
    code, _, err = run("freeze")
    assert 3 == code
    assert "Steering could not be stopped" in err
    assert "TRIMTAB_DISABLED=1" in err


@pytest.mark.parametrize(
    ("why", "kept"), [("x" * 1001, "x" * 1000), ("two\nlines\x07", "two lines"), ("", None), (" \n", None)]
)
def test_a_reason_is_no_obstacle(settings: Settings, run: Run, why: str, kept: str | None) -> None:
    """Of a reason that can't be kept as it is, what can be is; steering stops all the same."""
    with Sidecar(settings):
        assert (0, True) == (run("freeze", "--why", why)[0], is_frozen(settings))
        api = client.connect(settings)
        assert api is not None
        assert kept == api.get("/v1/freeze")["why"]


def test_as_a_user_types_it(settings: Settings) -> None:
    """Through the installed command: frozen and let go, exit code 0, nothing on stderr."""
    for name, expected in (("freeze", True), ("unfreeze", False)):
        command = [sys.executable, "-m", "trimtab", name, "--home", str(settings.home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (0, "", expected) == (done.returncode, done.stderr, is_frozen(settings))
