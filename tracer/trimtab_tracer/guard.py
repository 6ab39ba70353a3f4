"""One guard around everything of ours that runs inside the user's agent.

Fail open: an error of ours is logged at most once a minute and swallowed, so the agent's result, exception and
timing stay what they were without us. ``TRIMTAB_STRICT=1`` re-raises instead, which is how our own tests see bugs.
It is a module of its own so that every hook fails the same way.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

log = logging.getLogger("trimtab")

P = ParamSpec("P")
R = TypeVar("R")

LOG_INTERVAL_S = 60.0
"""Least time between two log lines about errors of the same function."""

_last_logged: dict[str, float] = {}


def swallow(where: str, error: BaseException) -> None:
    """Log ``error``, which happened in our function ``where``, once a minute; re-raise it in strict mode."""
    if os.environ.get("TRIMTAB_STRICT") == "1":
        raise error
    now = time.monotonic()
    if now - _last_logged.get(where, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
        return
    _last_logged[where] = now
    log.warning(
        "trimtab could not record something in %s (%s: %s); the agent goes on.", where, type(error).__name__, error
    )


def from_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler that interrupted our code raised ``error``."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(getattr(handler, "__func__", handler), "__code__", None) for handler in handlers} - {None}
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def guarded(default: Any = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function return ``default`` instead of raising an :class:`Exception` of ours.

    ``KeyboardInterrupt`` and its like pass, and so does what a signal handler raises (an alarm that limits a call's
    time, say): they are the user's, also when they arrive while our code runs.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if from_signal_handler(error):
                    raise
                swallow(function.__qualname__, error)
                return default  # type: ignore[no-any-return]

        return wrapper

    return decorate


def guarded_async(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R | None]]:
    """The same for a coroutine function, which gives None then. Cancellation passes, as it does everywhere."""

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            if from_signal_handler(error):
                raise
            swallow(function.__qualname__, error)
            return None

    return wrapper
