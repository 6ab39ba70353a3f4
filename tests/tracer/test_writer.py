"""The background thread: everything put in comes out, late and interrupted work included, and nothing waits for it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.caught import Caught
from trimtab_tracer.exchange import ExchangeBuilder
from trimtab_tracer.records import Attempt, Exchange, Harness, Loss, Process, Record
from trimtab_tracer.sites import UNKNOWN
from trimtab_tracer.spool import SpoolWriter, list_segments, read_segment
from trimtab_tracer.wire import formats
from trimtab_tracer.writer import Writer, tokens_of

PROCESS = Process("p", 1, 1, "s", "a.py", "/", "3", "0", "full")


class Kit:
    """A writer over a real spool."""

    def __init__(self, directory: Path, interval_s: float) -> None:
        self.directory = directory
        self.spool = SpoolWriter(directory, PROCESS, 1 << 24)
        self.writer = Writer(self.spool, ExchangeBuilder("full"), interval_s, "p")

    def job(self, name: str, pause_s: float = 0.0) -> Any:
        """Work that spools one record."""

        def work() -> list[Record]:
            time.sleep(pause_s)
            return [Harness("p", name)]

        return work

    def written(self, kind: type) -> list[Any]:
        """Records of a kind in the spool."""
        lines = (line for path in list_segments(self.directory) for line in read_segment(path))
        return [line.record for line in lines if isinstance(line.record, kind)]


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A writer that would let everything wait for ten seconds."""
    made = Kit(tmp_path, 10.0)
    yield made
    made.writer.close(2.0)
    made.spool.close()


def test_flush_does_not_wait_for_the_interval(kit: Kit) -> None:
    """What was queued before a flush is in the spool after it, in order."""
    for n in range(100):
        kit.writer.run(kit.job(str(n)))
    kit.writer.flush(5.0)
    assert [str(n) for n in range(100)] == [h.version for h in kit.written(Harness)]


def test_work_after_the_end_is_done_at_once(kit: Kit) -> None:
    """A handler that runs after ours at exit loses nothing."""
    kit.writer.run(kit.job("before"))
    kit.writer.close(5.0)
    kit.writer.run(kit.job("after"))
    assert ["before", "after"] == [h.version for h in kit.written(Harness)]


