"""One demonstration from start to end: provider, sidecar and agent as processes of their own, then what trimtab says.

In: a folder without a store. Out: a :class:`Result`, and in the folder the store, the agent's code, every process's
output and the report. Nothing is faked on the way: the agent's file is copied and run as a user would run it, its
requests go over a socket, the sidecar collects its spool, and all figures come from the sidecar's API. What does not
come up in time raises :class:`~trimtab_tracer.errors.TrimtabError` with the end of that process's output; every
process is ended in any case.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

from trimtab_tracer.errors import SidecarError, TrimtabError
from trimtab_tracer.settings import Settings

from ..client import Client, connect
from ..home import prepare
from .processes import Children

TICKETS = (
    "Order A-1001: where is my parcel?",
    "Order A-1002: when will the tea pot be here?",
    "Order A-1003: the shelf came with a scratch. What can I do?",
    "Order A-1004: can I still change the address?",
    "Do you ship to Norway?",
    "Order A-1006: the tea pot never came, I want my money back.",
    "I lost my order number, my name is Ida Lund.",
    "Order A-1008: has the knife been sent?",
)
"""What customers ask; each is one run of the agent. ``scenario.toml`` answers them."""

AT_ONCE = 4
"""Agents that run at the same time."""
START_S = 30.0
"""How long provider and sidecar may take to listen."""
AGENTS_S = 60.0
"""How long all agents together may take."""
COLLECT_S = 20.0
"""How long the sidecar may take to collect and analyse after the last agent ended."""

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ticket:
    """One run of the agent, as its process showed it."""

    text: str
    exit_code: int
    said: str
    """Last line of its output: the reply, or the exception."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the demonstration showed. Amounts are list prices of made-up tokens."""

    home: Path
    agent: Path
    html: Path
    seconds: float
    tickets: tuple[Ticket, ...]
    requests: int
    """In the provider's own log."""
    attempts: int
    """In the store."""
    report: dict[str, Any]
    """As ``trimtab report --json`` prints it."""
    synthetic: bool = field(default=True, init=False)

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


def run(home: Path, say: Say) -> Result:
    """Run the demonstration in ``home``, a folder that holds no store yet; ``say`` is told what happens.

    Raises:
        TrimtabError: the folder is in use or can't be written, or a process did not come up in time.
        KeyboardInterrupt: interrupted; everything is ended by then.
    """
    started = time.monotonic()
    stage = Stage(home)
    with Children() as children:
        say("starting the scripted provider and the sidecar")
        provider = stage.start(children, "provider", *_PROVIDER, str(stage.scenario), "--log", str(stage.request_log))
        sidecar = stage.start(children, "up", "-m", "trimtab", "up", "--port", "0", "--home", str(home))
        url = wait_for("the provider", START_S, lambda: stage.address(provider), stage.output("provider"), provider)
        client = wait_for("the sidecar", START_S, lambda: _connect(home), stage.output("up"), sidecar)
        say(f"the support desk works on {len(TICKETS)} tickets, {AT_ONCE} at a time")
        tickets = work(children, stage, url)
        say("collecting and analysing")
        wait_for("the analysis", COLLECT_S, lambda: is_settled(client), stage.output("up"), sidecar)
        say("writing the report")
        html = stage.folder / "report.html"
        report = stage.start(children, "report", "-m", "trimtab", "report", "--home", str(home), "--html", str(html))
        wait_for("the report", START_S, lambda: report.poll() == 0 and html.exists(), stage.output("report"), report)
        return gather(client, stage, tickets, html, started)


_PROVIDER = ("-m", "trimtab", "provider", "--port", "0", "--scenario")


