"""Compensations of a failed run: which are called, in what order, with what, and what is recorded of them."""

# ruff: noqa: PT012 - what stands in the block of a run is what it undoes: it needs more than one statement

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import trimtab
from trimtab_tracer.records import RunEnd, Saga, SagaStep, Site, ToolRun
from trimtab_tracer.runs import _say_untraced

Recorded = Callable[[type], list[Any]]


class BookingError(Exception):
    """What ends the runs here."""


class Desk:
    """Books and cancels, and writes down what it did."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.breaks: set[str] = set()
        self.book = trimtab.tool(name="book", compensate=self.cancel)(self._book)
        self.book_later = trimtab.tool(name="book_later", compensate=self.cancel_later)(self._book_later)
        self.note = trimtab.tool(name="note", mutates=True)(self.did.append)

    def _book(self, what: str, *, nights: int = 1) -> int:
        if what == "full":
            raise BookingError("full")
        self.did.append(f"book {what}")
        return len(self.did)

    def cancel(self, result: int, what: str, *, nights: int = 1) -> None:
        """Undo a booking."""
        if what in self.breaks:
            raise ValueError(f"no {what}")
        self.did.append(f"cancel {what} {result} {nights}")

    async def _book_later(self, what: str) -> str:
        await asyncio.sleep(0)
        return self.did.append(f"book {what}") or what

    async def cancel_later(self, result: str, what: str) -> None:
        """Undo it, later."""
        await asyncio.sleep(0)
        self.did.append(f"cancel {what} {result}")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tracing is switched off by its variable."""
    monkeypatch.setenv("TRIMTAB_DISABLED", "1")
    trimtab.instrument()
    yield
    trimtab.uninstrument()


def _fail(desk: Desk) -> None:
    with trimtab.run("trip", compensate=True) as run:
        desk.book("flight")
        desk.book("hotel", nights=3)
        raise BookingError
    pytest.fail(f"not reached: {run}")


UNDONE = ["book flight", "book hotel", "cancel hotel 2 3", "cancel flight 1 1"]


def test_last_completed_is_undone_first(desk: Desk, recorded: Recorded) -> None:
    """A compensation gets the tool's result, then the arguments of the call; the saga says what became of each."""
    with pytest.raises(BookingError):
        _fail(desk)
    assert UNDONE == desk.did
    (saga,), runs = recorded(Saga), recorded(ToolRun)
    assert ("exception", "compensated", 2) == (saga.cause, saga.outcome, saga.steps)
    steps = [(s.number, s.tool, s.status, s.tool_run_id, s.saga_id) for s in recorded(SagaStep)]
    assert [
        (1, "book", "compensated", runs[1].tool_run_id, saga.saga_id),
        (2, "book", "compensated", runs[0].tool_run_id, saga.saga_id),
    ] == steps
    step = recorded(SagaStep)[0]
    site = next(s for s in recorded(Site) if s.site_id == step.site_id)
    assert ("Desk.cancel", "Desk.cancel") == (step.compensation, site.function)
    assert "Desk.cancel" == runs[0].compensation
    assert runs[0].mutates is True


def test_it_is_the_same_without_tracing(desk: Desk, untraced: None) -> None:
    """Switching tracing off changes nothing of what a program does: compensations run all the same."""
    with pytest.raises(BookingError):
        _fail(desk)
    assert UNDONE == desk.did


@pytest.mark.parametrize("says", [lambda run: run.outcome(False), lambda run: trimtab.outcome(False)])
@pytest.mark.parametrize("tracing", ["recorded", "untraced"])
def test_outcome_no_is_a_failure(
    desk: Desk, says: Callable[[Any], None], tracing: str, request: pytest.FixtureRequest
) -> None:
    """A run of which no was said by its end is undone; the last word counts."""
    request.getfixturevalue(tracing)
    with trimtab.run("trip", compensate=True) as run:
        desk.book("flight")
        says(run)
    with trimtab.run("trip", compensate=True) as other:
        desk.book("hotel")
        says(other)
        trimtab.outcome(True)
    assert ["book flight", "cancel flight 1 1", "book hotel"] == desk.did
    assert ("compensated", None) == (run.saga, other.saga)


