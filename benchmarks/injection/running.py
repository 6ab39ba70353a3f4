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
from collections.abc import Mapping
from dataclasses import dataclass, field
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

LIMIT_S = 300.0
"""How long an agent may take."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the store and the analyzer say; nothing where they were not asked."""

    findings: tuple[Finding, ...] = ()
    """The open ones, in their order."""
    first_error: baselines.Place | None = None
    """Line of the first error."""
    knob_places: Mapping[str, baselines.Place] = field(default_factory=dict)
    """The line at which each knob was decided most often."""
    cost_musd: int | None = None
    lost: int = 0
    """Records that the tracer lost."""


@dataclass(frozen=True, slots=True)
class Ran:
    """An agent that ended, and what is said of it."""

    case: Case
    runs: int
    failed: int
    requests: int
    tokens: int
    """Input that was not cached, and output."""
    seconds: float
    """During which requests were under way, added up; how busy the machine is changes little of it."""
    said: Said
    broke_off: str = ""
    """Why the figures are none: the agent did not come to its end."""

    @property
    def problem(self) -> str:
        """Why nothing can be said; empty where all is well."""
        return self.broke_off or (f"{self.said.lost} records were lost" if self.said.lost else "")


def run(case: Case, settings: Mapping[str, Any], seed: int, home: Path, *, is_asked: bool) -> Ran:
    """Run the agent of ``case`` with ``settings``.

    Args:
        case: The case.
        settings: Of the harness.
        seed: Draws the tasks and what the provider draws.
        home: A folder that is not there yet.
        is_asked: Whether the analyzer is asked about what was traced, which takes as long as the run.
    """
    home.mkdir(parents=True)
    orders = case.orders(seed)
    with Provider(scenario_of(case, seed)) as provider:
        done = _process(case, {"HARNESS": json.dumps(dict(settings)), "TASKS": json.dumps(orders)}, provider.url, home)
        log = provider.log.entries
    figures = _last_line(done)
    return Ran(
        case=case,
        requests=len(log),
        tokens=sum(_tokens(entry) for entry in log),
        seconds=sum(entry.finished_ns - entry.received_ns for entry in log) / 1e9,
        said=_ask(home, is_asked) if is_asked or (case.truth and case.truth.harm == "cost") else Said(),
        broke_off="" if figures else f"the agent broke off: {done.stderr.strip()[-400:]}",
        **(figures or {"runs": len(orders), "failed": len(orders)}),
    )


def _process(case: Case, variables: Mapping[str, str], url: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(case.script)]
    env = environment(url, home) | dict(variables)
    try:
        return subprocess.run(
            command,
            cwd=home,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"it did not end within {LIMIT_S:g} s")


def _last_line(done: subprocess.CompletedProcess[str]) -> dict[str, int] | None:
    """What the agent's own check says: how many tasks, and how many of them failed."""
    try:
        said = json.loads(done.stdout.splitlines()[-1])
        return {name: int(said[name]) for name in ("runs", "failed")}
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def _ask(home: Path, is_asked: bool) -> Said:
    settings = Settings.resolve(home=home / "trimtab")
    store = Store.open(settings.store_path)
    try:
        Collector(store, settings).collect_once()
        con = store.cursor()
        cost, lost = con.execute(
            "SELECT (SELECT sum(cost_musd) FROM attempts), (SELECT count(*) FROM losses)"
        ).fetchall()[0]
        if not is_asked:
            return Said(cost_musd=cost, lost=lost)
        with load.snapshot(con):
            frames = Frames.load(con)
            return Said(
                findings=tuple(f for f in analyze(con, case=frames) if f.is_current),
                first_error=baselines.first_error(frames),
                knob_places=baselines.knob_places(con, frames),
                cost_musd=cost,
                lost=lost,
            )
    finally:
        store.close()


def _tokens(entry: LogEntry) -> int:
    usage = entry.usage or {}
    return int(usage.get("input_tokens", 0)) - int(usage.get("cached_tokens", 0)) + int(usage.get("output_tokens", 0))