class Stage:
    """The folder of a demonstration, and how processes are started in it."""

    def __init__(self, home: Path) -> None:
        prepare(home)
        if (home / "trimtab.duckdb").exists():
            raise TrimtabError(f"{home} already holds a store; name a folder of its own for the demo with --home.")
        self.home = home
        self.folder = home / "demo"
        self.folder.mkdir(parents=True, exist_ok=True)
        files = resources.files(__package__)
        self.agent = self.folder / "support_desk.py"
        self.scenario = self.folder / "scenario.toml"
        for path in (self.agent, self.scenario):
            with resources.as_file(files / path.name) as source:
                shutil.copyfile(source, path)
        self.request_log = self.folder / "requests.jsonl"

    def output(self, name: str) -> Path:
        """Where the process called ``name`` writes."""
        return self.folder / f"{name}.log"

    def start(self, children: Children, name: str, *arguments: str, **variables: str) -> Popen[bytes]:
        """Start this Python with ``arguments`` in the folder, in an environment that only the demo has set up."""
        # A user's proxy, keys and settings must not reach the agent: everything it needs is on the loopback.
        kept = {k: v for k, v in os.environ.items() if not re.match(r"TRIMTAB_|OPENAI_|(?i:\w+_proxy$)", k)}
        mine = {"TRIMTAB_HOME": str(self.home), "TRIMTAB_ANALYZE_INTERVAL_S": "0.5", "PYTHONUNBUFFERED": "1"}
        return children.start(
            [sys.executable, *arguments], cwd=self.folder, env=kept | mine | variables, output=self.output(name)
        )

    def address(self, _: Popen[bytes]) -> str | None:
        """Where the provider listens, once it says so."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self.output("provider").read_text())
        return found[0] if found else None


def wait_for(what: str, timeout_s: float, look: Callable[[], T | None], output: Path, process: Popen[bytes]) -> T:
    """What ``look`` returns once it is neither None nor False.

    Raises:
        TrimtabError: the process ended with an error, or nothing came in time; quotes the end of its output.
    """
    end = time.monotonic() + timeout_s
    while not (found := look()):
        late = time.monotonic() > end
        if late or process.poll() not in (None, 0):
            why = f"was not there after {timeout_s:.0f} s" if late else f"ended with exit code {process.returncode}"
            tail = " / ".join(output.read_text(errors="replace").splitlines()[-3:]) or "nothing"
            raise TrimtabError(f"The demo stopped: {what} {why}. It said: {tail}. Everything it said is in {output}.")
        time.sleep(0.05)
    return found


def _connect(home: Path) -> Client | None:
    try:
        return connect(Settings.resolve(home=home))
    except SidecarError:  # it is there but does not answer yet
        return None


def work(children: Children, stage: Stage, url: str) -> tuple[Ticket, ...]:
    """Run the agent once for each ticket, a few at a time, and tell how each ended."""
    variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "scripted", "TRIMTAB_SERVICE": "support-desk"}
    end = time.monotonic() + AGENTS_S
    agents: list[Popen[bytes]] = []
    while len(agents) < len(TICKETS) or any(agent.poll() is None for agent in agents):
        if len(agents) < len(TICKETS) and sum(agent.poll() is None for agent in agents) < AT_ONCE:
            name, text = f"agent-{len(agents) + 1}", TICKETS[len(agents)]
            agents.append(stage.start(children, name, str(stage.agent), text, **variables))
        elif time.monotonic() > end:
            raise TrimtabError(
                f"The demo stopped: the agents were not done after {AGENTS_S:.0f} s. See {stage.folder}."
            )
        else:
            time.sleep(0.02)
    tickets = []
    for number, (text, agent) in enumerate(zip(TICKETS, agents, strict=True), 1):
        lines = stage.output(f"agent-{number}").read_text(errors="replace").splitlines() or [""]
        tickets.append(Ticket(text, agent.returncode, lines[-1]))
    return tuple(tickets)


def is_settled(client: Client) -> bool:
    """Whether every run has ended in the store and was analysed after that."""
    runs = list(client.pages("/v1/runs"))
    if len(runs) < len(TICKETS) or any(run["status"] == "running" for run in runs):
        return False
    seen = time.time_ns()
    end = time.monotonic() + COLLECT_S
    while (client.get("/v1/health")["analysis"]["ok_ns"] or 0) < seen and time.monotonic() < end:
        time.sleep(0.1)
    return True


def gather(client: Client, stage: Stage, tickets: tuple[Ticket, ...], html: Path, started: float) -> Result:
    """Everything that is shown, from the sidecar's API."""
    report = client.get("/v1/report")
    return Result(
        home=stage.home,
        agent=stage.agent,
        html=html,
        seconds=round(time.monotonic() - started, 1),
        tickets=tickets,
        requests=len(stage.request_log.read_text().splitlines()),
        attempts=report["totals"]["attempts"],
        report=report,
    )
