"""Files as they lie on disk: which ones are meant, and the JSON documents in each.

In: paths as a person types them (files, folders, globs; ``.json``, ``.jsonl``, either gzipped).
Out: an ordered list of files, and per file its :class:`Document` objects, whole or not at all.
It is a module of its own because every format shares these steps and none of them knows what a run is.
A file that can't be read, is cut off or is no JSON raises :class:`ImportFormatError` that says where it
broke; nothing of such a file is handed on.
"""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab_tracer.errors import ImportFormatError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
"""What counts as a trace file inside a folder; a file that is named itself may be called anything."""

TRAJECTORY_SUFFIXES = (".traj.json", ".traj.json.gz")
"""Where a folder holds such files, its other JSON files (predictions, summaries) are the harness's own and not runs."""


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON value of a file, before anyone knows which format it has."""

    path: Path
    value: Any
    place: str
    """Where it stands in the file: ``""`` for the whole file, else ``line 7`` or ``item 7``."""
    mtime_ns: int
    """The file's time: the only clock of a run whose file holds none."""

    @property
    def where(self) -> str:
        """Path and place, for messages."""
        return f"{self.path}, {self.place}" if self.place else str(self.path)


def find_files(patterns: Iterable[str | Path]) -> list[Path]:
    """The files meant by ``patterns``, each once, in the order given and sorted within a folder or a glob.

    Raises:
        ImportFormatError: a pattern names nothing that exists, or a folder without a trace file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_dir():
            found.update(dict.fromkeys(_in_folder(path)))
            continue
        matches = [path] if path.exists() else [Path(m) for m in sorted(glob.glob(str(path), recursive=True))]
        if not matches:
            raise ImportFormatError(f"{pattern}: there is no such file or folder; check the path and try again.")
        for match in matches:
            found.update(dict.fromkeys(_in_folder(match) if match.is_dir() else [match]))
    return list(found)


def _in_folder(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    trajectories = [p for p in files if p.name.endswith(TRAJECTORY_SUFFIXES)]
    if not files:
        raise ImportFormatError(
            f"{folder}: no trace file in this folder or below; expected files that end in {', '.join(SUFFIXES)}."
        )
    return trajectories or files


def read_documents(path: Path) -> list[Document]:
    """All JSON documents of a file: one for a JSON file, one per line for JSON lines.

    Raises:
        ImportFormatError: the file can't be read, is cut off, or is no JSON.
    """
    text = _text(path)
    mtime_ns = path.stat().st_mtime_ns
    try:
        return [Document(path, json.loads(text), "", mtime_ns)]
    except ValueError as error:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise ImportFormatError(
                f"{path}: not valid JSON ({_reason(error)}); it may be cut off. Get a whole copy and import it again."
            ) from None
    documents = []
    for number, line in lines:
        try:
            documents.append(Document(path, json.loads(line), f"line {number}", mtime_ns))
        except ValueError as error:
            raise ImportFormatError(
                f"{path}, line {number}: not valid JSON ({_reason(error)}); nothing of this file was imported."
                " Mend or remove that line and import it again."
            ) from None
    return documents


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFormatError(
            f"{path}: not a text file (byte {error.start} is no UTF-8); expected JSON, JSON lines, or either gzipped."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFormatError(f"{path}: the gzip data is damaged or cut off ({error}); get a whole copy.") from None
    except OSError as error:
        raise ImportFormatError(
            f"{path}: can't be read: {error.strerror or error}; check the path and its permissions."
        ) from None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _reason(error: ValueError) -> str:
    # Python's parser quotes nothing of the file, so its message may be shown.
    return str(error)
