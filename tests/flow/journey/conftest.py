"""An agent that runs on and on, a provider in trouble, and a sidecar that watches: what the journeys share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from trimtab_tracer.settings import Settings
from trimtab_tuner.client import Client, connect
from trimtab_tuner.provider import Provider, Scenario

FLOW = Path(__file__).parent.parent
OBEYED_WITHIN_S = 2
"""What is promised: a decision is obeyed by every run that begins this long after it."""
PATIENCE_S = 60
SECOND = 10**9
T = TypeVar("T")


def wait_for(look: Callable[[], T | None]) -> T:
    """What ``look`` returns once it is true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end, f"{look} did not come true in {PATIENCE_S} s"
        time.sleep(0.1)
    return found


def start(command: list[str], output: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process with its output in a file."""
    with output.open("wb") as file:
        return subprocess.Popen(
            command, env=environment, cwd=output.parent, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One run of the agent, as it printed it."""

    begun_ns: int
    is_ok: bool
    said: str


class World:
    """The agent is started once and never again; the sidecar may come and go."""

    wait_for = staticmethod(wait_for)

    def __init__(self, home: Path, provider: Provider, **variables: str) -> None:
        self.home = home
        kept = {k: v for k, v in os.environ.items() if not re.match(r"TRIMTAB_|ANTHROPIC_|(?i:\w+_proxy$)", k)}
        self._environment = kept | {
            "TRIMTAB_HOME": str(home),
            "TRIMTAB_DASHBOARD_PORT": "0",
            # Rarely enough that the sidecar, which has news all the time, does little else than what is looked at.
            "TRIMTAB_COLLECT_INTERVAL_S": "2",
            "TRIMTAB_ANALYZE_INTERVAL_S": "6",
            "ANTHROPIC_BASE_URL": provider.url,
            "ANTHROPIC_API_KEY": "scripted",
            **variables,
        }
        program = FLOW / "programs" / "triage_forever.py"
        self.agent = start([sys.executable, str(program), str(home / "stop")], home / "agent.log", self._environment)
        self.sidecar: subprocess.Popen[bytes]

    def watch(self, *options: str) -> Client:
        """Start a sidecar; returns a client of it."""
        command = [sys.executable, "-m", "trimtab", "up", "--port", "0", *options]
        self.sidecar = start(command, self.home / "up.log", self._environment)
        self.client = wait_for(lambda: connect(Settings.resolve(home=self.home), actor="Grace"))
        return self.client

    def end(self) -> None:
        """Stop both processes."""
        (self.home / "stop").touch()
        for process in (self.agent, self.sidecar):
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def lines(self) -> list[Line]:
        """What the agent has printed so far."""
        text = (self.home / "agent.log").read_text()
        rows = [line.split(" ", 2) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [Line(int(begun), state == "ok", said.strip()) for begun, state, said in rows if begun.isdecimal()]

    def runs_after(self, since_ns: int, count: int = 3) -> list[bool]:
        """How the first runs went that began :data:`OBEYED_WITHIN_S` after ``since_ns``."""

        def later() -> list[bool]:
            return [line.is_ok for line in self.lines() if line.begun_ns > since_ns + OBEYED_WITHIN_S * SECOND]

        wait_for(lambda: len(later()) >= count)
        return later()[:count]

    def runs_after_decision(self, action: str) -> list[bool]:
        """The same, after the last decision of this kind."""
        return self.runs_after(self.audit(action)[0]["at_ns"])

    def audit(self, action: str) -> list[dict[str, Any]]:
        """Decisions of this kind, the latest first."""
        return [row for row in self.client.pages("/v1/audit") if row["action"] == action]

    def recommendation(self, knob: str) -> dict[str, Any]:
        """The one for this knob, once it is there."""

        def found() -> dict[str, Any] | None:
            return next((r for r in self.client.pages("/v1/recommendations") if r["knob"] == knob), None)

        return wait_for(found)


@contextmanager
def world_in(home: Path, **variables: str) -> Iterator[World]:
    """A world whose large model is overloaded for good."""
    with Provider(Scenario.load(FLOW / "scenarios" / "overloaded.toml")) as provider:
        world = World(home, provider, **variables)
        try:
            yield world
        finally:
            world.end()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The agent fails, and runs on; the sidecar watches and shows its dashboard."""
    with world_in(tmp_path) as world:
        world.watch()
        yield world


@pytest.fixture
def short_lived(tmp_path: Path) -> Iterator[World]:
    """The same with a policy that holds for a few seconds after it was issued, and without a dashboard."""
    with world_in(tmp_path, TRIMTAB_POLICY_LIFETIME_S="6") as world:
        world.watch("--no-dashboard")
        yield world
