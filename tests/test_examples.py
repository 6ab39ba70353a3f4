"""The example programs run as they stand, and the store has what they did: run, calls, tool, each on its line."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from trimtab_tracer.collect import Collector
from trimtab_tracer.records import Decision, Outcome, RunStart, ToolRun
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import read_segment
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Provider, Scenario

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
MARK = "# every call is pinned here"

AGENTS = {
    "loop_by_hand": ("dev", "httpx", "kettle"),
    "openai_chat": ("dev", "openai", "kettle"),
    "anthropic_messages": ("dev", "anthropic", "kettle"),
    "langgraph_agent": ("dev", "langgraph", "kettle"),
    "openai_agents": ("dev", "agents", "kettle"),
    "mcp_tools": ("dev", "mcp", "kettle"),
    "pydantic_ai_agent": ("modern", "pydantic_ai", "kettle"),
    "google_genai_agent": ("modern", "google.genai", "kettle"),
    "mistral_loop": ("modern", "mistralai", "kettle"),
    "ollama_loop": ("modern", "ollama", "kettle"),
    "litellm_loop": ("legacy", "litellm", "kettle"),
    "smolagents_agent": ("legacy", "smolagents", "kettle_smolagents"),
    "llama_index_agent": ("legacy", "llama_index", "kettle"),
    "dspy_react": ("legacy", "dspy", "kettle_dspy"),
    "crewai_crew": ("crewai", "crewai", "kettle"),
    "autogen_agent": ("autogen", "autogen_agentchat", "kettle"),
    "ag2_agent": ("ag2", "ag2", "kettle"),
}
"""Script: the environment of benchmarks/environments that has its framework (``dev``: this one), its module,
and the scenario that answers it."""


def test_say_more_records_run_outcome_tool_and_knob(tmp_path: Path) -> None:
    """The example's run, its outcome, its tool's execution and its knob are in the spool, each once."""
    with Provider(Scenario.load(EXAMPLES / "scenarios" / "tool_loop.toml")) as provider:
        environment = os.environ | {
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "OPENAI_API_KEY": "any",
            "TRIMTAB_HOME": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, EXAMPLES / "say_more.py"], env=environment, capture_output=True, text=True, check=True
        )
    assert (done.stdout, done.stderr) == ("The answer is 5.\n", "")
    records = [r.record for segment in (tmp_path / "spool").iterdir() for r in read_segment(segment)]
    kinds = Counter(type(r) for r in records)
    assert (kinds[RunStart], kinds[Outcome], kinds[ToolRun]) == (1, 1, 1)
    knobs = {r.knob: r.value for r in records if isinstance(r, Decision)}
    assert knobs["max_steps"] == 4


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_in_the_store(name: str, tmp_path: Path) -> None:
    """One run; each of its requests is one call, on the marked line of the example; its tool ran once and was seen."""
    environment, module, scenario = AGENTS[name]
    python = _python(environment, module)
    script = EXAMPLES / f"{name}.py"
    with Provider(Scenario.load(EXAMPLES / "scenarios" / f"{scenario}.toml")) as provider:
        variables = _variables(provider.url, tmp_path)
        done = subprocess.run(
            [python, script], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        requests = len(provider.log.entries)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.rstrip().endswith("Your kettle is in Oslo.")
    lines = script.read_text(encoding="utf-8").splitlines()
    (marked,) = [number for number, line in enumerate(lines, 1) if line.endswith(MARK)]
    runs, calls, tools = _stored(tmp_path / "home")
    assert 1 == len(runs)
    assert [(script.name, marked)] * requests == calls
    assert [("lookup_order", "observed")] == tools


def test_every_example_is_tested() -> None:
    """Each program in the folder is one of those above, or what one of them starts."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*AGENTS, "say_more", "mcp_server"}


def _python(environment: str, module: str) -> str:
    """The Python that has the framework; skips where there is none."""
    if environment != "dev":
        variable = f"TRIMTAB_FRAMEWORK_PYTHON_{environment.upper()}"
        if python := os.environ.get(variable):
            return python
        pytest.skip(f"{module} has an environment of its own; set {variable} to its Python")
    assert importlib.util.find_spec(module) is not None, f"{module} belongs to the dev extra"
    return sys.executable


def _variables(url: str, folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "tracer"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": "any",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "any",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": "any",
        "MISTRAL_BASE_URL": url,
        "MISTRAL_API_KEY": "any",
        "OLLAMA_HOST": url,
        # What frameworks would tell their makers stays here.
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "CREWAI_DISABLE_TELEMETRY": "true",
        "OTEL_SDK_DISABLED": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
        "NO_PROXY": "*",
        "TRIMTAB_HOME": str(folder / "home"),
        "TRIMTAB_STRICT": "1",
    }


def _stored(home: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, int]], list[tuple[str, str]]]:
    """Runs that made calls; file and line of each call; name and origin of each tool call."""
    settings = Settings.resolve(home=home)
    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
        con = store.cursor()
        runs = con.execute("SELECT DISTINCT run_id FROM calls").fetchall()
        calls = con.execute("SELECT s.file, s.line FROM calls JOIN sites s USING (site_id)").fetchall()
        tools = con.execute("SELECT name, origin FROM tool_calls WHERE name = 'lookup_order'").fetchall()
    return runs, [(Path(file).name, line) for file, line in calls], tools
