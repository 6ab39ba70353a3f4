"""The policy a process obeys, read from the home's file: changes, trust, lifetime, and one sentence for each reason."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.policy import NONE
from trimtab_tracer.policy_source import LOOK_INTERVAL_S, PolicySource
from trimtab_tracer.settings import Settings

NOW_NS = 1_795_238_000_000_000_000


class Clock:
    """A wall clock and a monotonic one that go only when told; ``wall_ns`` may be set apart."""

    def __init__(self) -> None:
        self.wall_ns = NOW_NS
        self.monotonic_s = 1000.0

    def go(self, seconds: float) -> None:
        """Let both go on."""
        self.wall_ns += int(seconds * 1e9)
        self.monotonic_s += seconds


class Home:
    """A home with a policy file and the source that reads it."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path / "policy.json"
        self.clock = Clock()
        self.source = PolicySource(
            Settings(home=path, **settings),
            monotonic=lambda: self.clock.monotonic_s,
            time_ns=lambda: self.clock.wall_ns,
        )

    def publish(self, version: int = 1, **changes: Any) -> None:
        """Replace the file as the sidecar does."""
        document = {
            "schema": 1,
            "version": version,
            "issued_ns": self.clock.wall_ns,
            "lifetime_s": 60,
            "frozen": False,
            "rules": [],
        }
        self.write(json.dumps(document | changes))

    def write(self, text: str) -> None:
        """Replace the file with any text."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(self.path)

    def version(self, after_s: float = LOOK_INTERVAL_S) -> int:
        """Version in force after some time; 0 for none."""
        self.clock.go(after_s)
        return self.source.current().version


@pytest.fixture
def home(tmp_path: Path, strict: None) -> Home:
    """A home without a policy."""
    return Home(tmp_path)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Level and text of what was logged since the last question."""
    caplog.set_level(logging.INFO, logger="trimtab")

    def new() -> list[tuple[str, str]]:
        found = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return found

    return new


Said = Callable[[], list[tuple[str, str]]]


def warnings_of(said: Said) -> list[str]:
    """Texts of the warnings since the last question."""
    return [text for level, text in said() if level == "WARNING"]


def test_a_published_policy_is_obeyed_from_the_next_look_on(home: Home, said: Said) -> None:
    """A first policy, a new version and a frozen one each count after a quarter of a second."""
    assert home.version() == 0
    home.publish(1)
    assert home.version(after_s=0.0) == 0
    assert home.version() == 1
    home.publish(2, frozen=True)
    assert home.version() == 2
    assert home.source.current().is_frozen
    source = f"of the policy from {home.path}"
    frozen = f"trimtab obeys version 2 {source}, which is frozen: your code's own values hold."
    assert [f"trimtab obeys version 1 {source}.", frozen] == [text for _, text in said() if "obeys" in text]


def test_absent_from_the_start_is_said_once_and_is_no_warning(home: Home, said: Said) -> None:
    """Most agents run without a policy: one line for those who look."""
    assert [0, 0, 0] == [home.version() for _ in range(3)]
    assert [("INFO", f"trimtab, {home.path}: there is no policy yet; your code's own values hold.")] == said()


def test_a_policy_that_goes_away_leaves_the_incumbent(home: Home, said: Said) -> None:
    """Removing the file ends it, with one warning."""
    home.publish(1)
    assert home.version() == 1
    home.path.unlink()
    assert [0, 0] == [home.version() for _ in range(2)]
    assert [f"trimtab, {home.path}: the policy was removed; your code's own values hold."] == warnings_of(said)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no JSON"),
        ('{"schema": 1, "version": 2, "issu', "no JSON"),
        ("[" * 100_000, "nested deeper"),
        ("x" * 300_000, "bytes long"),
        ('{"schema": 9}', "from the future"),
    ],
    ids=["empty", "half written", "deep", "long", "later schema"],
)
def test_a_document_that_cannot_be_used_ends_the_last_one(home: Home, said: Said, text: str, expected: str) -> None:
    """Half a policy is none: the incumbent is in force, one sentence says why, and the next good one counts again."""
    home.publish(1)
    assert home.version() == 1
    home.write(text)
    assert [0, 0, 0] == [home.version() for _ in range(3)]
    (why,) = warnings_of(said)
    assert why.startswith(f"trimtab, {home.path}: the policy is refused: ")
    assert why.endswith("; your code's own values hold.")
    assert expected in why
    home.publish(2)
    assert home.version() == 2