def test_what_failed_is_not_undone(desk: Desk, recorded: Recorded) -> None:
    """A tool that raised did nothing that is known; it is listed, and does not make the saga partial."""
    with pytest.raises(BookingError), trimtab.run("trip", compensate=True):
        desk.book("flight")
        desk.book("full")
    assert ["book flight", "cancel flight 1 1"] == desk.did
    assert ["not_done", "compensated"] == [s.status for s in recorded(SagaStep)]
    assert ["compensated"] == [s.outcome for s in recorded(Saga)]


def test_tool_without_a_compensation_leaves_it_partial(desk: Desk, recorded: Recorded) -> None:
    """Side effects that nothing can undo are said, and tools that change nothing are no part of it."""
    look = trimtab.tool(mutates=False)(lambda: 1)
    with pytest.raises(BookingError), trimtab.run("trip", compensate=True) as run:
        look()
        desk.book("flight")
        desk.note("sent a mail")
        raise BookingError
    assert ["undeclared", "compensated"] == [s.status for s in recorded(SagaStep)]
    assert "partly" == run.saga


def test_nothing_to_do(recorded: Recorded) -> None:
    """A failed run without side effects has a saga that says so; a run that did not fail has none."""
    with pytest.raises(BookingError), trimtab.run("trip", compensate=True):
        raise BookingError
    with trimtab.run("trip", compensate=True):
        pass
    assert [("nothing to do", 0)] == [(s.outcome, s.steps) for s in recorded(Saga)]