def test_thread_ends_when_idle_and_comes_back(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle process has no thread of ours; new work gets a new one."""
    monkeypatch.setattr(Writer, "IDLE_S", 0.01)
    for name in ("a", "b", "c"):
        kit.writer.run(kit.job(name))
        kit.writer.flush(5.0)
        end = time.monotonic() + 5.0
        while any(t.name == "trimtab-writer" for t in threading.enumerate()) and time.monotonic() < end:
            time.sleep(0.005)
        assert not [t for t in threading.enumerate() if t.name == "trimtab-writer"]
    assert ["a", "b", "c"] == [h.version for h in kit.written(Harness)]


def test_no_work_is_stuck_when_the_thread_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that comes in at the very moment at which the thread gives up is done as well."""
    monkeypatch.setattr(Writer, "IDLE_S", 0.0005)
    kit = Kit(tmp_path, 0.0)
    for n in range(400):
        kit.writer.run(kit.job(str(n)))
        time.sleep(0.0005 * (n % 3))
    kit.writer.close(5.0)
    assert 400 == len(kit.written(Harness))


def test_signal_handler_may_queue_while_we_queue(tmp_path: Path) -> None:
    """A handler that interrupts the queueing of work and queues some itself does not block for ever."""
    kit = Kit(tmp_path, 0.0)
    signal.signal(signal.SIGALRM, lambda *_: kit.writer.run(kit.job("interrupt")))
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for _ in range(3000):
            kit.writer.run(kit.job("work"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    kit.writer.close(20.0)
    done = [h.version for h in kit.written(Harness)]
    assert 3000 == done.count("work")
    assert done.count("interrupt") > 0


def test_without_a_thread_work_is_done_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process may have no more threads nothing raises, and the end does what waited."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    kit = Kit(tmp_path, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        kit.writer.run(kit.job("kept"))
        kit.writer.close(1.0)
    assert ["kept"] == [h.version for h in kit.written(Harness)]


def test_what_is_left_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured calls that there was no time to parse are counted as lost."""
    kit = Kit(tmp_path, 0.0)
    monkeypatch.setattr(Writer, "_start", lambda self: None)
    for _ in range(3):
        caught = object.__new__(Caught)
        object.__setattr__(caught, "request_body", b"x" * 10)
        object.__setattr__(caught, "response_body", None)
        object.__setattr__(caught, "content_encoding", "")
        kit.writer.submit(caught)
    kit.writer.close(0.0)
    assert [("exchange", "process ended", 3, 30)] == [
        (x.lost_kind, x.reason, x.count, x.size_bytes) for x in kit.written(Loss)
    ]


def test_the_end_waits_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that does not come to its end is waited for as long as was asked, and not again for the thread."""
    kit, go, waited = Kit(tmp_path, 0.0), threading.Event(), []
    join = threading.Thread.join

    def stuck() -> list[Record]:
        go.wait(10)
        return []

    def noted(thread: threading.Thread, timeout: float | None = None) -> None:
        waited.append(timeout)
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", noted)
    kit.writer.run(stuck)
    kit.writer.close(0.1)
    go.set()
    assert [0.0] == waited


@pytest.mark.parametrize("is_flushed", [False, True], ids=["broken before", "breaks while it is waited for"])
def test_nobody_waits_for_a_thread_that_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_flushed: bool
) -> None:
    """An error of ours that ended the thread holds up no flush; what is queued is handled at the end."""
    kit, begun = Kit(tmp_path, 0.0), time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_loop", lambda self: time.sleep(0.2))
        kit.writer.run(kit.job("kept"))
    thread = kit.writer._thread
    assert thread is not None
    if not is_flushed:
        thread.join()
    kit.writer.flush(30)
    assert not thread.is_alive()
    kit.writer.close(30)
    assert ["kept"] == [h.version for h in kit.written(Harness)]
    assert time.monotonic() - begun < 30


def attempt(**facts: Any) -> Attempt:
    """An attempt of 400 bytes there and 800 back."""
    facts = {"http_status": 200, "request_bytes": 400, "response_bytes": 800, **facts}
    return Attempt("a", "c", "r", "p", 1, 1, 1, "openai.chat", "POST", "h", "/", "s", "complete", **facts)


def test_tokens_of_an_attempt() -> None:
    """What the provider reports counts, else a quarter of the bytes; what it refused cost nothing."""
    reported = Exchange("a", "c", "r", "openai.chat", "m", input_tokens=7, output_tokens=5, usage_source="reported")
    unknown = Exchange("a", "c", "r", "openai.chat", "m")
    assert 12 == tokens_of(attempt(), [Harness("p", "1"), reported])
    assert [300, 300] == [tokens_of(attempt(), [unknown]), tokens_of(attempt(http_status=None), [])]
    assert 0 == tokens_of(attempt(http_status=429), [reported])
    told = attempt(usage_fragment='{"prompt_tokens":3,"completion_tokens":4}')
    assert [7, 12, 300] == [tokens_of(told), tokens_of(told, [reported]), tokens_of(told, [unknown])]


def test_only_what_may_cost_more_is_counted(tmp_path: Path) -> None:
    """The tokens of steered attempts are told; those of the agent's own are not."""
    spent: list[int] = []
    spool = SpoolWriter(tmp_path, PROCESS, 1 << 24)
    writer = Writer(spool, ExchangeBuilder("off"), 0.0, "p", spent.append)
    body = b'{"model":"m","usage":{"prompt_tokens":3,"completion_tokens":4}}'
    for is_spending in (False, True):
        writer.submit(
            Caught(attempt(), formats.CHAT, body, body, "application/json", "", UNKNOWN, None, is_spending=is_spending)
        )
    writer.close(5.0)
    spool.close()
    assert [7] == spent
