"""Tracing inside the test process, with what it spooled as records."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trimtab
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import CallDecisions, Record
from trimtab_tracer.spool import list_segments, read_segment
from trimtab_tuner.provider import Provider, Scenario

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


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Any]], Provider]]:
    """Starts scripted providers that end with the test."""
    started: list[Provider] = []

    def start(scenario: dict[str, Any]) -> Provider:
        provider = Provider(Scenario.from_dict(scenario))
        provider.__enter__()
        started.append(provider)
        return provider

    yield start
    for provider in started:
        provider.__exit__(None, None, None)


@pytest.fixture
def publish() -> Callable[..., None]:
    """Writes a policy of these rules into a home, as the sidecar does."""

    def write(home: Path, *rules: dict[str, Any]) -> None:
        whole = [
            {"rule_id": f"r{i}", "match": {}, "sticky": "run", "source": "human", **rule}
            for i, rule in enumerate(rules)
        ]
        head = {"schema": 1, "version": 1, "issued_ns": time.time_ns(), "lifetime_s": 600, "frozen": False}
        file = home / "policy.json"
        file.write_text(json.dumps({**head, "rules": whole}))
        file.chmod(0o600)

    return write


@pytest.fixture
def recorded_off(recorded: Recorded) -> Recorded:
    """Like ``recorded``, with content ``off``."""
    settings = switch.active().settings  # type: ignore[union-attr]
    home = settings.home
    trimtab.uninstrument()
    trimtab.instrument(home=home, flush_interval_s=0.001, content="off")
    return recorded