def test_raising_compensation_hides_nothing(desk: Desk, recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """The user's exception leaves the run, the remaining compensations run, and the log has the other's traceback."""
    desk.breaks.add("hotel")
    with pytest.raises(BookingError):
        _fail(desk)
    assert [*UNDONE[:2], UNDONE[3]] == desk.did
    assert [("failed", "ValueError", "no hotel"), ("compensated", None, None)] == [
        (s.status, s.error_type, s.error_message) for s in recorded(SagaStep)
    ]
    assert ["partly"] == [s.outcome for s in recorded(Saga)]
    assert "ValueError: no hotel" in caplog.text
    (end,) = recorded(RunEnd)
    assert end.error_type.endswith("BookingError")


def test_all_compensations_raise(desk: Desk, recorded: Recorded) -> None:
    """Where none succeeds the saga failed."""
    desk.breaks |= {"flight", "hotel"}
    with pytest.raises(BookingError):
        _fail(desk)
    assert ["failed"] == [s.outcome for s in recorded(Saga)]


def test_without_the_option_nothing_is_undone(desk: Desk, recorded: Recorded) -> None:
    """Declaring a compensation alone changes nothing."""
    with pytest.raises(BookingError), trimtab.run("trip"):
        desk.book("flight")
        raise BookingError
    assert ["book flight"] == desk.did
    assert [] == recorded(Saga)


@pytest.mark.parametrize("tracing", ["recorded", "untraced"])
def test_nested_runs(desk: Desk, tracing: str, request: pytest.FixtureRequest) -> None:
    """What an inner run did well, the outer one undoes when it fails; what the inner one undid is not undone again."""
    request.getfixturevalue(tracing)
    with pytest.raises(BookingError), trimtab.run("outer", compensate=True) as outer:
        with trimtab.run("good", compensate=True):
            desk.book("flight")
        with trimtab.run("plain"):
            desk.book("car")
        with pytest.raises(BookingError), trimtab.run("bad", compensate=True):
            desk.book("hotel")
            raise BookingError
        trimtab.outcome(True)
        raise BookingError
    cancelled = ["cancel hotel 3 1", "cancel car 2 1", "cancel flight 1 1"]
    assert ["book flight", "book car", "book hotel", *cancelled] == desk.did
    assert "compensated" == outer.saga


@pytest.mark.parametrize("tracing", ["recorded", "untraced"])
def test_inner_verdict_is_the_inner_runs(desk: Desk, tracing: str, request: pytest.FixtureRequest) -> None:
    """`outcome(False)` inside an inner run says nothing of the outer one."""
    request.getfixturevalue(tracing)
    with trimtab.run("outer", compensate=True) as outer:
        desk.book("flight")
        with trimtab.run("plain"):
            trimtab.outcome(False)
    assert (["book flight"], None) == (desk.did, outer.saga)


def test_outcome_by_id_reaches_the_run_around(desk: Desk, recorded: Recorded) -> None:
    """An outer run can be said to have failed from within an inner one."""
    with trimtab.run("outer", compensate=True) as outer:
        desk.book("flight")
        with trimtab.run("inner"):
            trimtab.outcome(False, run_id=outer.run_id)
    assert "compensated" == outer.saga


def test_async(desk: Desk, recorded: Recorded) -> None:
    """In `async with` and decorated coroutines, compensations of both kinds run in the loop that the run ran in."""

    @trimtab.run("trip", compensate=True)
    async def trip() -> None:
        await asyncio.gather(desk.book_later("flight"), desk.book_later("car"))
        desk.book("hotel")
        raise BookingError

    with pytest.raises(BookingError):
        asyncio.run(trip())
    assert ["cancel hotel 3 1", "cancel car car", "cancel flight flight"] == desk.did[3:]


def test_async_compensation_of_synchronous_run(desk: Desk, recorded: Recorded) -> None:
    """Where no loop runs, a plain `with` gives it one of its own; in a running loop it is refused, and said."""
    booked = contextvars.copy_context()

    def book() -> None:
        asyncio.run(desk.book_later("flight"))

    with pytest.raises(BookingError), trimtab.run("trip", compensate=True):
        book()
        raise BookingError
    assert ["book flight", "cancel flight flight"] == desk.did

    async def inside() -> None:
        with trimtab.run("trip", compensate=True):
            await desk.book_later("hotel")
            raise BookingError

    with pytest.raises(BookingError):
        booked.run(asyncio.run, inside())
    assert "book hotel" == desk.did[-1]
    assert "async with" in recorded(SagaStep)[-1].error_message


def test_cancellation_is_a_failure(desk: Desk, recorded: Recorded) -> None:
    """A cancelled run is undone before the cancellation leaves; a tool cancelled in the middle is of unknown effect."""

    @trimtab.tool(compensate=desk.cancel_later)
    async def slow(what: str) -> str:
        await asyncio.sleep(60)
        return what

    async def agent() -> None:
        async with trimtab.run("trip", compensate=True):
            await desk.book_later("flight")
            await slow("hotel")

    async def main() -> None:
        task = asyncio.create_task(agent())
        while not desk.did:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ["book flight", "cancel flight flight"] == desk.did
    assert ["unknown", "compensated"] == [s.status for s in recorded(SagaStep)]
    assert ["partly"] == [s.outcome for s in recorded(Saga)]


def test_second_cancellation_stops_the_saga(desk: Desk, recorded: Recorded) -> None:
    """Cancelled again while a compensation runs, the run ends now, and what was not undone is recorded so."""
    reached = []

    async def hang(result: str, what: str) -> None:
        reached.append(what)
        await asyncio.sleep(60)

    slow = trimtab.tool(name="slow", compensate=hang)(desk._book_later)

    async def agent() -> None:
        async with trimtab.run("trip", compensate=True):
            await desk.book_later("flight")
            await slow("hotel")
            raise BookingError

    async def main() -> None:
        task = asyncio.create_task(agent())
        while not reached:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ["failed", "not_run"] == [s.status for s in recorded(SagaStep)]
    assert 1 == len(recorded(RunEnd))


def test_compensation_that_awaits_something_cancelled_is_only_a_failed_step(desk: Desk, recorded: Recorded) -> None:
    """Its own cancelled helper does not end the saga, and does not replace the exception."""

    async def broken(result: int, what: str, *, nights: int = 1) -> None:
        raise asyncio.CancelledError

    book = trimtab.tool(name="car", compensate=broken)(desk._book)

    async def agent() -> None:
        async with trimtab.run("trip", compensate=True):
            await desk.book_later("flight")
            book("car")
            raise BookingError

    with pytest.raises(BookingError):
        asyncio.run(agent())
    assert ["failed", "compensated"] == [s.status for s in recorded(SagaStep)]


@pytest.mark.parametrize(
    ("error", "is_undone"),
    [(KeyboardInterrupt(), True), (SystemExit(3), True), (SystemExit(), False), (SystemExit(0), False)],
)
def test_interrupts(desk: Desk, recorded: Recorded, error: BaseException, is_undone: bool) -> None:
    """Ctrl-C and an exit with a code undo, an exit without one is no failure; each leaves the run as it came."""
    with pytest.raises(type(error)) as caught, trimtab.run("trip", compensate=True):
        desk.book("flight")
        raise error
    assert caught.value is error
    assert is_undone == ("cancel flight 1 1" in desk.did)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, BookingError])
