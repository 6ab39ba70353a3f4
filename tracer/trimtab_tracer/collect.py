"""The collecting end of the spool: what agents wrote goes into the store, exactly once.

In: the segments in ``spool/``, of living, finished and killed agents. Out: rows (:mod:`.ingest`), an emptied spool,
and what could not be read: damaged lines are skipped and counted as losses, a file that is no segment is moved to
``spool/quarantine/`` with the reason beside it, and a segment of a newer trimtab stays where it is.

Each batch is committed together with the ledger row that says how far the segment is in the store, and a segment
is deleted only after its end is committed. So a collector killed anywhere goes on where the last commit was. Runs
whose process is gone without a word are ended here, because only here it is known that nothing more will come.
It is a module of its own because it is the only reader of the spool, with a thread and a pace of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from . import content
from .errors import TrimtabError
from .ingest import NOT_STORABLE, Segment, close_silent, close_vanished, ingest
from .prices import PriceList
from .records import Loss, Process, Record, kind_of
from .segments import (
    TORN,
    Line,
    claim,
    is_dead,
    list_segments,
    looks_closed,
    parse_name,
    process_of,
    read_process,
    read_segment,
)
from .settings import Settings
from .store import Store

log = logging.getLogger("trimtab.collect")

QUARANTINE = "quarantine"
"""Folder in the spool for files that are no segments."""
_ENVIRONMENT = (
    OSError,
    MemoryError,
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.ConnectionException,
    duckdb.TransactionException,
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
)
"""Errors that say nothing about the records: they stay in the spool for the next time."""


class Progress(NamedTuple):
    """What one look into the spool did."""

    records: int
    """Records that are in the store now and were not before."""
    segments: int
    """Segments that are finished and were removed."""
    errors: tuple[str, ...]
    """Full sentences: what could not be collected, why, and what happens with it."""


class _Tail(NamedTuple):
    """The new end of a segment, read and not committed yet."""

    path: Path
    process_id: str
    lines: list[Line]
    size: int
    offset: int
    """End of its last line: what the ledger will say."""
    closed: bool
    claim: ExitStack
    """Keeps the segment from being continued or removed until it is committed."""


class Collector:
    """Moves records from the spool of a home into its store.

    Args:
        store: Open for writing; this is its only collector.
        settings: Where the spool is, and the user's own prices.
    """

    BATCH_RECORDS = 5_000
    """Records per transaction."""
    BATCH_BYTES = 16 * 1024 * 1024
    """Bytes of a segment per transaction."""
    GATHER_BYTES = 256 * 1024
    """Segments with less news than this are committed together: a commit costs more than what one live agent says."""
    GATHER_SEGMENTS = 64
    """Segments per transaction at most; each is an open file."""
    GRACE_S = 5.0
    """How long a file without a single whole line may be one that is just being begun."""
    COMPACT_INTERVAL_S = 60.0
    """Least time between two looks at how many small content files there are."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Remove what an earlier, killed collector left half-written."""
        self._store = store
        self._spool = settings.spool_dir
        self._prices = PriceList(settings.prices)
        self._stopping = threading.Event()
        self._ledger: dict[str, tuple[int, bool]] = {}
        self._processes: dict[str, Process] = {}
        self._said: set[str] = set()
        self._last_loss_ns = 0
        self._next_compact = 0.0
        self._tails: list[_Tail] = []
        with suppress(OSError):
            content.sweep(store)

    def stop(self) -> None:
        """Make a running :meth:`collect_once`, and all later ones, return after the batch at hand."""
        self._stopping.set()

    def collect_once(self) -> Progress:
        """Take in everything that is in the spool now. Never raises for what it finds there; see ``errors``."""
        records, segments = 0, 0
        errors: list[str] = []
        try:
            paths = list_segments(self._spool)
        except OSError as error:
            sentence = f"{self._spool}: the spool can't be read: {error}. Make it a folder that this user can read."
            return Progress(0, 0, (self._say(sentence),))
        last = {parsed[0]: parsed[1] for path in paths if (parsed := parse_name(path.name))}
        for path in paths:
            if self._stopping.is_set():
                break
            series, number = parse_name(path.name) or ("", 0)
            try:
                done = self._collect(path, process_of(series), has_successor=number < last.get(series, 0))
                records, segments = records + done.records, segments + done.segments
                errors += done.errors
            except FileNotFoundError:
                continue  # a writer short of space gave it up, and counted it
            except TrimtabError as error:
                errors.append(self._say(str(error)))
            except _ENVIRONMENT as error:
                errors.append(self._say(_NOT_NOW.format(path, error)))
            if self._is_full():
                done = self._commit_tails()
                records, segments = records + done.records, segments + done.segments
                errors += done.errors
        done = self._commit_tails()
        records, segments = records + done.records, segments + done.segments
        errors += done.errors
        if not self._stopping.is_set():
            errors += self._tidy(paths)
        return Progress(records, segments, tuple(errors))

    # --- one segment -------------------------------------------------------------------------------------------

    def _collect(self, path: Path, process_id: str, has_successor: bool) -> Progress:
        with ExitStack() as claims:
            mine = claims.enter_context(claim(path))
            size = path.stat().st_size
            offset, was_closed = self._ledger_of(path.name)
            if was_closed and size <= offset:
                if mine:
                    self._remove(path)
                return Progress(0, int(mine), ())
            if not mine and size <= offset:
                return Progress(0, 0, ())  # nothing new, and somebody is still writing
            if path.is_dir():
                return self._quarantine(path, process_id, "it is a folder")
            process = self._process_of(path)
            closed = mine and looks_closed(path, process, has_successor)
            if process is None and offset == 0 and (reason := _no_segment(path)) is not None:
                if not mine or (reason == _NOTHING_WHOLE and not closed and _age_s(path) < self.GRACE_S):
                    return Progress(0, 0, ())  # just being begun
                if size == 0:
                    self._remove(path)
                    return Progress(0, 1, ())
                return self._quarantine(path, process_id, reason)
            if size - offset <= self.GATHER_BYTES:
                lines = list(read_segment(path, offset))
                end = self._add_torn(path, lines, offset, closed, has_successor)
                if lines or closed:
                    self._tails.append(_Tail(path, process_id, lines, end - offset, end, closed, claims.pop_all()))
                return Progress(0, 0, ())
            done = self._read(path, process_id, offset, closed, has_successor)
            return Progress(done, self._remove_if_done(path), ())

    def _is_full(self) -> bool:
        tails = self._tails
        return (
            len(tails) >= self.GATHER_SEGMENTS
            or sum(len(tail.lines) for tail in tails) >= self.BATCH_RECORDS
            or sum(tail.size for tail in tails) >= self.BATCH_BYTES
        )

    def _commit_tails(self) -> Progress:
        """Commit what was gathered, in one transaction; one by one where something spoils it."""
        tails, self._tails = self._tails, []
        records, segments, errors = 0, 0, []
        with ExitStack() as claims:
            for tail in tails:
                claims.push(tail.claim)
            together = len(tails) > 1 and self._commit_together(tails)
            for tail in tails:
                try:
                    if together:
                        records += sum(line.record is not None for line in tail.lines)
                    else:
                        records += self._commit_lines(tail.path, tail.process_id, tail.lines, tail.closed, tail.offset)
                    segments += self._remove_if_done(tail.path)
                except _ENVIRONMENT as error:
                    errors.append(self._say(_NOT_NOW.format(tail.path, error)))
        return Progress(records, segments, tuple(errors))

    def _commit_together(self, tails: Sequence[_Tail]) -> bool:
        """Whether all went into the store; nothing did where not."""
        if any(line.problem is not None for tail in tails for line in tail.lines):
            return False  # to be counted for each segment
        records = [line.record for tail in tails for line in tail.lines if line.record is not None]
        sources = [
            Segment(t.path.name, t.process_id, t.offset, sum(line.record is not None for line in t.lines), t.closed)
            for t in tails
        ]
        try:
            ingest(self._store, records, segments=sources, prices=self._prices)
        except Exception:
            return False  # the next try, alone, says what is wrong
        self._ledger |= {source.name: (source.offset, source.closed) for source in sources}
        return True

    def _remove_if_done(self, path: Path) -> int:
        """Remove a segment whose end is committed; how many were removed."""
        if not self._ledger_of(path.name)[1]:
            return 0
        self._remove(path)
        return 1

    def _read(self, path: Path, process_id: str, offset: int, closed: bool, has_successor: bool) -> int:
        """Take in a segment from ``offset`` on, batch by batch; the number of records."""
        done, start = 0, offset
        lines: list[Line] = []
        for line in read_segment(path, offset):
            lines.append(line)
            if len(lines) >= self.BATCH_RECORDS or line.next_offset - start >= self.BATCH_BYTES:
                done += self._commit_lines(path, process_id, lines, False)
                lines, start = [], line.next_offset
                if self._stopping.is_set():
                    return done
        end = self._add_torn(path, lines, start, closed, has_successor)
        if lines or closed:
            done += self._commit_lines(path, process_id, lines, closed, end)
        return done

    def _add_torn(self, path: Path, lines: list[Line], start: int, closed: bool, has_successor: bool) -> int:
        """Add the torn end of a finished segment to its ``lines``; where they end."""
        end = lines[-1].next_offset if lines else start
        torn = path.stat().st_size - end if closed else 0
        if torn <= 0:
            return end
        # A writer that went on to a later segment has counted the record itself; a killed one could not.
        lines.append(Line(None, end + torn, None if has_successor else TORN, is_end=True))
        return end + torn

    def _commit_lines(
        self, path: Path, process_id: str, lines: Sequence[Line], closed: bool, offset: int | None = None
    ) -> int:
        """One transaction; where a record spoils it, smaller ones until that record is alone and counted as lost."""
        records: list[Record] = [line.record for line in lines if line.record is not None]
        problems = Counter(line.problem for line in lines if line.problem is not None)
        end = lines[-1].next_offset if lines else (offset or 0)
        losses = [self._loss(process_id, "record", problem, count) for problem, count in problems.items()]
        if losses:
            count = sum(problems.values())
            skipped = "1 damaged line was" if count == 1 else f"{count} damaged lines were"
            self._say(f"{path}: {skipped} skipped and counted as lost.")
        segment = Segment(path.name, process_id, end, len(records), closed)
        try:
            self._commit([*records, *losses], segment)
            return len(records)
        except _ENVIRONMENT:
            raise
        except Exception as error:
            if len(records) == 1:
                kind = kind_of(type(records[0]))
                self._say(f"{path}: a record of kind {kind!r} does not fit the store ({error}); it is counted as lost.")
                self._commit([*losses, self._loss(process_id, kind, NOT_STORABLE, 1)], segment._replace(records=0))
                return 0
            if not records:
                raise
        half = len(lines) // 2
        first = self._commit_lines(path, process_id, lines[:half], False)
        return first + self._commit_lines(path, process_id, lines[half:], closed)

    def _commit(self, records: Sequence[Record], segment: Segment) -> None:
        ingest(self._store, records, segment=segment, prices=self._prices)
        self._ledger[segment.name] = (segment.offset, segment.closed)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._ledger.pop(path.name, None)
        self._processes.pop(path.name, None)

    def _quarantine(self, path: Path, process_id: str, reason: str) -> Progress:
        """Move away what is no segment, say why beside it, and count it."""
        count, size = 1, 0
        if path.is_file():
            data = path.read_bytes()
            count, size = max(1, data.count(b"\n")), len(data)
        folder = self._spool / QUARANTINE
        folder.mkdir(mode=0o700, exist_ok=True)
        path.rename(folder / path.name)
        sentence = (
            f"{path}: {reason}; it was moved to {folder} and nothing of it is in the store."
            " Delete it there, or put it back after correcting it."
        )
        (folder / f"{path.name}.reason.txt").write_text(sentence + "\n", encoding="utf-8")
        ingest(self._store, [self._loss(process_id, "record", "quarantined segment", count, size)])
        return Progress(0, 0, (self._say(sentence),))

    # --- what is known about segments and processes -------------------------------------------------------------

    def _ledger_of(self, name: str) -> tuple[int, bool]:
        """How far a segment is in the store, and whether its end is."""
        if name not in self._ledger:
            con = self._store.cursor()
            try:
                row = con.execute("SELECT offset_bytes, closed FROM ingest_ledger WHERE segment = ?", [name]).fetchone()
            finally:
                con.close()
            self._ledger[name] = (int(row[0]), bool(row[1])) if row else (0, False)
        return self._ledger[name]

    def _process_of(self, path: Path) -> Process | None:
        if path.name not in self._processes:
            process = read_process(path)
            if process is None:
                return None
            self._processes[path.name] = process
        return self._processes[path.name]

    def _tidy(self, paths: Sequence[Path]) -> list[str]:
        """End the runs of processes that are gone and fully collected; join small content files now and then."""
        try:
            left = {process_of(parsed[0]) for path in paths if path.exists() and (parsed := parse_name(path.name))}
            close_vanished(self._store, [p for p in self._gone_processes() if p not in left])
            close_silent(self._store, time.time_ns())
            if time.monotonic() >= self._next_compact:
                self._next_compact = time.monotonic() + self.COMPACT_INTERVAL_S
                content.compact(self._store)
        except (*_ENVIRONMENT, pa.ArrowException) as error:
            return [self._say(f"{self._store.path}: can't be tidied up now: {error}. It is tried again.")]
        return []

    def _gone_processes(self) -> list[str]:
        """Processes with runs that did not end, which are not alive."""
        con = self._store.cursor()
        try:
            found = con.execute(
                "SELECT p.process_id, p.pid, p.boot_id, p.started_ns, max(l.updated_ns)"
                " FROM processes AS p LEFT JOIN ingest_ledger AS l USING (process_id)"
                " WHERE p.process_id IN"
                " (SELECT process_id FROM runs WHERE ended_ns IS NULL AND origin NOT IN ('import', 'rebuilt'))"
                " GROUP BY ALL"
            ).fetchall()
        finally:
            con.close()
        now = time.time_ns()
        return [
            process_id
            for process_id, pid, boot_id, started_ns, heard_ns in found
            if pid > 0 and is_dead(pid, boot_id, started_ns, (now - (heard_ns or started_ns)) / 1e9)
        ]

    def _loss(self, process_id: str, kind: str, reason: str, count: int, size: int = 0) -> Loss:
        self._last_loss_ns = max(self._last_loss_ns + 1, time.time_ns())
        return Loss(process_id, kind, reason, count, size, self._last_loss_ns)

    def _say(self, sentence: str) -> str:
        """Log a sentence the first time it is true."""
        if sentence not in self._said:
            if len(self._said) > 1_000:
                self._said.clear()
            self._said.add(sentence)
            log.warning("%s", sentence)
        return sentence


_NOT_NOW = "{}: can't be taken into the store now: {}. It stays and is tried again."
_NOTHING_WHOLE = "it holds no whole line"


def _no_segment(path: Path) -> str | None:
    """Why this file is no segment at all; None where any line of it can be read."""
    is_empty = True
    for line in read_segment(path):
        if line.record is not None or line.is_end:
            return None
        is_empty = False
    return _NOTHING_WHOLE if is_empty else "none of its lines is a record of ours"


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime
