"""Runs that were recorded elsewhere, turned into the records of :mod:`trimtab_tracer.records`.

In: files (:mod:`.source`). Out: :class:`ImportedRun` values. Which format a file has is seen from its content, never
from its name. A file is read whole or not at all: one broken line, and nothing of it is handed on. A new format is a
module with ``NAME``, ``matches(value)`` and ``to_trace(document)``, and a line in :data:`FORMATS`. Spans are read by
:mod:`.spans` and :mod:`.span_records`: they go the way of live spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from trimtab_tracer.errors import ImportFormatError

from . import messages, mini_swe, span_records, spans, tau_bench, whowhen
from .source import Document, find_files, read_documents
from .to_records import IMPORT_DIGEST, ImportedRun, to_run
from .trace import Trace

__all__ = [
    "FORMATS",
    "IMPORT_DIGEST",
    "NAMES",
    "Format",
    "ImportedRun",
    "find_files",
    "labels_alone",
    "read_file",
    "whole_runs",
]


@dataclass(frozen=True, slots=True)
class Format:
    """One file format."""

    name: str
    matches: Callable[[Any], bool]
    to_trace: Callable[[Document], Trace]


FORMATS: dict[str, Format] = {
    "mini-swe-agent": Format(mini_swe.NAME, mini_swe.matches, mini_swe.to_trace),
    "who-when": Format(whowhen.NAME, whowhen.matches, whowhen.to_trace),
    "tau-bench": Format(tau_bench.NAME, tau_bench.matches, tau_bench.to_trace),
    "messages": Format(messages.NAME, messages.matches, messages.to_trace),
}
"""Formats of one run per JSON value, by the name that the command line takes; looked through in this order."""

SPANS = "spans"
"""The one format in which a value may be a part of a run (a span per line) or hold several."""

NAMES = (SPANS, *FORMATS)
"""All formats that the command line takes."""


def read_file(
    path: Path, *, content: str = "redacted", service: str | None = None, only: str | None = None
) -> list[ImportedRun]:
    """All runs of a file.

    Args:
        path: A JSON or JSON lines file, gzipped or not.
        content: ``off | redacted | full``: which texts the records keep.
        service: Name of the agent; by default what the file says.
        only: Name in :data:`NAMES` that the file must have; by default any.

    Raises:
        ImportFormatError: the file can't be read, is damaged, or holds something of no known format.
    """
    documents = read_documents(path)
    if only in (None, SPANS) and documents and all(spans.matches(d.value) for d in documents):
        return span_records.to_runs(documents, content=content, service=service)
    formats = FORMATS if only is None else {name: FORMATS[name] for name in (only,) if name in FORMATS}
    documents = _conversations(documents, formats)
    return [
        to_run(_format(d, formats).to_trace(d), content=content, fallback_ns=d.mtime_ns, service=service)
        for d in documents
    ]


Origin = TypeVar("Origin")
"""Where a run was read, in whatever form the caller keeps it."""


def whole_runs(read: Iterable[tuple[Origin, ImportedRun]]) -> Iterator[tuple[Origin, ImportedRun]]:
    """The runs that these files hold, each with where it was read first.

    A run that may be spread over files (:attr:`ImportedRun.part`) comes once all were read, put together of what each
    of them holds; the others come as they are read. One without records is labels alone (:func:`labels_alone`).
    """
    parts: dict[str, list[tuple[Origin, ImportedRun]]] = {}
    for origin, run in read:
        if run.part is None:
            yield origin, run
        else:
            parts.setdefault(run.run_id, []).append((origin, run))
    for own in parts.values():
        runs = [run for _, run in own]
        yield own[0][0], runs[0] if len(runs) == 1 else span_records.join(runs)


def labels_alone(path: Path | str, run: ImportedRun) -> ImportFormatError:
    """What is wrong with a file that holds what people said of a run, and nothing of the run."""
    return ImportFormatError(
        f"{path}: labels of the trace {run.name}, and nothing of the trace; give its spans with it."
    )


def _conversations(documents: list[Document], formats: dict[str, Format]) -> list[Document]:
    """One document per run: a list of runs is taken apart, a file with one message per line put together."""
    if len(documents) > 1 and all(messages.matches([d.value]) for d in documents):
        return [replace(documents[0], value=[d.value for d in documents], place="")]
    found = []
    for document in documents:
        value = document.value
        if isinstance(value, list) and value and not any(f.matches(value) for f in formats.values()):
            place = f"{document.place}, item" if document.place else "item"
            found += [replace(document, value=item, place=f"{place} {n}") for n, item in enumerate(value, 1)]
        else:
            found.append(document)
    return found


def _format(document: Document, formats: dict[str, Format]) -> Format:
    for known in formats.values():
        if known.matches(document.value):
            return known
    titles = {name: known.name for name, known in formats.items()}
    if len(titles) != 1:
        titles = {SPANS: spans.NAME} | titles
    names = ", ".join(f"{name} ({title})" for name, title in titles.items())
    raise ImportFormatError(
        f"{document.where}: not a known format; it holds {_seen(document.value)}. Known formats: {names};"
        " docs/import.md shows what each one looks like."
    )


def _seen(value: Any) -> str:
    """A short description of a JSON value: its shape and keys, none of its contents."""
    if isinstance(value, dict):
        keys = ", ".join(repr(str(k))[:40] for k in list(value)[:6])
        return f"an object with the keys {keys}{', …' if len(value) > 6 else ''}" if keys else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)} items, the first one {_seen(value[0])}" if value else "an empty list"
    return {str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
