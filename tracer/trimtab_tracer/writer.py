"""Who parses what the hooks captured: the sidecar, or the agent's own background thread.

In: what the hooks caught (:class:`.caught.Caught`) and background jobs, from any thread and from signal handlers, by
one ``SimpleQueue.put``, which may interrupt itself. Out: records in the spool. Where a sidecar serves the home,
captured bytes go to it inside the call (:mod:`.handover`), in one send that never waits, and nothing is left to do
here. In all other cases they are queued for the thread: it hands over what could not be sent at once, looks for a
sidecar now and then, and does the work itself where there is none.

The thread is started by work and ends when there has been none for a while, so an idle agent has no thread of ours. It
is a daemon: a killed process loses only what was queued in the last ``flush_interval_s``; the attempts themselves were
spooled inside their calls.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from queue import Empty, SimpleQueue

from .caught import PORTABLE, Caught
from .exchange import ExchangeBuilder
from .guard import from_signal_handler, guarded, swallow
from .handover import Handover
from .memory import Journal
from .records import Attempt, Exchange, Loss, Record
from .redact import PAUSE_S
from .shapes import value_class
from .spool import SpoolWriter
from .wire.tokens import usage

Job = Callable[[], Iterable[Record]]
"""Background work that gives records to spool."""

BYTES_PER_TOKEN = 4
"""Of text, roughly; counts where a provider does not say what it used."""


@value_class
class Mark:
    """A place in the queue: what was put before it is done when it is reached."""

    reached: threading.Event = field(default_factory=threading.Event)


def nobody(_: Journal) -> Handover | None:
    """Finds no sidecar."""
    return None


class Writer:
    """Owns the background thread of one process, and its connection to the sidecar.

    Args:
        spool: Where records go.
        builder: Turns captured bytes into records.
        flush_interval_s: How long captured bytes may wait, so that they are handled in batches.
        process_id: Under which losses are counted.
        spent: Told the tokens of each attempt that a policy may have made dearer.
        connect: Finds the sidecar of the home (:func:`.handover.connect`), if there is one.
    """

    MAX_QUEUED_BYTES = 64 * 1024 * 1024
    """Captured bytes that may wait. Beyond it bodies are dropped, and counted, instead of growing the agent."""
    IDLE_S = 1.0
    """How long the thread waits for more work before it ends."""
    LOOK_S = 2.0
    """Least time between two looks for a sidecar."""
    PATIENCE = 20.0
    """The same in durations of the last look: one that hangs is asked less often."""
    INLINE_BYTES = 1 << 20
    """Bodies that are handed over inside the call; larger ones take longer than a call should wait."""
    STALL_S = 2.0
    """How long a sidecar that takes nothing is waited for, in the thread."""
    GLANCE_S = 0.1
    """How often it is looked meanwhile whether somebody flushes, and in a flush whether the thread is still there."""

    def __init__(
        self,
        spool: SpoolWriter,
        builder: ExchangeBuilder,
        flush_interval_s: float,
        process_id: str,
        spent: Callable[[int], None] = lambda _: None,
        connect: Callable[[Journal], Handover | None] = nobody,
    ) -> None:
        self._spool = spool
        self._spent = spent
        self._builder = builder
        self._flush_interval_s = flush_interval_s
        self._process_id = process_id
        self._queue: SimpleQueue[Caught | Job | Mark] = SimpleQueue()
        self._queued_bytes = 0
        self._behind: deque[None] = deque()  # one for each that is queued or being handled: later ones queue up, too
        self._connect = connect
        self._sidecar: Handover | None = None
        self._look_at = 0.0
        self._leave_at = math.inf  # a sidecar that takes nothing: half of the time of the flush that waits for it
        self._is_stale = False  # the builder: others built since, and its journal knows more than it does
        # Of the connection. Reentrant, and marked: a signal handler or a finalizer that interrupts us may end a call.
        self._turn = threading.RLock()
        self._is_inside = False
        self._hurry = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()

    @property
    def is_beside_sidecar(self) -> bool:
        """Whether calls are handed over now."""
        return self._sidecar is not None

    def submit(self, caught: Caught) -> None:
        """Hand over what a hook caught, or queue it."""
        with self._turn:
            sidecar = self._sidecar
            is_small = caught.size_bytes <= self.INLINE_BYTES and caught.content_encoding in PORTABLE
            if sidecar is not None and is_small and not self._behind and not self._is_inside:
                self._is_inside = True
                try:
                    is_sent = sidecar.offer(caught)
                except Exception as error:
                    if from_signal_handler(error):
                        raise
                    is_sent = False  # of ours: the thread says so, and does the work
                finally:
                    self._is_inside = False
                if is_sent:
                    if caught.is_spending:
                        self._spent(tokens_of(caught.attempt))
                    return
            if self._queued_bytes + caught.size_bytes <= self.MAX_QUEUED_BYTES:
                self._queued_bytes += caught.size_bytes
                self._behind.append(None)
                self._put(caught)
                return
        self._lose("writer queue full", 1, caught.size_bytes)

    def run(self, job: Job) -> None:
        """Queue background work."""
        self._put(job)

    @guarded()
    def flush(self, timeout_s: float) -> None:
        """Wait until everything recorded so far is in a spool, at most ``timeout_s`` seconds."""
        deadline = time.monotonic() + timeout_s
        leave_at = deadline - timeout_s / 2
        self._leave_at = min(leave_at, self._leave_at)
        try:
            self._catch_up(deadline)
            if timeout_s > 0 and not self._is_settled(leave_at):
                self._put(self._give_up)
                self._catch_up(deadline)
        finally:
            self._leave_at = math.inf  # where another one flushes beside us, it has the thread wait as ever

    def _catch_up(self, deadline: float) -> None:
        """Wait until the thread has done what is queued."""
        thread = self._thread
        if thread is None or thread is threading.current_thread() or self._is_broken():
            return
        mark = Mark()
        self._put(mark)
        self._hurry.set()
        # An error of ours may end the thread while it is waited for: then nobody is held up, and the end does the work.
        while (left := deadline - time.monotonic()) > 0 and not self._is_broken():
            if mark.reached.wait(min(left, self.GLANCE_S)):
                return

    def _is_broken(self) -> bool:
        """Whether an error of ours has ended the thread: one that ends by itself is none from before on."""
        thread = self._thread
        return thread is not None and thread.ident is not None and not thread.is_alive()

    def _is_settled(self, deadline: float) -> bool:
        """Whether the sidecar, if there is one, has written all that it was sent; waits for it until ``deadline``."""
        asked: Handover | None = None
        last = 0  # what was sent before we were asked: other threads go on sending
        while True:
            with self._inside() as sidecar:
                if sidecar is None:
                    return True
                if sidecar is not asked:
                    asked, last = sidecar, sidecar.sent
                sidecar.read()
                if sidecar.is_settled(last) and not sidecar.is_broken:
                    return True
                left = deadline - time.monotonic()
                if sidecar.is_broken or left <= 0:
                    return False
            sidecar.hear(left)

    @contextmanager
    def _inside(self) -> Iterator[Handover | None]:
        """The connection for this thread alone; None where there is none, or where we interrupted ourselves in it."""
        with self._turn:
            if self._is_inside:
                yield None
                return
            self._is_inside = True
            try:
                yield self._sidecar
            finally:
                self._is_inside = False

    @guarded()
    def close(self, timeout_s: float) -> None:
        """Handle what is queued, for at most ``timeout_s`` seconds; count what is left. Later work is done at once."""
        deadline = time.monotonic() + timeout_s
        self.flush(timeout_s)
        with self._starting:
            self._closed = True
            thread = self._thread
        if thread is not None and not self._is_broken() and thread is not threading.current_thread():
            self._queue.put(Mark())  # wakes it up to end
            thread.join(max(0.0, deadline - time.monotonic()))
        elif timeout_s > 0:
            self._drain()
        left = [item for item in self._waiting() if isinstance(item, Caught)]
        with self._inside() as sidecar:  # what a living sidecar was sent is its to write
            if sidecar is not None:
                self._sidecar = None
                sidecar.read()
                is_gone = sidecar.is_broken
                unacked = sidecar.take_back()
                left = [*unacked, *left] if is_gone else left
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
        if not isinstance(item, Caught):
            self._spool.write_all(list(item()))
            return
        try:
            if not self._is_handed_over(item):
                self._give_up()
                self._build(item)
        finally:
            with self._turn:
                self._queued_bytes -= item.size_bytes
                self._behind.popleft()

    def _build(self, caught: Caught) -> None:
        records = self._records_of(caught)
        if caught.is_spending:
            self._spent(tokens_of(caught.attempt, records))
        self._spool.write_all(records)

    def _records_of(self, caught: Caught) -> Sequence[Record]:
        if self._is_stale:
            self._is_stale = False
            self._builder.restore()
        return self._builder.build(caught.captured())

    def _is_handed_over(self, caught: Caught) -> bool:
        """Whether the sidecar took one; not, where something of ours went wrong."""
        try:
            return self._hand_over(caught)
        except Exception as error:
            swallow("Writer", error)
            return False

    def _hand_over(self, caught: Caught) -> bool:
        """Give one to the sidecar, whom we may wait for here; whether it took it."""
        if self._sidecar is None:
            self._look_for_sidecar()
        if self._sidecar is None:
            return False
        caught = caught.portable()
        while True:
            with self._inside() as sidecar:
                if sidecar is None or sidecar.is_broken:
                    return False
                sidecar.read()
                if sidecar.offer(caught):
                    if caught.is_spending:
                        self._spent(tokens_of(caught.attempt))
                    return True
            if not self._wait_for(sidecar, caught):
                return False

    def _wait_for(self, sidecar: Handover, caught: Caught) -> bool:
        """Wait until ``caught`` may be offered again; not for long where nothing moves, and less where one flushes."""
        until = time.monotonic() + self.STALL_S
        while not self._closed and (left := min(until, self._leave_at) - time.monotonic()) > 0:
            if sidecar.wait(caught, min(left, self.GLANCE_S)):
                return True
        return False

    def _look_for_sidecar(self) -> None:
        now = time.monotonic()
        if now < self._look_at or self._closed:
            return
        # What was built so far is in the journal, and nobody but this thread builds: its memory goes over whole.
        self._sidecar = self._connect(self._builder.journal)
        self._is_stale = self._is_stale or self._sidecar is not None
        took = time.monotonic() - now
        self._look_at = now + took + max(self.LOOK_S, self.PATIENCE * took)

    def _give_up(self) -> list[Record]:
        """Leave the sidecar, and do what it has not acknowledged: its records may come twice, which changes nothing."""
        with self._inside() as sidecar:
            if sidecar is None:
                return []
            self._sidecar = None
            self._look_at = time.monotonic() + self.LOOK_S
            back = sidecar.take_back()
        for caught in back:
            try:
                self._spool.write_all(self._records_of(caught))
            except Exception as error:
                swallow("Writer", error)
        return []

    def _lose(self, reason: str, count: int, size_bytes: int) -> None:
        self._spool.write(Loss(self._process_id, "exchange", reason, count, size_bytes, time.time_ns()))


def tokens_of(attempt: Attempt, records: Iterable[Record] = ()) -> int:
    """Tokens of an attempt, as its exchange among ``records`` or else its own usage fragment reports them, else by its
    size; none where it was refused."""
    if attempt.http_status is not None and attempt.http_status >= 400:
        return 0
    exchange = next((record for record in records if isinstance(record, Exchange)), None)
    if exchange is not None and exchange.usage_source == "reported":
        return (exchange.input_tokens or 0) + (exchange.output_tokens or 0)
    if exchange is None and attempt.usage_fragment:
        said = usage(attempt.api, json.loads(attempt.usage_fragment))
        if said is not None:
            return (said.input_tokens or 0) + (said.output_tokens or 0)
    return (attempt.request_bytes + attempt.response_bytes) // BYTES_PER_TOKEN
