"""The whole turn as a demonstration: an agent fails, trimtab says why, one change is accepted, the agent fails less.

In: a folder without a store. Out: a :class:`Result` while everything still runs, and in the folder the store, the
agent's code, every process's output and the report. Nothing is faked on the way: the agent's file is copied and run as
a user would run it, its requests go over a socket, the sidecar collects its spool, the decision goes through the
control API, the second day's agents read the policy that it published, and all figures come from the sidecar's API.
Every process is ended when the block is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trimtab_tracer.settings import Settings

from ..client import Client
from ..home import read_note
from .processes import Children
from .stage import START_S, Stage
from .tickets import TICKETS, Ticket, work

SEEDS = (56, 57)
"""Seeds of the provider's bad moments, before and after the change."""
KNOB = "max_retries"
"""Whose recommendation the demonstration accepts."""
WHY = "The demonstration accepts it: two runs were lost to errors that a second request would have got over."
COLLECT_S = 30.0
"""How long the sidecar may take to collect and analyse after the last agent ended."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Day:
    """All tickets once, with one seed of the provider's bad moments."""

    seed: int
    tickets: tuple[Ticket, ...]
    requests: int
    """In the provider's own log."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the demonstration showed. Amounts are list prices of made-up tokens."""

    home: Path
    agent: Path
    html: Path
    dashboard: str
    """One-time link; good as long as the demonstration runs."""
    provider: str
    """Address of the second day's provider."""
    seconds: float
    before: Day
    after: Day
    attempts: int
    """Requests of both days in the store."""
    report: dict[str, Any]
    """Of the first day, as ``trimtab report --json`` prints it."""
    recommendation: dict[str, Any]
    """As it reads after it was accepted and obeyed."""
    comparison: dict[str, Any]
    """Before and after, from the store; an association."""
    synthetic: bool = field(default=True, init=False)

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


@contextmanager
def demonstration(home: Path, say: Say) -> Iterator[Result]:
    """Run the demonstration in ``home``, a folder that holds no store yet; ``say`` is told what happens.

    Inside the block sidecar, dashboard and provider still run.

    Raises:
        TrimtabError: the folder is in use or can't be written, or a process did not come up in time.
        KeyboardInterrupt: interrupted; everything is ended by then.
    """
    started = time.monotonic()
    with Children() as children:
        stage = Stage(home, children)
        say("starting the scripted provider and the sidecar")
        url = stage.provider(SEEDS[0])
        client = stage.sidecar()
        say(f"the support desk works on {len(TICKETS)} tickets")
        before = _day(stage, client, url, 0)
        report = client.get("/v1/report")
        html = _page(stage)
        say(f"accepting what trimtab recommends for {KNOB}")
        recommendation = _accept(stage, client)
        url = stage.provider(SEEDS[1])
        say(f"the support desk works on {len(TICKETS)} tickets again, with other seeds")
        after = _day(stage, client, url, 1)
        say("opening the dashboard")
        identity = recommendation["recommendation_id"]
        yield Result(
            home=stage.home,
            agent=stage.agent,
            html=html,
            dashboard=_dashboard(stage, client),
            provider=url,
            seconds=round(time.monotonic() - started, 1),
            before=before,
            after=after,
            attempts=client.get("/v1/report")["totals"]["attempts"],
            report=report,
            recommendation=client.get(f"/v1/recommendations/{identity}"),
            comparison=client.get(f"/v1/recommendations/{identity}/before-after"),
        )


def _day(stage: Stage, client: Client, url: str, number: int) -> Day:
    """All tickets, collected and analysed."""
    tickets = work(stage, url, number + 1)
    expected = len(TICKETS) * (number + 1)
    stage.wait_for("the analysis", COLLECT_S, lambda: _is_settled(client, expected), "up")
    return Day(SEEDS[number], tickets, len(stage.request_log(SEEDS[number]).read_text().splitlines()))


def _is_settled(client: Client, runs: int) -> bool:
    """Whether every run has ended in the store and was analysed after that."""
    found = list(client.pages("/v1/runs"))
    if len(found) < runs or any(run["status"] == "running" for run in found):
        return False
    seen = time.time_ns()
    end = time.monotonic() + COLLECT_S
    while (client.get("/v1/health")["analysis"]["ok_ns"] or 0) < seen and time.monotonic() < end:
        time.sleep(0.1)
    return True


def _page(stage: Stage) -> Path:
    """The report as one HTML file."""
    html = stage.folder / "report.html"
    process = stage.start("report", "-m", "trimtab", "report", "--home", str(stage.home), "--html", str(html))
    stage.wait_for("the report", START_S, lambda: process.poll() == 0 and html.exists(), "report", process)
    return html


def _accept(stage: Stage, client: Client) -> dict[str, Any]:
    """Accept the recommendation for :data:`KNOB`, as a person would in the dashboard."""

    def proposed() -> dict[str, Any] | None:
        rows = client.pages("/v1/recommendations", status="proposed")
        return next((row for row in rows if row["knob"] == KNOB), None)

    row = stage.wait_for(f"a recommendation for {KNOB}", COLLECT_S, proposed, "up")
    target = f"/v1/recommendations/{row['recommendation_id']}/accept"
    accepted: dict[str, Any] = client.post(target, {"version": row["version"], "why": WHY})
    return accepted


def _dashboard(stage: Stage, client: Client) -> str:
    """A one-time link to the dashboard, once that answers."""
    address = stage.wait_for("the dashboard", START_S, lambda: _answering(stage.home), "up")
    return f"{address}/login?code={client.post('/v1/login-codes', {})['code']}"


def _answering(home: Path) -> str | None:
    note = read_note(Settings.resolve(home=home))
    if note is None or note.dashboard_url is None:
        return None
    parts = urlsplit(note.dashboard_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/_stcore/health")
        with closing(connection.getresponse()) as response:
            return note.dashboard_url if response.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
