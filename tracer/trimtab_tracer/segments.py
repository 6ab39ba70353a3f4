"""The format of spool segments: one checksummed line per record, and how a reader takes it apart again.

In: records (:mod:`.records`) on the writing side, segment files on the reading side. Out: lines
``<crc32 of the JSON, 8 hex digits> <JSON>\\n``, and from them the records again, each with the offset behind it.

A segment file is called ``<process_id>-<number, 6 digits>.seg``. Its first line is the
:class:`~.records.Process`; a segment that its writer finished ends with ``{"kind":"end"}``. The format is apart
from :mod:`.spool`, which only appends, because the reading side runs in another process, maybe days later and
over what a crash left behind: a line that was cut or damaged costs that line and nothing else. The module is
light: standard library only, both sides import it.
"""

from __future__ import annotations

import errno
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, NamedTuple, get_args

from .errors import SpoolError
from .records import (
    SCHEMA_VERSION,
    Choice,
    Process,
    Record,
    ToolRequest,
    ToolResult,
    from_dict,
    kind_of,
    to_dict,
)

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: no locks, the pid decides
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".seg"
"""Ending of a segment's file name."""
MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line a reader takes into memory; no writer of ours makes one half as long."""
FOREIGN_BOOT_SILENCE_S = 60.0
"""How long a segment of another boot (or another machine on a shared disk) must be quiet to count as left behind."""
NO_PROC_SILENCE_S = 600.0
"""The same where the operating system can't tell whether the writer lives."""

CORRUPT = "corrupt line"
"""Problem of a line whose checksum or JSON is wrong."""
UNKNOWN = "unknown record"
"""Problem of a sound line whose record this version does not know."""
TORN = "torn line"
"""Problem of a last line without its end: the writer died, or the disk was full, in the middle of it."""


class Line(NamedTuple):
    """One line of a segment as it was read."""

    record: Record | None
    """None for the end line and where there is a problem."""
    next_offset: int
    """Bytes from the start of the segment to the next line."""
    problem: str | None = None
    """:data:`CORRUPT`, :data:`UNKNOWN`, or None."""
    is_end: bool = False
    """Whether this is the line that finishes a segment."""


def segment_name(series: str, number: int) -> str:
    """File name of segment ``number`` (from 1) of a series: a process's own one is named by its id alone.

    Each writer has a series, ``PROCESS`` or ``PROCESS.NAME``, and a name never comes back: what was collected under it
    stays in the ledger, and another segment of that name would be taken for the same.
    """
    return f"{series}-{number:06d}{SUFFIX}"


def parse_name(name: str) -> tuple[str, int] | None:
    """Series and number from a segment's file name; None where it is no such name."""
    series, dash, number = name.removesuffix(SUFFIX).rpartition("-")
    if not (name.endswith(SUFFIX) and dash and series and number.isascii() and number.isdigit()):
        return None
    return series, int(number)


def process_of(series: str) -> str:
    """Id of the process whose records a series holds."""
    return series.partition(".")[0]


def list_segments(directory: Path) -> list[Path]:
    """The segments in ``directory``, each process's in the order they were written; empty where there is none."""
    try:
        found = [(parsed, path) for path in directory.iterdir() if (parsed := parse_name(path.name))]
    except FileNotFoundError:
        return []
    return [path for _, path in sorted(found)]


# --- writing -----------------------------------------------------------------------------------------------------

_encode_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str, skipkeys=True).encode


_KINDS = {record: kind_of(record) for record in get_args(Record)}


def encode(record: Record) -> bytes:
    """The record's line, without what is as it is by default; about 5 us for an attempt.

    Raises:
        ValueError, TypeError, RecursionError: a free-form value is no JSON (a cycle, odd keys).
    """
    try:
        return _framed(_object(record).encode())
    except UnicodeEncodeError:  # lone surrogates
        return frame(to_dict(record))


def _object(of: Any) -> str:
    write = _WRITERS.get(type(of))
    if write is None:
        write = _WRITERS[type(of)] = _writer_of(type(of))
    return write(of)


_WRITERS: dict[type, Callable[[Any], str]] = {}


def _writer_of(shape: type) -> Callable[[Any], str]:
    """The function that writes objects of one class, made when the first one is written: straight code, for an
    attempt's line is written inside the agent's call. It leaves out what is as it is by default: published defaults
    never change, so a reader puts it back. The process says everything, for all versions."""
    known: dict[str, Any] = {"as_json": _AS_JSON.get, "other": _any}
    kind = _KINDS.get(shape)
    begin = "{" if kind is None else f'{{"kind":"{kind}",'
    lines = ["def write(of):", f" text = {begin!r}"]
    for number, field in enumerate(fields(shape)):
        key = f'{"," if number else ""}"{field.name}":'
        value = f"as_json(type(value := of.{field.name}), other)(value)"
        if field.default is MISSING or shape is Process:
            lines.append(f" text += {key!r} + {value}")
        else:
            known[f"default_{number}"] = field.default
            lines.append(f" if of.{field.name} is not default_{number}: text += {key!r} + {value}")
    exec("\n".join([*lines, " return text + '}'"]), known)  # nothing but names of our own fields
    made: Callable[[Any], str] = known["write"]
    return made


_MAX_WRITTEN = 4096
_written: dict[int, tuple[Choice, str]] = {}
"""Choices by identity, and what they are written as: an agent makes the same ones at each call."""


def choice_text(of: Choice) -> str:
    """The JSON of a choice; the same object is written out once."""
    known = _written.get(id(of))
    if known is None or known[0] is not of:
        if len(_written) >= _MAX_WRITTEN:
            _written.clear()
        known = _written[id(of)] = of, _object(of)
    return known[1]


