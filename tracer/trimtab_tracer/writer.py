"""The agent's background thread: parses what the hooks captured and spools what it says.

In: what the hooks caught (:class:`.caught.Caught`) and background jobs, from any thread, by one
``deque.append``. Out: records in the spool. The thread sleeps until there is something to do, so an idle agent pays
nothing. It is a daemon: a killed process loses only what was queued in the last ``flush_interval_s``; the attempts
themselves were spooled inside their calls.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from .caught import Caught
from .exchange import ExchangeBuilder
from .guard import guarded, swallow
from .records import Loss, Record
from .spool import SpoolWriter

Job = Callable[[], Iterable[Record]]
"""Background work that gives records to spool."""


class Writer:
    """Owns the background thread of one process.

    Args:
        spool: Where records go.
        builder: Turns captured bytes into records.
        flush_interval_s: How long captured bytes may wait, so that they are handled in batches.
    """

    MAX_QUEUED_BYTES = 64 * 1024 * 1024
    """Captured bytes that may wait. Beyond it bodies are dropped, and counted, instead of growing the agent."""

    def __init__(self, spool: SpoolWriter, builder: ExchangeBuilder, flush_interval_s: float) -> None:
        self._spool = spool
        self._builder = builder
        self._flush_interval_s = flush_interval_s
        self._queue: deque[Caught | Job] = deque()
        self._queued_bytes = 0
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, caught: Caught) -> None:
        """Queue what a hook caught."""
        size = caught.size_bytes
        if self._queued_bytes + size > self.MAX_QUEUED_BYTES:
            process_id = caught.attempt.process_id
            self._spool.write(Loss(process_id, "exchange", "writer queue full", 1, size, time.time_ns()))
            return
        self._queued_bytes += size
        self._put(caught)

    def run(self, job: Job) -> None:
        """Queue background work."""
        self._put(job)

    def _put(self, item: Caught | Job) -> None:
        self._queue.append(item)
        self._idle.clear()
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                thread = threading.Thread(target=self._loop, name="trimtab-writer", daemon=True)
                self._thread = thread
                thread.start()

    def _loop(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(self._flush_interval_s)
            self._wake.clear()
            self._drain()
            if self._closing.is_set() and not self._queue:
                return

    def _drain(self) -> None:
        while self._queue:
            item = self._queue.popleft()
            try:
                self._handle(item)
            except Exception as error:
                swallow("Writer", error)
        if not self._queue:
            self._queued_bytes = 0  # concurrent additions lose updates: start each quiet moment from the truth
            self._idle.set()

    def _handle(self, item: Caught | Job) -> None:
        if isinstance(item, Caught):
            self._queued_bytes -= item.size_bytes
            records: Iterable[Record] = self._builder.build(item.captured())
        else:
            records = item()
        for record in records:
            self._spool.write(record)

    @guarded()
    def flush(self, timeout_s: float) -> None:
        """Wait until everything queued so far is in the spool, at most ``timeout_s`` seconds."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._wake.set()
            self._idle.wait(timeout_s)

    @guarded()
    def close(self, timeout_s: float) -> None:
        """Handle what is queued and end the thread, waiting at most ``timeout_s`` seconds."""
        with self._starting:
            self._closing.set()
            thread = self._thread
        if thread is None or not thread.is_alive():
            self._drain()
            return
        self._wake.set()
        thread.join(timeout_s)
