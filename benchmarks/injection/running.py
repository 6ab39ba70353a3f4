"""Runs one agent under one setting of its harness, and asks the analyzer what it finds in what was traced.

In: a case, its settings and a seed. Out: :class:`Ran`: how many tasks there were and how many failed as the agent's own
check says, what it cost, and the findings in their order. The agent is a process of its own against a scripted provider
of its own; what it spooled is collected into a store that the findings come from. The figures of harm do not come from
the tracer but from the provider's log and the agent's last line; money alone is the store's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judging.running import environment
from trimtab_analyzer import load
from trimtab_analyzer.case import Case as Frames
from trimtab_analyzer.findings import Finding, analyze
from trimtab_tracer.collect import Collector
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import LogEntry, Provider

from . import baselines
from .faults import Case, scenario_of

LIMIT_S = 120.0
"""How long an agent may take."""


@dataclass(frozen=True, slots=True)
class Ran:
    """An agent that ended, and what is said of it."""

    case: Case
    is_sound: bool
    runs: int
    failed: int
    requests: int
    tokens: int
    """Input that was not cached, and output."""
    seconds: float
    cost_musd: int
    findings: tuple[Finding, ...]
    """The open ones, in their order."""
    first_error: baselines.Place | None
    """Line of the first error."""
    knob_places: Mapping[str, baselines.Place]
    """The line at which each knob was decided most often."""
    problem: str = ""
    """Why the figures are none: the agent broke off, or records were lost."""


def run(case: Case, settings: Mapping[str, Any], seed: int, home: Path, is_sound: bool) -> Ran:
    """Run the agent of ``case`` with ``settings``, and analyze what was traced."""
    home.mkdir(parents=True)
    orders = case.orders(seed)
    with Provider(scenario_of(case, seed)) as provider:
        started = time.monotonic()
        done = _process(case, {"HARNESS": json.dumps(dict(settings)), "TASKS": json.dumps(orders)}, provider.url, home)
        seconds = time.monotonic() - started
        log = provider.log.entries
    said = _said(done)
    figures = said or {"runs": len(orders), "failed": len(orders)}
    problem = "" if said else f"the agent broke off: {done.stderr.strip()[-400:]}"
    return _analyzed(case, is_sound, figures, log, seconds, home, problem)


def _process(
    case: Case, variables: Mapping[str, str], url: str, home: Path
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(case.script)]
    env = {**environment(url, home), **variables, "TRIMTAB_CONTENT": "redacted"}
    try:
        return subprocess.run(
            command, cwd=home, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"it did not end within {LIMIT_S:g} s")


def _said(done: subprocess.CompletedProcess[str]) -> dict[str, int] | None:
    """The agent's last line: how many tasks, and how many of them failed."""
    try:
        said = json.loads(done.stdout.splitlines()[-1])
        return {name: int(said[name]) for name in ("runs", "failed")}
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def _analyzed(
    case: Case, is_sound: bool, figures: dict[str, int], log: tuple[LogEntry, ...], seconds: float, home: Path, problem: str
) -> Ran:
    settings = Settings.resolve(home=home / "trimtab")
    store = Store.open(settings.store_path)
    try:
        Collector(store, settings).collect_once()
        con = store.cursor()
        with load.snapshot(con):
            frames = Frames.load(con)
            findings = analyze(con, case=frames)
            places = baselines.knob_places(con, frames)
        lost = con.execute("SELECT count(*) FROM losses").fetchall()[0][0]
    finally:
        store.close()
    return Ran(
        case=case,
        is_sound=is_sound,
        requests=len(log),
        tokens=sum(_tokens(entry) for entry in log),
        seconds=seconds,
        cost_musd=int(frames.attempts["cost_musd"].sum()),
        findings=tuple(f for f in findings if f.is_current),
        first_error=baselines.first_error(frames),
        knob_places=places,
        problem=problem or (f"{lost} records were lost" if lost else ""),
        **figures,
    )


def _tokens(entry: LogEntry) -> int:
    usage = entry.usage or {}
    return int(usage.get("input_tokens", 0)) - int(usage.get("cached_tokens", 0)) + int(usage.get("output_tokens", 0))
