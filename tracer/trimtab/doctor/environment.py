"""The packages of an environment, with what is known about each of them.

In: this interpreter, or another one that is asked by running it. Out: one row per known package that is installed.
An interpreter that can't be run or does not answer raises :class:`~trimtab_tracer.errors.TrimtabError`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trimtab_tracer.errors import SettingsError, TrimtabError

from .known import HAZARD, PROGRAMS, RULES, SDK, TABLE, UNSEEN, Known, find, version_of

TIMEOUT_S = 60
"""Longest that another interpreter may take to list its packages."""
OLDEST = (3, 11)
"""Oldest Python that the tracer runs on."""
ASK = """
import json, sys
from importlib import metadata
found = [[d.metadata["Name"], d.version] for d in metadata.distributions() if d.metadata["Name"]]
print(json.dumps({"python": list(sys.version_info[:3]), "executable": sys.executable, "packages": found}))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    package: str
    version: str
    kind: str
    transport: str
    verdict: str
    advice: str


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter and its packages."""

    executable: str
    python: tuple[int, ...]
    packages: dict[str, str]
    """Version by normalised name."""

    @property
    def is_too_old(self) -> bool:
        """Whether the tracer does not run on this Python."""
        return self.python < OLDEST


def read(python: str | None) -> Environment:
    """The environment of the interpreter ``python`` (a file, a command, or a virtual environment's folder), or ours.

    Raises:
        TrimtabError: it can't be run.
    """
    executable = _executable(python) if python is not None else sys.executable
    try:
        done = subprocess.run([executable, "-c", ASK], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        told = json.loads(done.stdout.strip().splitlines()[-1])
        packages = {normal(name): str(version) for name, version in reversed(told["packages"])}
        return Environment(told["executable"] or executable, tuple(told["python"]), packages)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise TrimtabError(f"{executable}: can't list its packages: {said[-1] if said else error}.") from None
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, IndexError) as error:
        raise TrimtabError(
            f"{executable}: can't be asked for its packages: {error}. Name a Python of version 3.8 or newer."
        ) from None


def _executable(python: str) -> str:
    path = Path(python)
    if path.is_dir():
        inside = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not inside.exists():
            raise SettingsError(f"--python {python}: this folder is no virtual environment: there is no {inside}.")
        return str(inside)
    found = shutil.which(python)
    if found is None:
        raise SettingsError(f"--python {python}: there is no such program.")
    return found


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def rows(environment: Environment) -> list[Row]:
    """What is known of the installed packages, in the table's order."""
    installed = frozenset(environment.packages)
    found: list[tuple[int, Row]] = []
    for package, version in sorted(environment.packages.items()):
        known = _broken(package, version, installed) or find(package, version, installed)
        if known is not None:
            place = TABLE.index(known) if known in TABLE else -1
            found.append((place, Row(package, version, known.kind, known.transport, known.verdict, known.advice)))
    return [row for _, row in sorted(found, key=lambda each: each[0])]


def _broken(package: str, version: str, installed: frozenset[str]) -> Known | None:
    """A row for a package that lacks what its version needs."""
    for name, since, needed, advice in RULES:
        if name == package and version_of(version) >= since and needed not in installed:
            return Known(package, SDK, needed, HAZARD, advice)
    return None


def programs() -> list[Row]:
    """Agents on the PATH that are programs of their own."""
    advice = "its requests are made in a process of its own; they are not seen when an agent starts it"
    return [
        Row(name, "", "program", "subprocess", UNSEEN, f"{title}: {advice}")
        for name, title in PROGRAMS
        if shutil.which(name)
    ]
