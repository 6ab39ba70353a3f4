"""Tracing inside the test process, with what it spooled as records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trimtab
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import CallDecisions, Record
from trimtab_tracer.spool import list_segments, read_segment

Recorded = Callable[[type], list[Record]]


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


@pytest.fixture
def recorded_off(recorded: Recorded) -> Recorded:
    """Like ``recorded``, with content ``off``."""
    settings = switch.active().settings  # type: ignore[union-attr]
    home = settings.home
    trimtab.uninstrument()
    trimtab.instrument(home=home, flush_interval_s=0.001, content="off")
    return recorded
