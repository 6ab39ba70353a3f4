"""Texts of requests and responses, apart from the core tables: zstd Parquet segments and their index.

In: rows of table ``content`` with their text. Out: files in ``content/``, and the texts of one call again. Apart
from the store because texts are the bulk of the data and the first to be deleted: retention is removing files.

A segment's name follows from where its rows came from, so that ingesting them again, after a crash between file
and commit, overwrites the file instead of leaving two. Files are complete or absent (written aside, then renamed).
A text counts only where the index names its file: the same text written again lies in a later file, and what the
earlier one holds is void. A file that was deleted by hand, or is damaged, costs its texts and nothing else.
:func:`compact` joins the many small files of a live agent; :func:`sweep` removes what a crash left behind;
:func:`erase` takes out what a person does not want to keep.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from .store import Store, arrow_table, register

log = logging.getLogger("trimtab.content")

SCHEMA = pa.schema(
    [
        ("attempt_id", pa.string()),
        ("role", pa.string()),
        ("call_id", pa.string()),
        ("run_id", pa.string()),
        ("recorded_ns", pa.int64()),
        ("body", pa.string()),
    ]
)
"""Columns of a segment; all but ``body`` are also in the index."""
SMALL_BYTES = 4 * 1024 * 1024
"""Files below this are worth joining."""
SMALL_FILES = 64
"""How many small files there must be before they are joined."""
JOIN_BYTES = 256 * 1024 * 1024
"""Uncompressed bytes that one join takes into memory; files of a quarter of it are not small, however they pack."""
ROW_GROUP = 64
"""Rows per row group: what is decompressed to read one text."""
_FEW_VALUES = ["role", "call_id", "run_id"]
"""Columns in dictionaries. Not ``body``: a file's stated uncompressed size must be what it takes in memory."""

_DAMAGED = (OSError, pa.ArrowException, KeyError, ValueError)
"""What pyarrow raises for a file that is no Parquet, is cut, or has other columns."""
_reported: set[Path] = set()
"""Damaged files that were logged: they are not tried again for joining."""


def segment_file(source: str, offset: int) -> str:
    """Name of the file for what came from spool segment ``source`` beginning at byte ``offset``."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', source).removesuffix('.seg')}-{offset:012d}.parquet"


def write_segment(directory: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``rows`` as the file ``name``, replacing it as a whole. Sorted by attempt, so that one is found fast.

    Raises:
        OSError: the disk is full, or the directory can't be written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ordered = sorted(rows, key=lambda row: (row["attempt_id"], row["role"]))
    return _replace(directory / name, arrow_table(ordered, SCHEMA))


def read(store: Store, content_dir: Path, call_id: str) -> list[dict[str, Any]]:
    """The texts of a call: ``{role, body, attempt}`` with the attempt's number, in the order they were exchanged.

    Texts whose file is gone or damaged are left out.
    """
    for _ in range(2):  # between index and file, compact() may have moved a text: then ask the index again
        found = _where(store, call_id)
        if all((content_dir / segment).exists() for segment, *_ in found):
            break
    texts = []
    for segment, attempt_id, role, number in found:
        body = _body(content_dir / segment, attempt_id, role)
        if body is not None:
            texts.append({"role": role, "body": body, "attempt": number})
    return sorted(texts, key=lambda text: (text["attempt"], text["role"]))


def _body(path: Path, attempt_id: str, role: str) -> str | None:
    try:
        key = [("attempt_id", "=", attempt_id), ("role", "=", role)]
        bodies = pq.read_table(path, columns=["body"], filters=key).column("body").to_pylist()
    except FileNotFoundError:
        return None
    except _DAMAGED as error:
        _report(path, error)
        return None
    return cast("str", bodies[-1]) if bodies else None


def _where(store: Store, call_id: str) -> list[tuple[str, str, str, int]]:
    """File, attempt id, role and attempt number of a call's texts."""
    con = store.cursor()
    try:
        return con.execute(
            "SELECT c.segment, c.attempt_id, c.role, coalesce(a.number, 0) FROM content AS c"
            " LEFT JOIN attempts AS a USING (attempt_id) WHERE c.call_id = ? ORDER BY ALL",
            [call_id],
        ).fetchall()
    finally:
        con.close()


def compact(store: Store) -> int:
    """Join small segments into one where there are many; returns how many were joined.

    Only texts that the index names are taken over. The new file is complete before the index names it, and the old
    ones go after that: a crash leaves files too many, which :func:`sweep` removes, never one too few. Nobody may
    write meanwhile, because an import that comes again overwrites the file it wrote before. A damaged file is skipped.
    """
    small = _small(store.content_dir)
    if not small:
        return 0
    with store.writing():
        tables = {path: table for path in small if (table := _table(path)) is not None}
        if not tables:
            return 0
        named = _named(store, [path.name for path in tables])
        joined = pa.concat_tables([_only(table, named.get(path.name, set())) for path, table in tables.items()])
        name = f"joined-{hashlib.sha256(' '.join(path.name for path in tables).encode()).hexdigest()[:16]}.parquet"
        if joined.num_rows:
            _replace(store.content_dir / name, joined.sort_by("attempt_id"))
        with store.transaction() as con:
            register(con, "joined_names", "segment", [path.name for path in tables])
            con.execute("UPDATE content SET segment = ? WHERE segment IN (SELECT segment FROM joined_names)", [name])
        for path in tables:
            path.unlink(missing_ok=True)
    return len(tables)


