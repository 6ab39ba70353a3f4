"""Real frameworks, each in the environment that has it: an agent runs as a process of its own and is judged from here.

Frameworks exclude each other, and none of their environments has the sidecar. So the agent runs with the Python of such
an environment, ``trimtab`` comes to it by path, and what it spooled is collected by this process. An environment is
named by ``TRIMTAB_FRAMEWORK_PYTHON_<NAME>`` (the path of its Python); without it, this process's own Python is taken
where it has the framework, and the test skips where it has not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.collect import Collector
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Provider, Scenario

HERE = Path(__file__).parent
TRACER = HERE.parents[1] / "tracer"
TIMEOUT_S = 120

SCENARIO: dict[str, Any] = {
    "rules": [
        {"step": 0, "tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 3}}]},
        {"step": 1, "tool_calls": [{"name": "divide", "arguments": {"a": 1, "b": 0}}]},
        {"text": "The answer is 5."},
    ]
}
"""A tool that works, one that raises, an answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store holds of an agent that ran."""

    script: Path
    stdout: str
    tools: list[dict[str, Any]]
    """Tool calls in the order they began, with file, function and line of the tool's definition."""
    decisions: list[dict[str, Any]]
    """Decisions of runs, with the value and the line they are pinned to."""
    requests: int
    """Tool calls that the provider asked for."""

    def line_of(self, mark: str) -> int:
        """Number of the script's line that ends in ``# <mark>``."""
        lines = self.script.read_text(encoding="utf-8").splitlines()
        (number,) = [n for n, line in enumerate(lines, 1) if line.endswith(f"# {mark}")]
        return number


@pytest.fixture
def observe(tmp_path: Path) -> Callable[..., Seen]:
    """Run ``agents/<name>.py`` in the environment that has ``package``; gives what was seen of it."""

    def run(name: str, environment: str, package: str, scenario: dict[str, Any] = SCENARIO) -> Seen:
        python = _python(environment, package)
        script = HERE / "agents" / f"{name}.py"
        with Provider(Scenario.from_dict(scenario)) as provider:
            done = subprocess.run(
                [python, str(script)],
                cwd=script.parent,
                env=_variables(provider.url, tmp_path),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            asked = sum(len(entry.tool_calls) for entry in provider.log.entries)
        assert done.returncode == 0, done.stderr[-4000:]
        return _collected(script, tmp_path, done.stdout, asked)

    return run


def _python(environment: str, package: str) -> str:
    variable = f"TRIMTAB_FRAMEWORK_PYTHON_{environment.upper()}"
    if python := os.environ.get(variable):
        if not Path(python).is_file():
            pytest.fail(f"{variable} is {python!r}, which is no file; it names the Python of an environment")
        return python
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed here; set {variable} to the Python of an environment that has it")
    return sys.executable


def _variables(url: str, home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "PYTHONPATH": str(TRACER),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": "sk-frameworks-0123456789abcdefghij",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-ant-frameworks-0123456789abcdefghij",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "CREWAI_DISABLE_TELEMETRY": "true",
        "OTEL_SDK_DISABLED": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
        "NO_PROXY": "*",
        "TRIMTAB_HOME": str(home / "home"),
        "TRIMTAB_STRICT": "1",
    }


def _collected(script: Path, folder: Path, stdout: str, asked: int) -> Seen:
    settings = Settings.resolve(home=folder / "home")
    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
        tools = _rows(
            store,
            """SELECT t.*, s.file, s.function, s.line FROM tool_calls t LEFT JOIN sites s USING (site_id)
            ORDER BY t.started_ns, t.tool_id""",
        )
        decisions = _rows(
            store,
            """SELECT d.knob, d.value, d.source, s.file, s.line FROM decisions d JOIN sites s USING (site_id)
            WHERE d.call_id IS NULL ORDER BY d.decided_ns""",
        )
    for decision in decisions:
        decision["value"] = json.loads(decision["value"])
    return Seen(script, stdout, tools, decisions, asked)


def _rows(store: Store, sql: str) -> list[dict[str, Any]]:
    result = store.cursor().execute(sql)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
