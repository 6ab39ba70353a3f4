"""Texts of requests and responses, apart from the core tables: zstd Parquet segments and their index.

In: rows of table ``content`` with their text. Out: files in ``content/``, and the texts of one call again. Apart
from the store because texts are the bulk of the data and the first to be deleted: retention is removing files.

A segment's name follows from where its rows came from, so that ingesting them again, after a crash between file
and commit, overwrites the file instead of leaving two. Files are complete or absent (written aside, then renamed).
A file that was deleted by hand costs its texts and nothing else. :func:`compact` joins the many small files of a
live agent; :func:`sweep` removes what a crash left behind.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from .store import Store, arrow_table, register

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
ROW_GROUP = 64
"""Rows per row group: what is decompressed to read one text."""


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

    Texts whose file is gone are left out.
    """
    for _ in range(2):  # between index and file, compact() may have moved a text: then ask the index again
        found = _where(store, call_id)
        if all((content_dir / segment).exists() for segment, *_ in found):
            break
    texts = []
    for segment, attempt_id, role, number in found:
        path = content_dir / segment
        if not path.exists():
            continue
        key = [("attempt_id", "=", attempt_id), ("role", "=", role)]
        for body in pq.read_table(path, columns=["body"], filters=key).column("body").to_pylist():
            texts.append({"role": role, "body": body, "attempt": number})
    return sorted(texts, key=lambda text: (text["attempt"], text["role"]))


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

    The new file is complete before the index names it, and the old ones go after that: a crash leaves files too many,
    which :func:`sweep` removes, never one too few.
    """
    sizes = {path: path.stat().st_size for path in _files(store.content_dir)}
    small = sorted(path for path, size in sizes.items() if size < SMALL_BYTES)
    if len(small) < SMALL_FILES:
        return 0
    joined = pa.concat_tables([pq.read_table(path, schema=SCHEMA) for path in small]).sort_by("attempt_id")
    name = f"joined-{hashlib.sha256(' '.join(path.name for path in small).encode()).hexdigest()[:16]}.parquet"
    _replace(store.content_dir / name, joined)
    with store.transaction() as con:
        register(con, "joined_names", "segment", [path.name for path in small])
        con.execute("UPDATE content SET segment = ? WHERE segment IN (SELECT segment FROM joined_names)", [name])
    for path in small:
        path.unlink(missing_ok=True)
    return len(small)


def sweep(store: Store) -> int:
    """Remove files that the index does not name, and unfinished ones; returns how many. Only while nobody ingests."""
    with store.transaction() as con:
        named = {segment for (segment,) in con.execute("SELECT DISTINCT segment FROM content").fetchall()}
    stale = [path for path in _files(store.content_dir) if path.name not in named]
    stale += list(store.content_dir.glob("*.tmp")) if store.content_dir.is_dir() else []
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _files(directory: Path) -> Iterable[Path]:
    return sorted(directory.glob("*.parquet")) if directory.is_dir() else []


def _replace(path: Path, table: pa.Table) -> Path:
    aside = path.with_name(path.name + ".tmp")
    try:
        pq.write_table(table, aside, compression="zstd", row_group_size=ROW_GROUP)
        aside.chmod(0o600)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return path
