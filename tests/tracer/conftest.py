"""Tracing inside the test process, with what it spooled as records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trimtab
from trimtab_tracer.records import CallDecisions, Record
from trimtab_tracer.spool import list_segments, read_segment

Recorded = Callable[[type], list[Record]]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without settings files, and no variables of ours."""
    for name in list(os.environ):
        if name.startswith("TRIMTAB_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of ours are raised instead of swallowed."""
    monkeypatch.setenv("TRIMTAB_STRICT", "1")


@pytest.fixture
def recorded(tmp_path: Path, strict: None) -> Iterator[Recorded]:
    """Tracing on; gives the records of one type spooled so far."""
    home = tmp_path / "home"
    trimtab.instrument(home=home, flush_interval_s=0.001)

    def of_type(kind: type) -> list[Record]:
        trimtab.flush()
        lines = [line for path in list_segments(home / "spool") for line in read_segment(path)]
        records: list[Record] = []
        for line in lines:
            record = line.record
            records += record.decisions() if isinstance(record, CallDecisions) else [record] if record else []
        return [record for record in records if isinstance(record, kind)]

    yield of_type
    trimtab.uninstrument()