def test_interrupt_during_a_compensation_leaves(desk: Desk, recorded: Recorded, raised: type[BaseException]) -> None:
    """Ctrl-C, or a signal handler's exception, while compensations run leaves, with the first behind."""

    def handler(*_: object) -> None:
        raise raised("signal")

    def hang(result: int, what: str, *, nights: int = 1) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(1000):
            pass

    before = signal.signal(signal.SIGUSR1, handler)
    book = trimtab.tool(name="hotel", compensate=hang)(desk._book)
    try:
        with pytest.raises(raised, match="signal") as caught, trimtab.run("trip", compensate=True):
            desk.book("flight")
            book("hotel")
            raise ValueError("first")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "first" == str(caught.value.__context__)
    assert ["failed", "not_run"] == [s.status for s in recorded(SagaStep)]


def test_threads(desk: Desk, recorded: Recorded) -> None:
    """While tracing is on, what tools do in threads that the run starts is part of it, as their calls are."""
    with pytest.raises(BookingError), trimtab.run("trip", compensate=True):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(desk.book, "flight").result()
        thread = threading.Thread(target=desk.book, args=("hotel",))
        thread.start()
        thread.join()
        raise BookingError
    assert ["cancel hotel 2 1", "cancel flight 1 1"] == desk.did[2:]


def test_threads_without_tracing(desk: Desk, untraced: None, caplog: pytest.LogCaptureFixture) -> None:
    """While it is off only threads that are given the context are; one line in the log says so."""
    _say_untraced.cache_clear()
    with caplog.at_level(logging.WARNING, "trimtab"), pytest.raises(BookingError), trimtab.run("trip", compensate=True):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(desk.book, "flight").result()
            pool.submit(contextvars.copy_context().run, desk.book, "hotel").result()
        raise BookingError
    assert ["cancel hotel 2 1"] == desk.did[2:]
    assert "copy_context" in caplog.text


def test_tool_that_still_runs_is_unknown(desk: Desk, recorded: Recorded) -> None:
    """An execution that has not ended when the run fails is not undone, and said to be unknown."""
    may_end = threading.Event()
    begun = threading.Event()

    def slow(what: str, *, nights: int = 1) -> int:
        begun.set()
        return int(may_end.wait(30))

    book = trimtab.tool(name="slow", compensate=desk.cancel)(slow)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(BookingError), trimtab.run("trip", compensate=True) as run:
            pool.submit(book, "flight")
            begun.wait(30)
            raise BookingError
        may_end.set()
    assert ([], "failed") == (desk.did, run.saga)
    assert ["unknown"] == [s.status for s in recorded(SagaStep)]


