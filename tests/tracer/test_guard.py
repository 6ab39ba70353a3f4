"""The guard: ours is swallowed, theirs passes."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from trimtab_tracer.guard import guarded, guarded_async


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an agent: errors of ours are not raised."""
    monkeypatch.delenv("TRIMTAB_STRICT", raising=False)


def test_an_error_of_ours_gives_the_default() -> None:
    """A function of ours that fails returns its default."""

    @guarded(default=7)
    def fails() -> int:
        raise LookupError("ours")

    assert 7 == fails()


def test_what_the_users_signal_handler_raises_passes() -> None:
    """A time limit set with an alarm holds, also where it strikes inside our code."""

    def limit(*_: Any) -> None:
        raise TimeoutError("the user's")

    @guarded()
    def busy() -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass

    before = signal.signal(signal.SIGALRM, limit)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(TimeoutError, match="the user's"):
            busy()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_passes() -> None:
    """Ctrl-C is the user's."""

    @guarded()
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_awaited_failure_is_swallowed_and_cancellation_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """What of ours fails while it is awaited is logged; that the user cancels passes."""

    @guarded_async
    async def fail(error: BaseException) -> None:
        raise error

    asyncio.run(fail(ValueError("ours, awaited")))
    assert "ValueError: ours, awaited" in caplog.text
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(fail(asyncio.CancelledError()))
