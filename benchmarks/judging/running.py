"""Runs one agent as its user would, against a scripted provider of its own.

In: the agent's file, a Python, a scenario, a home. Out: :class:`Ran`: how it ended, and the provider's log of what it
was asked, which is the truth that the tracer's records are compared with. An agent that does not end is stopped, and
that is its result.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab_tuner.provider import LogEntry, Provider, Scenario

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = Path(__file__).with_name("under_trimtab.py")
LIMIT_S = 180.0
"""How long an agent may take."""


@dataclass(frozen=True, slots=True)
class Ran:
    """An agent that ended."""

    exit_code: int | None
    """None: it was stopped after :data:`LIMIT_S`."""
    stdout: str
    stderr: str
    log: tuple[LogEntry, ...]


def environment(url: str, home: Path) -> dict[str, str]:
    """Variables of an agent: every SDK finds the provider, no framework phones, our own errors are not swallowed."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "SSL_CERT_FILE") if name in os.environ}
    urls = {
        **dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), f"{url}/v1"),
        **dict.fromkeys(("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE", "GOOGLE_GEMINI_BASE_URL", "OLLAMA_HOST"), url),
        **dict.fromkeys(("MISTRAL_BASE_URL", "MISTRAL_API_BASE"), url),
        "GEMINI_API_BASE": url,
    }
    keys = {f"{name}_API_KEY": "sk-scripted-0123456789" for name in ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL")}
    off = dict.fromkeys(
        ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "CREWAI_TRACING_ENABLED", "ANONYMIZED_TELEMETRY"), "false"
    )
    on = dict.fromkeys(
        (
            "OPENAI_AGENTS_DISABLE_TRACING", "CREWAI_DISABLE_TELEMETRY", "CREWAI_DISABLE_TRACKING",
            "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK",
        ),
        "1",
    )  # fmt: skip
    return {
        **kept, **urls, **keys, **off, **on,
        "HOME": str(home),
        "MISTRAL_SDK_TELEMETRY": "global",  # spans for the program's own provider, and for nobody where it has none
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OTEL_TRACES_EXPORTER": "none",
        "NO_PROXY": "*",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONHASHSEED": "0",
        "TRIMTAB_HOME": str(home / "trimtab"),
        "TRIMTAB_STRICT": "1",
    }  # fmt: skip


def run(
    command: Sequence[str | Path],
    python: Path,
    scenario: Scenario,
    home: Path,
    extra: Mapping[str, str] | None = None,
) -> Ran:
    """Run ``command``, an agent's absolute path and its arguments; ``extra`` variables win over :func:`environment`."""
    home.mkdir(parents=True, exist_ok=True)
    with Provider(scenario) as provider:
        process = subprocess.Popen(
            [python, LAUNCHER, *command],
            cwd=home,
            env={**environment(provider.url, home), "PYTHONPATH": str(ROOT / "tracer"), **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        exit_code: int | None
        try:
            stdout, stderr = process.communicate(timeout=LIMIT_S)
            exit_code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            exit_code = None
        return Ran(exit_code, stdout, stderr, provider.log.entries)
