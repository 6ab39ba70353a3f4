"""The agent's background thread: parses what the hooks captured and spools what it says.

In: what the hooks caught (:class:`.caught.Caught`) and background jobs, from any thread and from signal handlers, by
one ``SimpleQueue.put``, which may interrupt itself. Out: records in the spool. The thread is started by work and ends
when there has been none for a while, so an idle agent has no thread of ours. It is a daemon: a killed process loses
only what was queued in the last ``flush_interval_s``; the attempts themselves were spooled inside their calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from queue import Empty, SimpleQueue

from .caught import Caught
from .exchange import ExchangeBuilder
from .guard import guarded, swallow
from .records import Attempt, Exchange, Loss, Record
from .redact import PAUSE_S
from .shapes import value_class
from .spool import SpoolWriter

Job = Callable[[], Iterable[Record]]
"""Background work that gives records to spool."""

BYTES_PER_TOKEN = 4
"""Of text, roughly; counts where a provider does not say what it used."""


@value_class
class Mark:
    """A place in the queue: what was put before it is done when it is reached."""

    reached: threading.Event = field(default_factory=threading.Event)


class Writer:
    """Owns the background thread of one process.

    Args:
        spool: Where records go.
        builder: Turns captured bytes into records.
        flush_interval_s: How long captured bytes may wait, so that they are handled in batches.
        process_id: Under which losses are counted.
        spent: Told the tokens of each attempt that a policy may have made dearer.
    """

    MAX_QUEUED_BYTES = 64 * 1024 * 1024
    """Captured bytes that may wait. Beyond it bodies are dropped, and counted, instead of growing the agent."""
    IDLE_S = 1.0
    """How long the thread waits for more work before it ends."""

    def __init__(
        self,
        spool: SpoolWriter,
        builder: ExchangeBuilder,
        flush_interval_s: float,
        process_id: str,
        spent: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._spool = spool
        self._spent = spent
        self._builder = builder
        self._flush_interval_s = flush_interval_s
        self._process_id = process_id
        self._queue: SimpleQueue[Caught | Job | Mark] = SimpleQueue()
        self._queued_bytes = 0
        self._hurry = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()

    def submit(self, caught: Caught) -> None:
        """Queue what a hook caught."""
        if self._queued_bytes + caught.size_bytes > self.MAX_QUEUED_BYTES:
            self._lose("writer queue full", 1, caught.size_bytes)
            return
        self._queued_bytes += caught.size_bytes
        self._put(caught)

    def run(self, job: Job) -> None:
        """Queue background work."""
        self._put(job)

    @guarded()
    def flush(self, timeout_s: float) -> None:
        """Wait until everything queued so far is in the spool, at most ``timeout_s`` seconds."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        mark = Mark()
        self._put(mark)
        self._hurry.set()
        mark.reached.wait(timeout_s)

    @guarded()
    def close(self, timeout_s: float) -> None:
        """Handle what is queued, for at most ``timeout_s`` seconds; count what is left. Later work is done at once."""
        deadline = time.monotonic() + timeout_s
        self.flush(timeout_s)
        with self._starting:
            self._closed = True
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._queue.put(Mark())  # wakes it up to end
            thread.join(max(0.0, deadline - time.monotonic()))
        elif timeout_s > 0:
            self._drain()
        left = [item for item in self._waiting() if isinstance(item, Caught)]
        if left:
            self._lose("process ended", len(left), sum(item.size_bytes for item in left))

    def _put(self, item: Caught | Job | Mark) -> None:
        if self._closed and not isinstance(item, Mark):
            self._handle(item)
            return
        self._queue.put(item)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            # Seen by a signal handler that comes in between; taken back if there is no thread to be had.
            self._thread = threading.Thread(target=self._loop, name="trimtab-writer", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the process may not have more: what waits is handled at its end
                self._thread = None

    def _loop(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=self.IDLE_S)
            except Empty:
                if self._ends():
                    return
                continue
            if not isinstance(item, Mark):
                self._hurry.wait(self._flush_interval_s)
            self._take(item)
            self._drain()
            self._queued_bytes = 0  # concurrent additions lose updates: start each quiet moment from the truth
            self._hurry.clear()
            if self._closed:
                self._thread = None
                return

    def _ends(self) -> bool:
        """Step down, unless work came in meanwhile: whoever puts some after this starts another thread."""
        self._thread = None
        if self._queue.empty():
            return True
        with self._starting:
            if self._thread is None:
                self._thread = threading.current_thread()
                return False
            return True

    def _drain(self) -> None:
        for item in self._waiting():
            self._take(item)

    def _waiting(self) -> Iterable[Caught | Job | Mark]:
        while True:
            try:
                yield self._queue.get_nowait()
            except Empty:
                return

    def _take(self, item: Caught | Job | Mark) -> None:
        if isinstance(item, Mark):
            item.reached.set()
            return
        try:
            self._handle(item)
        except Exception as error:
            swallow("Writer", error)
        if not self._closed:
            time.sleep(PAUSE_S)  # the agent goes first: whoever waits to run does so now

    def _handle(self, item: Caught | Job) -> None:
        if isinstance(item, Caught):
            self._queued_bytes -= item.size_bytes
            records: Sequence[Record] = self._builder.build(item.captured())
            if item.is_spending:
                self._spent(tokens_of(item.attempt, records))
        else:
            records = list(item())
        self._spool.write_all(records)

    def _lose(self, reason: str, count: int, size_bytes: int) -> None:
        self._spool.write(Loss(self._process_id, "exchange", reason, count, size_bytes, time.time_ns()))


def tokens_of(attempt: Attempt, records: Iterable[Record]) -> int:
    """Tokens of an attempt, as its exchange among ``records`` reports them, else by its size; none where refused."""
    if attempt.http_status is not None and attempt.http_status >= 400:
        return 0
    exchange = next((record for record in records if isinstance(record, Exchange)), None)
    if exchange is not None and exchange.usage_source == "reported":
        return (exchange.input_tokens or 0) + (exchange.output_tokens or 0)
    return (attempt.request_bytes + attempt.response_bytes) // BYTES_PER_TOKEN
