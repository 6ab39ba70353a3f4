"""Who is measured, and the environments that the peers need.

In: names. Out: :class:`Subject` with the interpreter that it runs in. A peer's environment is made once, with pip, from
the versions pinned in `benchmarks/environments/`, and used again until that file changes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PINS = Path(__file__).parent.parent / "environments"

RULES: dict[str, list[dict[str, Any]]] = {
    "trimtab, no matching rule": [{"knob": "model", "match": {"model": "another"}, "value": "gpt-4o-mini"}],
    "trimtab, steering": [
        {"knob": "model", "match": {"model": "gpt-4o"}, "value": "gpt-4o-mini"},
        {"knob": "max_retries", "match": {}, "value": 3},
    ],
}
"""Policies of those subjects that have one: the second rewrites every body and takes over the retries."""


@dataclass(frozen=True)
class Subject:
    """One way to run the agent."""

    name: str
    switch: str
    """Name of a function in switches.py."""
    environment: str | None = None
    """Name of a file of pins; None for the interpreter that runs the benchmark."""
    has_sidecar: bool = False
    """Whether `trimtab up` serves its home."""
    keeps_content: bool = False
    """Whether it is a peer that captures prompts and answers, which are what the targets compare with."""


BARE = Subject("bare", "bare")
TRIMTAB = Subject("trimtab beside its sidecar", "trimtab", has_sidecar=True)
ALONE = Subject("trimtab, sidecar absent", "trimtab")
OURS = (TRIMTAB, ALONE, *(Subject(name, "trimtab", has_sidecar=True) for name in RULES))
PEERS = (
    Subject("OpenTelemetry httpx2 (no content)", "otel_httpx", "otel"),
    Subject("OpenTelemetry GenAI", "otel_genai", "otel", keeps_content=True),
    Subject("OpenInference", "openinference", "openinference", keeps_content=True),
    Subject("Langfuse 5", "langfuse", "langfuse", keeps_content=True),
)


def python_of(subject: Subject, environments: Path) -> str:
    """The interpreter of the subject's environment, made where it is missing or its pins have changed."""
    if subject.environment is None:
        return sys.executable
    pins = PINS / f"{subject.environment}.txt"
    home = environments / subject.environment
    python, made_from = home / "bin" / "python", home / "pins.txt"
    if not made_from.exists() or made_from.read_text() != pins.read_text():
        print(f"making the environment of {subject.name} in {home}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(pins)], check=True)
        made_from.write_text(pins.read_text())
    return str(python)


def variables_of(home: Path) -> dict[str, str]:
    """A subject's environment variables."""
    # Byte code is written, as it is by every installer: else start-up would measure the compiler.
    others = ("TRIMTAB_", "OTEL_", "LANGFUSE_", "PYTHONDONTWRITEBYTECODE")
    ours = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return ours | {"TRIMTAB_HOME": str(home)}