def test_a_lifetime_ends_by_the_wall_clock(home: Home, said: Said) -> None:
    """Past its lifetime nothing of a policy is obeyed; one warning; a new issue brings it back."""
    home.publish(1)
    assert home.version() == 1
    assert home.version(after_s=59.0) == 1
    assert [0, 0] == [home.version(after_s=1.0) for _ in range(2)]
    (why,) = warnings_of(said)
    assert "version 1 of the policy is over its lifetime of 60 s" in why
    home.publish(1)
    assert home.version() == 1


def test_a_clock_set_back_gives_no_longer_life(home: Home) -> None:
    """The monotonic clock counts too, also where the same document is read again."""
    home.publish(1)
    assert home.version() == 1
    home.clock.wall_ns -= 30 * 10**9
    assert home.version(after_s=58.0) == 1
    os.utime(home.path, ns=(1, 1))
    assert home.version(after_s=1.0) == 1
    assert home.version(after_s=1.0) == 0


def test_a_clock_set_forward_ends_it(home: Home) -> None:
    """A machine that slept, or whose clock jumped, obeys nothing old."""
    home.publish(1)
    assert home.version() == 1
    home.clock.wall_ns += 60 * 10**9
    assert home.version() == 0


def test_an_earlier_document_put_back_is_refused(home: Home, said: Said) -> None:
    """A lower version counts only if it was issued later, as after a roll back to an earlier store."""
    home.publish(1)
    earlier = home.path.read_text()
    assert home.version() == 1
    home.publish(5)
    assert home.version() == 5
    home.write(earlier)
    assert home.version() == 0
    (why,) = warnings_of(said)
    assert "version is 1, expected at least 5" in why
    home.publish(2)
    assert home.version() == 2


def test_nobody_is_asked_while_nothing_changes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks there is no system call, and a look at an unchanged file opens nothing."""
    home.publish(1)
    assert home.version() == 1
    opened: list[object] = []
    stats: list[object] = []
    real_stat = os.stat
    monkeypatch.setattr(os, "open", lambda *args, **rest: opened.append(args))
    monkeypatch.setattr(os, "stat", lambda *args, **rest: stats.append(args) or real_stat(*args, **rest))
    assert {1} == {home.version(after_s=0.0) for _ in range(100)}
    assert [] == stats
    assert [1] * 4 == [home.version() for _ in range(4)]
    assert len(stats) == 4
    assert [] == opened


def test_the_question_costs_about_a_call(tmp_path: Path) -> None:
    """While nothing changes, asking costs no more than a few readings of the clock."""
    source = PolicySource(Settings(home=tmp_path))
    source.current()

    def cost(ask: Callable[[], object]) -> float:
        def once() -> float:
            started = time.thread_time()
            for _ in range(2000):
                ask()
            return time.thread_time() - started

        return min(once() for _ in range(20))

    assert cost(source.current) < 12 * cost(time.monotonic)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX owners and modes")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_believed(home: Home, said: Said, mode: int) -> None:
    """Owner and mode are named, and what to do; once only its owner can write it, it counts."""
    home.publish(1)
    home.path.chmod(mode)
    assert home.version() == 0
    (why,) = warnings_of(said)
    assert f"{home.path} belongs to " in why
    assert f"with mode {mode:04o}" in why
    assert "chmod 600" in why
    home.path.chmod(0o644)
    assert home.version() == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_someone_else_is_not_believed(home: Home, said: Said) -> None:
    """A policy counts only if it belongs to this user or to root."""
    home.publish(1)
    os.chown(home.path, 12345, -1)
    assert home.version() == 0
    (why,) = warnings_of(said)
    assert "belongs to user 12345" in why
    assert "to this user or to root" in why


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_no_file_blocks_nobody(home: Home, said: Said) -> None:
    """A pipe or a folder in the file's place is refused at once."""
    os.mkfifo(home.path, 0o600)
    assert home.version() == 0
    home.path.unlink()
    home.path.mkdir()
    assert home.version() == 0
    assert 2 == len([why for why in warnings_of(said) if "no plain file" in why or "can't be read" in why])


