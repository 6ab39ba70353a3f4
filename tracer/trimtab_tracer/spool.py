"""The writing end of the spool: appends records to segment files, inside the user's agent.

In: records from any thread. Out: lines in ``<spool>/<process_id>-<number>.seg`` (format: :mod:`.segments`). One
record is one ``os.write`` on an append-only descriptor under a lock, so a killed process loses no record whose
:meth:`SpoolWriter.write` returned True, and a record costs the caller about 10 us. (Process death, not power
loss: nothing is synced.)

It is a module of its own because everything the agent says goes through it, and because it must hold when the
disk does not: full, read-only, failing, hanging, or gone. Then ``write`` returns False and never raises; of a disk that
hangs one thread waits, and those that come while it begins to. What was lost is counted by kind and reason, and written
as :class:`~.records.Loss` once there is room. Disk use is bounded: near the bound content is given up first, then spans
of other HTTP requests, then parsed exchanges; only at the bound itself the oldest finished segments go, and after them
new records.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .guard import from_signal_handler
from .records import Content, Exchange, GenAiSpan, HttpSpan, Loss, Process, Record, kind_of
from .segments import (
    END_LINE,
    SUFFIX,
    Line,
    claim,
    encode,
    hold,
    is_closed,
    list_segments,
    looks_closed,
    read_process,
    read_segment,
    segment_name,
)

__all__ = ["Line", "SpoolWriter", "is_closed", "list_segments", "read_process", "read_segment"]


log = logging.getLogger("trimtab")

ADVICE = {
    "spool full": "Start `trimtab up`, which takes it away, or raise TRIMTAB_SPOOL_MAX_BYTES.",
    "spool nearly full": "Start `trimtab up`, which takes it away, or raise TRIMTAB_SPOOL_MAX_BYTES.",
    "disk full": "Free space on that disk.",
    "spool not writable": "Let TRIMTAB_HOME name a folder that this process may write.",
    "disk hangs": "Let TRIMTAB_HOME name a folder on a disk that answers.",
}
"""What to do about a reason why records are lost."""


class SpoolWriter:
    """Appends the records of one process to the spool. Thread-safe; a forked child makes its own.

    Args:
        directory: The spool; made (0700) with the first record where it is missing.
        process: Written as the first record of every segment.
        max_bytes: Bound on all segments in ``directory``, whoever wrote them.
        segment_bytes: A segment that has grown to this is finished and the next one begun; at most an eighth of
            ``max_bytes``, so that the oldest can go without taking everything.
    """

    KEEP_BELOW: dict[type, float] = {Content: 0.80, HttpSpan: 0.85, GenAiSpan: 0.90, Exchange: 0.90}  # noqa: RUF012
    """Share of ``max_bytes`` from which a kind is given up. Kinds not named here are kept up to the bound."""
    MAX_RECORD_BYTES = 16 * 1024 * 1024
    """Longest line written; a longer one is lost and counted."""
    SCAN_INTERVAL_S = 1.0
    """Least time between two looks at the directory's real size; longer where the look itself takes long."""
    PATIENCE_S = 1.0
    """Longest that a record waits for another thread's write. A disk that hangs holds up that thread alone."""
    RETRY_INTERVAL_S = 0.25
    """Pause before a segment is opened again after that failed."""
    WARN_INTERVAL_S = 60.0
    """Least time between two log lines about losses."""
    LOSS_INTERVAL_S = 1.0
    """Least time between two reports of losses, so that a full disk does not fill with them."""

    def __init__(
        self,
        directory: Path,
        process: Process,
        max_bytes: int,
        segment_bytes: int = 16 << 20,
        series: str | None = None,
    ) -> None:
        """Touch nothing yet: the first record begins the first segment.

        Another writer of the same process's records names a ``series`` of its own (:func:`.segments.segment_name`).
        """
        self.directory = Path(directory)
        self._process = process
        self._series = process.process_id if series is None else f"{process.process_id}.{series}"
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(segment_bytes, max_bytes // 8))
        self._limits = {kind: int(max_bytes * share) for kind, share in self.KEEP_BELOW.items()}
        # Reentrant: a signal handler or a finalizer may record something while this thread is writing.
        self._lock = threading.RLock()
        self._is_stuck = False
        self._fd = -1
        self._path: Path | None = None
        self._number = 0
        self._size = 0
        self._held: dict[str, int] = {}
        self._total = 0
        self._next_scan = 0.0
        self._retry_at = 0.0
        self._losses: dict[tuple[str, str], list[int]] = {}
        self._counting = threading.RLock()  # of its own, for what is lost because the other one is held
        self._report_at = 0.0
        self._last_loss_ns = 0
        self._reason = ""
        self._trouble: OSError | None = None
        self._warn_at = 0.0
        _writers.add(self)

    def write(self, record: Record, line: bytes | None = None) -> bool:
        """Append ``record``; True once the operating system has it, False if it is lost (and counted).

        Never raises anything of its own.

        Args:
            record: What is said.
            line: The same encoded, where it was encoded already.
        """
        try:
            line = encode(record) if line is None else line
        except Exception:
            line = b""
        try:
            kept = self._append_in_turn(record, line) if line else self._lose(record, "not encodable", 0)
            if not kept:
                self._warn()
            return kept
        except Exception as error:
            if from_signal_handler(error):
                raise
            return False  # ours: the agent must not see it

    def write_all(self, records: Sequence[Record]) -> None:
        """Append ``records`` as :meth:`write` does, with one system call where nothing is in the way."""
        if not records:
            return
        try:
            lines = [encode(record) for record in records]
        except Exception:  # each for itself, so that only the one that can't be encoded is lost
            for record in records:
                self.write(record)
            return
        try:
            if self._take_turn():
                try:
                    kept = self._append_all(records, lines)
                finally:
                    self._lock.release()
            else:
                kept = False
                for record, line in zip(records, lines, strict=True):
                    self._lose(record, "disk hangs", len(line))
            if not kept:
                self._warn()
        except Exception as error:
            if from_signal_handler(error):
                raise

    def unreported(self) -> dict[tuple[str, str], tuple[int, int]]:
        """What was lost and not yet written as losses: ``{(kind, reason): (records, bytes)}``."""
        with self._counting:
            return {key: (count, size) for key, (count, size) in self._losses.items()}

    def close(self) -> None:
        """Report open losses and finish the segment. A record written later begins a new one. Never raises."""
        if self._take_turn():
            try:
                with suppress(Exception):
                    if self._losses and (self._fd >= 0 or self._open()):
                        self._report_losses(force=True)
                    self._finish(END_LINE)
            finally:
                self._lock.release()
        with suppress(Exception):
            self._warn(last=True)

    def _warn(self, last: bool = False) -> None:
        """Say that records are lost, once a minute and at the end; outside the lock, for loggers may do anything."""
        lost = self.unreported()
        now = time.monotonic()
        if not lost or (now < self._warn_at and not last):
            return
        self._warn_at = now + self.WARN_INTERVAL_S
        counts = ", ".join(f"{count} {kind}" for (kind, _), (count, _) in sorted(lost.items()))
        trouble = f"{self._reason}: {self._trouble.strerror}" if self._trouble is not None else self._reason
        advice = ADVICE.get(self._reason, "The agent is not affected.")
        log.warning("trimtab loses records at %s (%s): %s. %s", self.directory, trouble, counts, advice)

    def _after_fork(self) -> None:
        """In a forked child: the segment is the parent's, and the lock may be held by a thread that is not here."""
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
        self._lock, self._counting, self._is_stuck = threading.RLock(), threading.RLock(), False
        self._fd, self._path, self._size, self._held, self._number = -1, None, 0, {}, 0
        self._losses = {}
        self._process = replace(self._process, process_id=os.urandom(16).hex(), pid=os.getpid(), ts_ns=time.time_ns())

    def _append_in_turn(self, record: Record, line: bytes) -> bool:
        if not self._take_turn():
            return self._lose(record, "disk hangs", len(line))
        try:
            return self._append(record, line)
        finally:
            self._lock.release()

    def _take_turn(self) -> bool:
        """Acquire the lock, or give up where its holder does not come back; then at once until it does."""
        is_ours = self._lock.acquire(timeout=0.0 if self._is_stuck else self.PATIENCE_S)
        self._is_stuck = not is_ours
        return is_ours

    # --- below: under the lock ---------------------------------------------------------------------------------

    def _append(self, record: Record, line: bytes) -> bool:
        now = time.monotonic()
        reason = self._admit(record, len(line), now) or self._put(line, now)
        if reason is not None:
            return self._lose(record, reason, len(line))
        self._hold(record)
        self._report_in_time(now)
        return True

    def _append_all(self, records: Sequence[Record], lines: Sequence[bytes]) -> bool:
        """Append one after the other, or at once where all are admitted; whether all were kept."""
        now = time.monotonic()
        whole = b"".join(lines)
        is_easy = self._fd >= 0 and not any(self._admit(record, len(whole), now) for record in records)
        if not is_easy or self._fd < 0:  # looking for room may have ended the segment
            outcomes = [self._append(record, line) for record, line in zip(records, lines, strict=True)]
            return all(outcomes)
        written = 0
        with suppress(OSError):  # nothing was written, and what follows meets the trouble again
            written = os.write(self._fd, whole)
        self._size += written
        self._total += written
        kept = 0
        while kept < len(lines) and written >= len(lines[kept]):
            written -= len(lines[kept])
            self._hold(records[kept])
            kept += 1
        if written:  # torn, as in `_put`
            self._abandon()
        outcomes = [self._append(record, line) for record, line in zip(records[kept:], lines[kept:], strict=True)]
        self._report_in_time(now)
        return all(outcomes)

    def _admit(self, record: Record, size: int, now: float) -> str | None:
        """See to it that ``size`` bytes more may be written; why not, or None."""
        if size > self.MAX_RECORD_BYTES:
            return "too large"
        if now >= self._next_scan:
            self._scan(now)
        limit = self._limits.get(type(record))
        if limit is not None and self._total + size > limit:
            return "spool nearly full"
        if self._total + size > self._max_bytes and not self._make_room(size):
            return "spool full"
        if self._size >= self._segment_bytes:
            self._finish(END_LINE)
        return None

    def _hold(self, record: Record) -> None:
        kind = kind_of_cached(record)
        self._held[kind] = self._held.get(kind, 0) + 1

    def _report_in_time(self, now: float) -> None:
        if self._losses and now >= self._report_at:
            self._report_losses()

    def _put(self, line: bytes, now: float) -> str | None:
        """Write one line, in a new segment if the present one fails; None, or why it could not be kept."""
        for last_try in (False, True):
            if self._fd < 0:
                if now < self._retry_at:
                    return "spool not writable"
                if not self._open():
                    self._retry_at = now + self.RETRY_INTERVAL_S
                    return "spool not writable"
            try:
                written = os.write(self._fd, line)
            except OSError as error:
                self._trouble = error
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    return "disk full"  # nothing was written: the segment is whole and may go on later
                self._abandon()
                if last_try:
                    self._retry_at = now + self.RETRY_INTERVAL_S
                    return "spool not writable"
                continue
            self._size += written
            self._total += written
            if written == len(line):
                return None
            # Torn: whatever is appended now would be read as part of the broken line, so begin a new segment.
            self._abandon()
        self._retry_at = now + self.RETRY_INTERVAL_S
        return "disk full"

    def _open(self) -> bool:
        """Begin the next segment with the process record; False where that fails. Leaves nothing half-made."""
        try:
            _make_private(self.directory)
            head = encode(self._process)
            while True:
                self._number += 1
                path = self.directory / segment_name(self._series, self._number)
                try:
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
                    fd = os.open(path, flags, 0o600)
                    break
                except FileExistsError:
                    continue
        except OSError as error:
            self._trouble = error
            return False
        hold(fd)
        try:
            whole = os.write(fd, head) == len(head)
        except OSError as error:
            self._trouble = error
            whole = False
        if not whole:
            os.close(fd)
            with suppress(OSError):
                path.unlink()
            self._number -= 1
            return False
        self._fd, self._path, self._size, self._held = fd, path, len(head), {}
        self._total += len(head)
        return True

    def _finish(self, end: bytes = b"") -> None:
        """Close the present segment, with its end line unless it is broken."""
        if self._fd < 0:
            return
        with suppress(OSError):
            if end:
                self._total += os.write(self._fd, end)
        with suppress(OSError):
            os.close(self._fd)
        self._fd, self._path, self._size, self._held = -1, None, 0, {}

    def _abandon(self) -> None:
        """Close a segment that broke; one that holds no record yet is removed, so that failing leaves no litter."""
        path, useless = self._path, not self._held
        self._finish()
        if useless and path is not None:
            with suppress(OSError):
                path.unlink()

    def _scan(self, now: float) -> None:
        """Take the directory's real size, and notice if our segment was taken from under us."""
        total = 0
        with suppress(OSError), os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_size
        self._total = total
        if self._fd >= 0 and self._path is not None and not self._path.exists():
            for kind, count in self._held.items():
                self._count(kind, "segment deleted", count, 0)
            self._finish()
        done = time.monotonic()
        self._next_scan = done + max(self.SCAN_INTERVAL_S, 200 * (done - now))

    def _make_room(self, size: int) -> bool:
        """At the bound: give up the oldest finished segments, counting what they held, until ``size`` fits."""
        self._scan(time.monotonic())
        for path in sorted(list_segments(self.directory), key=_age):
            if self._total + size <= self._max_bytes:
                break
            with suppress(Exception), claim(path) as mine:  # neither ours, nor one that a collector is taking in
                if mine and looks_closed(path, read_process(path)):
                    freed, held = path.stat().st_size, _what_goes(path)
                    path.unlink()
                    self._total -= freed
                    for (kind, reason), (count, length) in held.items():
                        self._count(kind, reason, count, length)
        return self._total + size <= self._max_bytes

    def _lose(self, record: Record, reason: str, size: int) -> bool:
        self._reason = reason
        if isinstance(record, Loss):  # a loss that can't be written is still a loss of what it counts
            self._count(record.lost_kind, record.reason, record.count, record.size_bytes)
        else:
            self._count(kind_of_cached(record), reason, 1, size)
        return False

    def _count(self, kind: str, reason: str, count: int, size: int) -> None:
        with self._counting:
            entry = self._losses.setdefault((kind, reason), [0, 0])
            entry[0] += count
            entry[1] += size

    def _report_losses(self, force: bool = False) -> None:
        now = time.monotonic()
        self._report_at = now + self.LOSS_INTERVAL_S
        with self._counting:
            losses, self._losses = self._losses, {}
        for (kind, reason), (count, size) in losses.items():
            # Their time is part of their identity in the store: make it unique.
            self._last_loss_ns = max(self._last_loss_ns + 1, time.time_ns())
            loss = Loss(self._process.process_id, kind, reason, count, size, self._last_loss_ns)
            line = encode(loss)
            room = force or self._total + len(line) <= self._max_bytes
            if not room or self._put(line, now) is not None:
                self._count(kind, reason, count, size)


_writers: weakref.WeakSet[SpoolWriter] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_writers):
        writer._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_KINDS: dict[type, str] = {}


