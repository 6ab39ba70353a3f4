"""Child processes that never outlive the block they were started in.

In: command lines. Out: running processes, each with its output in a file. Leaving the block ends every one of them by
its own pid, whether the block finished, raised, or was interrupted by Ctrl-C, SIGTERM or SIGHUP (each arrives as
``KeyboardInterrupt``). Apart from the demo because this promise is easier to see and to test alone. Only a SIGKILL of
the parent can leave children behind.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends the block early."""
GRACE_S = 5.0
"""How long a child may take to end after it was asked to; then it is killed."""


class Children:
    """Processes started in a ``with`` block of the main thread; all ended when it is left."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._previous: dict[signal.Signals, Any] = {}
        self._is_interrupted = False
        self._is_deaf = False

    def __enter__(self) -> Self:
        """Take over the signals."""
        self._previous = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what still runs, the last started first; a second Ctrl-C does not cut that short."""
        self._is_deaf = True
        try:
            for process in reversed(self._processes):
                stop(process)
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def start(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: Path
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own, so that a terminal's Ctrl-C reaches only us.

        Args:
            arguments: Command line.
            cwd: Working directory.
            env: The whole environment.
            output: File that gets standard output and error, made anew.
        """
        # An interruption between the fork and the list would lose the child: it waits until the child is known.
        self._is_deaf = True
        try:
            with output.open("wb") as file:
                process = subprocess.Popen(
                    arguments,
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._processes.append(process)
        finally:
            self._is_deaf = False
        if self._is_interrupted:
            raise KeyboardInterrupt
        return process

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._is_interrupted = True
        if not self._is_deaf:
            raise KeyboardInterrupt


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to end, kill it after :data:`GRACE_S` seconds, and return its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