def test_a_link_to_a_good_file_is_followed(home: Home, tmp_path: Path) -> None:
    """Mounted configuration is often a link."""
    home.publish(1)
    home.path.rename(tmp_path / "real.json")
    home.path.symlink_to(tmp_path / "real.json")
    assert home.version() == 1


def test_steering_off_reads_nothing(tmp_path: Path, said: Said) -> None:
    """With ``TRIMTAB_STEERING=0`` a good policy is not even looked at."""
    home = Home(tmp_path, steering=False)
    home.publish(1)
    assert [0, 0] == [home.version() for _ in range(2)]
    assert [] == said()


def test_after_close_the_incumbent_is_in_force(home: Home) -> None:
    """Switching off ends what was in force."""
    home.publish(1)
    assert home.version() == 1
    home.source.close()
    assert home.version() == 0


def test_an_address_without_a_key_obeys_nothing(tmp_path: Path, said: Said) -> None:
    """No policy is taken unsigned, and the home's file is not read in its place."""
    home = Home(tmp_path, policy_url="https://trimtab.example")
    home.publish(1)
    assert home.version() == 0
    assert ["policy_url is set and policy_key is not" in why for why in warnings_of(said)] == [True]


def test_a_bug_of_ours_leaves_the_incumbent(home: Home, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    """An error that nobody foresaw ends the policy for that look, reaches nobody, and the next look tries again."""
    monkeypatch.delenv("TRIMTAB_STRICT")
    home.publish(1)
    assert home.version() == 1
    home.publish(2)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fstat", lambda fd: 1 / 0)
        assert home.version() == 0
        assert home.source.current() is NONE
    assert home.version() == 2


def test_threads_ask_without_waiting_for_each_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread reads a slow disk, the others go on with the policy they have."""
    home.publish(1)
    assert home.version() == 1
    home.publish(2)
    reached, go_on = threading.Event(), threading.Event()
    real_fstat = os.fstat

    def slow(fd: int) -> os.stat_result:
        reached.set()
        assert go_on.wait(30)
        return real_fstat(fd)

    monkeypatch.setattr(os, "fstat", slow)
    home.clock.go(1)
    reader = threading.Thread(target=home.source.current)
    reader.start()
    assert reached.wait(30)
    assert home.source.current().version == 1
    go_on.set()
    reader.join(30)
    assert home.source.current().version == 2


def test_the_first_calls_of_many_threads_all_obey(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that ask for the first time at once get the policy that one of them reads, not the incumbent."""
    home.publish(7)
    reading = home.source._reader
    assert reading is not None
    look = reading.look
    monkeypatch.setattr(reading, "look", lambda: (time.sleep(0.05), look()))
    together = threading.Barrier(8)
    versions: list[int] = []

    def ask() -> None:
        together.wait()
        versions.append(home.source.current().version)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [7] * 8 == versions


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_looks_for_itself(tmp_path: Path) -> None:
    """A child forked while another thread was looking, and held the lock, still sees changes."""
    code = f"""
import os, pathlib, sys
from trimtab_tracer.policy_source import PolicySource
from trimtab_tracer.settings import Settings
source = PolicySource(Settings(home=pathlib.Path({str(tmp_path)!r})), monotonic=lambda: clock)
clock = 0.0
assert source.current().version == 3
source._lock.acquire()
if os.fork() == 0:
    clock = 1.0
    os.remove({str(tmp_path / "policy.json")!r})
    os._exit(source.current().version)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    home = Home(tmp_path)
    home.clock.wall_ns = time.time_ns()
    home.publish(3)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "0\n" == result.stdout


def test_the_file_needs_no_http_client(tmp_path: Path) -> None:
    """An agent without ``policy_url`` loads no HTTP client and starts no thread for its policy."""
    code = f"""
import sys, threading, pathlib
from trimtab_tracer.policy_source import PolicySource
from trimtab_tracer.settings import Settings
PolicySource(Settings(home=pathlib.Path({str(tmp_path)!r}))).current()
print(threading.active_count(), [name for name in ("http.client", "hmac", "ssl") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "1 []\n" == result.stdout