def _small(directory: Path) -> list[Path]:
    """Sound files that are worth joining, as many as may be in memory together; none where they are too few."""
    found = [path for path in _files(directory) if path not in _reported and path.stat().st_size < SMALL_BYTES]
    if len(found) < SMALL_FILES:
        return []
    sizes = {path: size for path in found if (size := _unpacked_bytes(path)) is not None and size < JOIN_BYTES // 4}
    if len(sizes) < SMALL_FILES:
        return []
    taken, total = [], 0
    for path in sorted(sizes):
        if (total := total + sizes[path]) > JOIN_BYTES:
            break
        taken.append(path)
    return taken


def _unpacked_bytes(path: Path) -> int | None:
    try:
        metadata = pq.read_metadata(path)
        return sum(int(metadata.row_group(n).total_byte_size) for n in range(metadata.num_row_groups))
    except _DAMAGED as error:
        _report(path, error)
        return None


def _table(path: Path) -> pa.Table | None:
    try:
        return pq.read_table(path, schema=SCHEMA)
    except _DAMAGED as error:
        _report(path, error)
        return None


def _named(store: Store, segments: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
    """Attempt and role of the texts that the index has in each of these files."""
    named: dict[str, set[tuple[str, str]]] = {}
    with store.transaction() as con:
        register(con, "joined_names", "segment", segments)
        for segment, attempt_id, role in con.execute(
            "SELECT segment, attempt_id, role FROM content SEMI JOIN joined_names USING (segment)"
        ).fetchall():
            named.setdefault(segment, set()).add((attempt_id, role))
    return named


def _only(table: pa.Table, keys: set[tuple[str, str]]) -> pa.Table:
    own = zip(table.column("attempt_id").to_pylist(), table.column("role").to_pylist(), strict=True)
    return table.filter(pa.array([key in keys for key in own], pa.bool_()))


def sweep(store: Store) -> int:
    """Remove files that the index does not name, and unfinished ones; returns how many. Only while nobody ingests."""
    with store.transaction() as con:
        named = {segment for (segment,) in con.execute("SELECT DISTINCT segment FROM content").fetchall()}
    stale = [path for path in _files(store.content_dir) if path.name not in named]
    stale += list(store.content_dir.glob("*.tmp")) if store.content_dir.is_dir() else []
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


_CHOSEN = """
    ($before::BIGINT IS NULL OR recorded_ns < $before)
    AND ($service::VARCHAR IS NULL OR call_id IN (
        SELECT call_id FROM calls SEMI JOIN (SELECT run_id FROM runs WHERE service = $service) USING (run_id)
    ))
    AND ($runs::VARCHAR[] IS NULL OR call_id IN (
        WITH RECURSIVE below AS (
            SELECT unnest($runs::VARCHAR[]) AS run_id
            UNION
            SELECT runs.run_id FROM runs JOIN below ON runs.parent_run_id = below.run_id
        )
        SELECT call_id FROM calls SEMI JOIN below USING (run_id)
    ))
"""


class Chosen(NamedTuple):
    """Texts by what they belong to; each part that is given narrows the choice, and without any all are chosen."""

    before_ns: int | None = None
    """Recorded before then, nanoseconds since the epoch."""
    run_ids: tuple[str, ...] | None = None
    """Of calls in these runs, and in the runs inside them."""
    service: str | None = None

    def values(self) -> dict[str, Any]:
        """Parameters of :data:`_CHOSEN`."""
        runs = None if self.run_ids is None else list(self.run_ids)
        return {"before": self.before_ns, "runs": runs, "service": self.service}


def count(store: Store, chosen: Chosen) -> int:
    """How many texts are chosen."""
    with store.transaction() as con:
        (found,) = con.execute(f"SELECT count(*) FROM content WHERE {_CHOSEN}", chosen.values()).fetchall()
        return int(found[0])


def erase(store: Store, chosen: Chosen) -> int:
    """Take texts out of the index and out of their files, for good; returns how many. Nobody may write meanwhile.

    The index forgets first. A crash after that leaves texts in files that nothing names; the next erasing, of
    whatever it may be, takes those out as well. A damaged file goes when nothing in it is named.

    Raises:
        OSError: a file can't be written anew; the texts that it holds are forgotten and still there.
    """
    with store.writing():
        with store.transaction() as con:
            erased = len(con.execute(f"DELETE FROM content WHERE {_CHOSEN} RETURNING 1", chosen.values()).fetchall())
        files = list(_files(store.content_dir))
        named = _named(store, [path.name for path in files])
        for path in files:
            _scrub(path, named.get(path.name, set()))
    return erased


def _scrub(path: Path, keys: set[tuple[str, str]]) -> None:
    """Leave in a file only the texts of these attempts and roles."""
    if not keys:
        path.unlink(missing_ok=True)
        return
    try:
        held = pq.read_table(path, columns=["attempt_id", "role"])
    except _DAMAGED as error:
        _report(path, error)
        return
    if _only(held, keys).num_rows < held.num_rows and (table := _table(path)) is not None:
        _replace(path, _only(table, keys))


def _files(directory: Path) -> Iterable[Path]:
    return sorted(directory.glob("*.parquet")) if directory.is_dir() else []


def _report(path: Path, error: Exception) -> None:
    if path not in _reported:
        _reported.add(path)
        log.warning(
            "%s: damaged, its texts can't be read: %s. Delete it; what else is in the store stays.", path, error
        )


def _replace(path: Path, table: pa.Table) -> Path:
    """Write aside, bring to the disk, rename: what the ledger then says is in the store survives a power cut."""
    aside = path.with_name(path.name + ".tmp")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=ROW_GROUP, use_dictionary=_FEW_VALUES)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        _reported.discard(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder can't be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path