def kind_of_cached(record: Record) -> str:
    """Name of the record's kind, without making it up anew for each record."""
    shape = type(record)
    kind = _KINDS.get(shape)
    if kind is None:
        kind = _KINDS[shape] = kind_of(shape)
    return kind


def _make_private(directory: Path) -> None:
    """Make ``directory`` and its missing parents, for this user only."""
    missing = []
    at = directory
    while not at.exists():
        missing.append(at)
        at = at.parent
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    if directory.parent in missing:
        with suppress(OSError):
            keep_out_of_git(directory.parent)


def keep_out_of_git(home: Path) -> None:
    """Put a ``.gitignore`` into a home: what it holds, prompts and a token, does not belong into version control."""
    ignore = home / ".gitignore"
    if not ignore.exists() or not ignore.stat().st_size:  # a full disk leaves an empty one
        ignore.write_text("# prompts and the token do not belong into version control\n*\n")


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _what_goes(path: Path) -> dict[tuple[str, str], list[int]]:
    """What giving up a segment loses: kind, reason, records and bytes. Losses reported in it stay what they were."""
    goes: dict[tuple[str, str], list[int]] = {}
    at = 0
    for line in read_segment(path):
        size, at = line.next_offset - at, line.next_offset
        if line.is_end or isinstance(line.record, Process):
            continue
        key, count = ("record", "spool full"), 1
        if isinstance(line.record, Loss):
            key = (line.record.lost_kind, line.record.reason)
            count, size = line.record.count, line.record.size_bytes
        elif line.record is not None:
            key = (kind_of_cached(line.record), "spool full")
        entry = goes.setdefault(key, [0, 0])
        entry[0] += count
        entry[1] += size
    return goes
