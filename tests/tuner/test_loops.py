"""Loops: go on after any exception, and tell."""

from __future__ import annotations

import itertools
import logging
import threading
import time

import pytest

from trimtab_tuner.loops import Loop


def test_a_step_that_raises_is_repeated_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A loop whose step always fails goes on, counts every failure, and writes one line in a minute."""
    enough = threading.Event()

    def step() -> None:
        if loop.state.failures == 4:
            enough.set()
        raise ValueError("secret prompt")

    loop = Loop("collector", step, 0.001)
    with caplog.at_level(logging.ERROR):
        loop.start()
        assert enough.wait(10)
        loop.stop()
    assert loop.state.failures >= 5
    assert not loop.state.is_healthy
    assert loop.state.error == "builtins.ValueError"
    assert len(caplog.records) == 1
    assert "secret" not in str(loop.state)


def test_an_interrupt_is_the_main_threads_affair() -> None:
    """Polars raises KeyboardInterrupt in the thread that computes; the step is done again, and nothing is told."""
    again = threading.Event()
    steps = iter([KeyboardInterrupt])

    def step() -> None:
        for error in steps:
            raise error
        again.set()

    loop = Loop("analysis", step, 0.001)
    loop.start()
    assert again.wait(10)
    loop.stop()
    assert loop.state.failures == 0


def test_one_good_step_makes_a_loop_healthy_again() -> None:
    """What ``/v1/health`` shows is the last step, with the failures before it still counted."""
    todo = [RuntimeError("once"), None]

    def step() -> None:
        if error := todo.pop(0):
            raise error

    loop = Loop("analysis", step, 60)
    loop.once()
    assert not loop.state.is_healthy
    loop.once()
    assert loop.state.is_healthy
    assert (loop.state.steps, loop.state.failures) == (1, 1)


def test_stopping_waits_for_the_step_but_not_for_the_pause() -> None:
    """A stopped loop has finished its step, and a long pause does not delay the stop."""
    begun, done = threading.Event(), []

    def step() -> None:
        begun.set()
        time.sleep(0.1)
        done.append(True)

    loop = Loop("collector", step, 3600)
    loop.start()
    assert begun.wait(10)
    began = time.monotonic()
    loop.stop()
    assert done == [True]
    assert time.monotonic() - began < 5


def test_a_long_step_is_repeated_less_often() -> None:
    """The pause grows with the step, so that a loop with much to do leaves four fifths of a core to the agents."""
    begun: list[float] = []

    def step() -> None:
        begun.append(time.monotonic())
        time.sleep(0.05)

    loop = Loop("collector", step, 0.001)
    loop.start()
    time.sleep(0.6)
    loop.stop()
    pauses = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert pauses
    assert min(pauses) >= 0.25
