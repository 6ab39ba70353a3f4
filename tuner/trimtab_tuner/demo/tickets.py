"""The support desk's day: eight tickets, each worked on by an agent in a process of its own.

In: a stage and the address of a provider. Out: how each agent ended, as its process showed it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from subprocess import Popen

from trimtab_tracer.errors import TrimtabError

from .stage import Stage

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
AGENTS_S = 90.0
"""How long all agents together may take."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One run of the agent, as its process showed it."""

    text: str
    exit_code: int
    said: str
    """Last line of its output: the reply, or the exception."""


def environment(url: str) -> dict[str, str]:
    """Variables with which the agent finds the provider at ``url``."""
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "scripted", "TRIMTAB_SERVICE": "support-desk"}


def work(stage: Stage, url: str, day: int) -> tuple[Ticket, ...]:
    """Run the agent once for each ticket, a few at a time, and tell how each ended.

    Raises:
        TrimtabError: they were not done in time.
    """
    end = time.monotonic() + AGENTS_S
    agents: list[Popen[bytes]] = []
    while len(agents) < len(TICKETS) or any(agent.poll() is None for agent in agents):
        if len(agents) < len(TICKETS) and sum(agent.poll() is None for agent in agents) < AT_ONCE:
            number = len(agents)
            agents.append(stage.start(_name(day, number), str(stage.agent), TICKETS[number], **environment(url)))
        elif time.monotonic() > end:
            raise TrimtabError(
                f"The demo stopped: the agents were not done after {AGENTS_S:.0f} s. See {stage.folder}."
            )
        else:
            time.sleep(0.02)
    return tuple(_ticket(stage, day, number, agent.returncode) for number, agent in enumerate(agents))


def _name(day: int, number: int) -> str:
    return f"agent-{day}-{number + 1}"


def _ticket(stage: Stage, day: int, number: int, exit_code: int) -> Ticket:
    lines = stage.output(_name(day, number)).read_text(errors="replace").splitlines() or [""]
    return Ticket(TICKETS[number], exit_code, lines[-1])