def _items(of: tuple[Any, ...]) -> str:
    return f"[{','.join([_AS_JSON.get(type(item), _any)(item) for item in of])}]"


def _any(value: Any) -> str:
    try:
        return _encode_compact(value)
    except TypeError:  # keys that are no text
        return _encode_ascii(value)


_AS_JSON: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    tuple: _items,
    Choice: choice_text,
    ToolRequest: _object,
    ToolResult: _object,
}


def frame(data: dict[str, Any]) -> bytes:
    """The line of a mapping: checksum, blank, JSON, line end."""
    try:
        return _framed(_encode_compact(data).encode())
    except (UnicodeEncodeError, TypeError):  # lone surrogates, keys that are no text
        return _framed(_encode_ascii(data).encode())


def _framed(body: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(body), body)


END_LINE = frame({"kind": "end"})
"""Finishes a segment; framing, no record."""


# --- reading -----------------------------------------------------------------------------------------------------


def read_segment(path: Path, offset: int = 0) -> Iterator[Line]:
    """Every whole line from ``offset`` on. A last line without its end is left for later (see :data:`TORN`).

    Raises:
        SpoolError: the segment was written with a newer record schema.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while raw := file.readline(MAX_LINE_BYTES):
            offset += len(raw)
            if raw.endswith(b"\n"):
                yield _decode(path, raw, offset)
                continue
            if len(raw) < MAX_LINE_BYTES:  # torn, or still being written
                return
            while raw and not raw.endswith(b"\n"):  # no writer of ours made this: skip to the next line
                raw = file.readline(MAX_LINE_BYTES)
                offset += len(raw)
            if not raw:
                return
            yield Line(None, offset, CORRUPT)


def _decode(path: Path, raw: bytes, next_offset: int) -> Line:
    body = raw[9:-1]
    try:
        if raw[8:9] != b" " or int(raw[:8], 16) != zlib.crc32(body):
            return Line(None, next_offset, CORRUPT)
        data = json.loads(body)
    except (ValueError, RecursionError):
        return Line(None, next_offset, CORRUPT)
    if not isinstance(data, dict):
        return Line(None, next_offset, CORRUPT)
    if data.get("kind") == "end":
        return Line(None, next_offset, is_end=True)
    version = data.get("schema_version", SCHEMA_VERSION)
    if data.get("kind") == "process" and isinstance(version, int) and version > SCHEMA_VERSION:
        raise SpoolError.newer_schema(path, version, SCHEMA_VERSION)
    try:
        return Line(from_dict(data), next_offset)
    except (ValueError, TypeError, AttributeError):
        return Line(None, next_offset, UNKNOWN)


def decode_line(raw: bytes) -> Record | None:
    """The record of one line; None where it is damaged, or unknown to this version."""
    return _decode(Path(), raw, len(raw)).record


def read_process(path: Path) -> Process | None:
    """Who writes this segment: its first record. None while it is not there yet, or where it is damaged.

    Raises:
        SpoolError: the segment was written with a newer record schema.
    """
    first = next(read_segment(path), None)
    return first.record if first is not None and isinstance(first.record, Process) else None


def is_closed(path: Path, process: Process | None, has_successor: bool | None = None) -> bool:
    """Whether nothing will be appended to this segment any more; False as long as its writer holds its lock.

    See :func:`looks_closed`, which this asks while holding the lock itself.
    """
    with claim(path) as mine:
        return mine and looks_closed(path, process, has_successor)


def looks_closed(path: Path, process: Process | None, has_successor: bool | None = None) -> bool:
    """Whether a segment that nobody has locked is finished.

    It is if it has its end line, if its writer has gone on to a later segment (looked up unless ``has_successor``
    says it), or if the writer is dead. Ask *before* reading to the end: what is closed then has been read completely.
    """
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(END_LINE)))
        if file.read() == END_LINE:
            return True
    if has_successor is None:
        own = parse_name(path.name)
        others = (parse_name(other.name) for other in list_segments(path.parent))
        has_successor = own is not None and any(o and o[0] == own[0] and o[1] > own[1] for o in others)
    if has_successor:
        return True
    silence_s = time.time() - path.stat().st_mtime
    if process is None:
        return silence_s > NO_PROC_SILENCE_S
    return is_dead(process.pid, process.boot_id, process.ts_ns, silence_s)


def is_dead(pid: int, boot_id: str, since_ns: int, silence_s: float) -> bool:
    """Whether the process that ran as ``pid`` at ``since_ns`` is gone, as far as this machine can tell.

    ``silence_s`` is how long nothing was heard of it; it decides where the process can't be looked up.
    """
    here = read_boot_id()
    if not here:
        return silence_s > NO_PROC_SILENCE_S
    if boot_id != here:
        return silence_s > FOREIGN_BOOT_SILENCE_S
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    state, *rest = stat.rpartition(b")")[2].split()
    if state in (b"Z", b"X"):
        return True
    # A later process may have got the same pid: it started after the one we look for began to write.
    started_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(rest[18]) / os.sysconf("SC_CLK_TCK")
    return started_s > since_ns / 1e9 + 2.0


def read_boot_id() -> str:
    """Identity of this machine's boot; empty where the operating system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def hold(fd: int) -> bool:
    """Lock an open segment until its descriptor is closed or its process ends; False where another one has it.

    A writer holds the segment it appends to, a collector the one it takes away. The lock is seen across containers,
    where a pid is not. A file system without locks answers True: then the pid decides alone.
    """
    if fcntl is None:  # pragma: no cover
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold a segment's lock for a while; False where its writer or another reader has it, or it can't be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        yield False
        return
    try:
        yield hold(fd)
    finally:
        os.close(fd)
