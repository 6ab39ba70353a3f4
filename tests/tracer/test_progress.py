"""What a run has come to: counted as it happens, by whichever thread, and only what is known."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from trimtab_tracer.policy_rules import Seen
from trimtab_tracer.progress import Progress, context_of
from trimtab_tracer.records import Attempt
from trimtab_tracer.segments import encode


def test_calls_and_failures_are_counted() -> None:
    """Calls count when they begin; what ended last, a request or a tool, says whether the previous step failed."""
    run = Progress("r", "n")
    states = [run.seen()]
    run.began_call()
    run.ended(True, lambda: 0)
    states.append(run.seen())
    run.tool_ended(False)
    states.append(run.seen())
    run.began_call()
    run.ended(False, lambda: 30)
    run.tool_ended(True)
    states.append(run.seen())
    assert [Seen(0, 0, False), Seen(1, 0, True), Seen(1, 0, False), Seen(2, 30, True)] == states


def test_tokens_are_unknown_where_some_were_not_counted() -> None:
    """A run with a request whose tokens nobody counted has no number of tokens any more."""
    run = Progress("r", "n")
    run.ended(False, lambda: 30)
    run.ended(False)
    run.ended(False, lambda: 30)
    assert run.seen().tokens is None


def test_threads_lose_no_count() -> None:
    """Many calls at once are all counted."""
    run = Progress("r", "n")

    def work() -> None:
        for _ in range(500):
            run.began_call()
            run.ended(False, lambda: 2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Seen(4000, 8000, False) == run.seen()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_although_a_thread_was_counting() -> None:
    """The lock that a thread of the parent held at the fork is a new one in the child."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with Progress.lock:
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    child = os.fork()
    if child == 0:
        run = Progress("r", "n")
        run.began_call()
        os._exit(7 if run.seen().calls == 1 else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 7


def test_attributes_are_compared_as_text() -> None:
    """Texts as they are, other scalars as in JSON; the task is one of them."""
    found = context_of("t-1", {"tier": "gold", "size": 3, "share": 0.5, "vip": True, "of": None})
    assert {"tier": "gold", "size": "3", "share": "0.5", "vip": "true", "of": "null", "task": "t-1"} == found
    assert {} == context_of(None, {})


def test_counting_takes_microseconds() -> None:
    """What a run costs at each call is a small part of what its record costs."""
    run = Progress("r", "n")
    of = Attempt("a", "c", "r", "p", 1, 5, 6, "openai.chat", "POST", "h", "/v1/chat/completions", "s", "complete")

    def fastest(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(30):
            started = time.perf_counter()
            for _ in range(100):
                work()
            taken.append(time.perf_counter() - started)
        return min(taken)

    def count() -> None:
        run.began_call()
        run.ended(False)

    assert fastest(count) < fastest(lambda: encode(of))
