"""Reads ``agents.toml``: which agents there are, and where and how each of them runs.

In: the file. Out: one :class:`Case` per agent and environment. An unknown key or a missing file stops with a sentence,
for a misspelt setting must not make an agent pass.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

KEYS = {"environments", "packages", "script", "arguments", "scenario", "constant_site", "spans", "ci"}


@dataclass(frozen=True, slots=True)
class Case:
    """One agent in one environment."""

    name: str
    script: Path
    arguments: tuple[str, ...]
    environment: str
    scenario: Path
    packages: tuple[str, ...]
    """Distributions whose versions the table shows."""
    constant_site: bool
    """Whether the framework owns the loop, so that all calls of an agent come from one line."""
    spans: bool
    """Whether the agent has an OpenTelemetry provider, to which SDKs and frameworks send spans of their own."""
    ci: bool
    """Whether it belongs to the representative set."""


def read_cases(folder: Path) -> list[Case]:
    """Every case of ``folder/agents.toml``, in its order.

    Raises:
        SystemExit: The file names an agent, a scenario or an environment that is not there, or has an unknown key.
    """
    cases = []
    for name, table in tomllib.loads((folder / "agents.toml").read_text()).items():
        if unknown := set(table) - KEYS:
            raise SystemExit(f"agents.toml: [{name}] has unknown keys {sorted(unknown)}; known are {sorted(KEYS)}.")
        script = folder / "agents" / f"{table.get('script', name)}.py"
        scenario = folder / "agents" / "scenarios" / f"{table.get('scenario', 'shop')}.toml"
        files = [script, scenario, *(folder / "environments" / f"{e}.txt" for e in table["environments"])]
        for file in files:
            if not file.is_file():
                raise SystemExit(f"agents.toml: [{name}] needs {file}, which does not exist.")
        for environment in table["environments"]:
            flags = table.get("constant_site", False), table.get("spans", False), environment in table.get("ci", ())
            arguments, packages = tuple(table.get("arguments", ())), tuple(table["packages"])
            cases.append(Case(name, script, arguments, environment, scenario, packages, *flags))
    return cases