def test_generator_left_early_is_no_failure(desk: Desk, recorded: Recorded) -> None:
    """A run inside a generator whose reader has seen enough is not undone; one that is thrown into is."""

    def steps() -> Iterator[int]:
        with trimtab.run("trip", compensate=True):
            yield desk.book("flight")
            yield 2

    left = steps()
    next(left)
    left.close()
    assert ["book flight"] == desk.did
    thrown = steps()
    next(thrown)
    with pytest.raises(BookingError):
        thrown.throw(BookingError())
    assert "cancel flight 2 1" == desk.did[-1]


def test_compensations_are_no_side_effects_of_a_run_around(desk: Desk, recorded: Recorded) -> None:
    """A compensation that is a tool itself is recorded, in the run, and not undone by anyone."""
    undo = trimtab.tool(name="undo", mutates=True, compensate=lambda *_, **__: desk.did.append("redo"))(desk.cancel)
    book = trimtab.tool(name="do", compensate=undo)(desk._book)
    with pytest.raises(BookingError), trimtab.run("outer", compensate=True):
        with pytest.raises(BookingError), trimtab.run("inner", compensate=True) as inner:
            book("flight")
            raise BookingError
        raise BookingError
    assert ["book flight", "cancel flight 1 1"] == desk.did
    assert {("do", inner.run_id), ("undo", inner.run_id)} == {(r.name, r.run_id) for r in recorded(ToolRun)}


def test_methods_and_static_functions(recorded: Recorded) -> None:
    """A method's compensation gets the result, then the object, as the method did."""
    did = []

    class Shop:
        @trimtab.tool(compensate=lambda result, self, x: did.append((result, type(self).__name__, x)))
        def buy(self, x: int) -> int:
            return x + 1

        @trimtab.tool(compensate=lambda result, x: did.append((result, x)))
        @staticmethod
        def sell(x: int) -> int:
            return x - 1

    with pytest.raises(BookingError), trimtab.run("trip", compensate=True):
        Shop().buy(1)
        Shop.sell(1)
        raise BookingError
    assert [(0, 1), (2, "Shop", 1)] == did


def test_contradiction_is_said(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A tool with a compensation mutates, whatever else is said."""
    trimtab.tool(mutates=False, compensate=desk.cancel)(desk._book)
    assert "counts as one that mutates" in caplog.text


def test_message_is_not_kept_with_content_off(
    desk: Desk, tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compensation's error text may quote its arguments: with content off only its type is kept."""
    trimtab.uninstrument()
    trimtab.instrument(home=tmp_path / "home", content="off", flush_interval_s=0.001)
    desk.breaks.add("hotel")
    with pytest.raises(BookingError):
        _fail(desk)
    step = recorded(SagaStep)[0]
    assert ("ValueError", None) == (step.error_type, step.error_message)


CHILD = """
import os, trimtab
tool = trimtab.tool(name="t", compensate=lambda result: print("undone", flush=True))(lambda: None)
try:
    with trimtab.run("r", compensate=True):
        tool()
        pid = os.fork()
        if not pid:
            tool()
        else:
            os.waitpid(pid, 0)
        raise ValueError
except ValueError:
    print("left", "child" if not pid else "parent", flush=True)
if not pid:
    os._exit(0)
"""


@pytest.mark.parametrize("disabled", ["", "1"])
def test_forked_child_undoes_nothing(tmp_path: Path, disabled: str) -> None:
    """The process that began the run undoes what was done in it, once; a child's own executions are not part of it."""
    code = ("" if disabled else "import trimtab; trimtab.instrument()") + CHILD
    environment = os.environ | {"TRIMTAB_HOME": str(tmp_path), "TRIMTAB_DISABLED": disabled}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ["left child", "undone", "left parent"] == done.stdout.split("\n")[:-1], done.stderr
