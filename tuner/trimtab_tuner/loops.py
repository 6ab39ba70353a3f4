"""A thread that repeats one step, whatever the step raises.

In: a step and the pause between two. Out: a state that ``/v1/health`` shows. Collector and analysis each run
in one; they are apart from the sidecar because what they promise, to go on after any single exception, is easier
to see and to test alone. An exception is counted, and logged at most once a minute with its traceback.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

log = logging.getLogger("trimtab.sidecar")


@dataclass(frozen=True, slots=True)
class LoopState:
    """What a loop did so far."""

    steps: int = 0
    """Steps that ended well."""
    failures: int = 0
    """Steps that raised."""
    ok_ns: int | None = None
    """End of the last step that went well."""
    failed_ns: int | None = None
    """End of the last step that raised."""
    error: str | None = None
    """Class of the exception if the last step raised, else None. Its text may quote data: that is in the log."""

    @property
    def is_healthy(self) -> bool:
        """Whether the last step went well (or none has run yet)."""
        return self.error is None


class Loop:
    """Repeats ``step`` every ``interval_s`` seconds in a daemon thread until stopped.

    A step that takes long is repeated less often: the pause is never shorter than :data:`REST` times the step.
    """

    REST = 4.0
    """Pause after a step, in durations of that step: a loop keeps a fifth of a core busy at most."""
    LOG_EVERY_S = 60.0
    """At most one log line in this time, however often the step fails."""

    def __init__(self, name: str, step: Callable[[], None], interval_s: float) -> None:
        self.name = name
        self.state = LoopState()
        self._step = step
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged_s = float("-inf")

    def start(self) -> None:
        """Begin with a first step at once."""
        self._thread = threading.Thread(target=self._run, name=f"trimtab-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end and wait until its current step is done."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def once(self) -> None:
        """One step now, in the caller's thread, counted and guarded like the others."""
        try:
            self._step()
        except Exception as error:
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            self.state = replace(self.state, failures=self.state.failures + 1, failed_ns=time.time_ns(), error=kind)
            self._log(error)
        else:
            self.state = replace(self.state, steps=self.state.steps + 1, ok_ns=time.time_ns(), error=None)

    def _run(self) -> None:
        while not self._stop.is_set():
            begun_s = time.monotonic()
            # polars raises it in whatever thread it computes in when SIGINT comes; the signal is the main thread's.
            with suppress(KeyboardInterrupt):
                self.once()
            self._stop.wait(max(self._interval_s, self.REST * (time.monotonic() - begun_s)))

    def _log(self, error: Exception) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_s >= self.LOG_EVERY_S:
            self._logged_s = now_s
            log.error("%s: %s; going on (%d failures so far)", self.name, error, self.state.failures, exc_info=error)
