"""What one line in an agent loads: nothing that the agent did not load itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "anthropic",
    "aiohttp",
    "duckdb",
    "fastapi",
    "genai_prices",
    "h11",
    "httpx",
    "httpx2",
    "jinja2",
    "numpy",
    "openai",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
    "requests",
    "rich",
    "river",
    "scipy",
    "streamlit",
    "trimtab_analyzer",
    "trimtab_dashboard",
    "trimtab_tuner",
    "uvicorn",
}


def modules_after(code: str, home: Path) -> set[str]:
    """Names in ``sys.modules`` of a fresh interpreter after it ran ``code``."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        env={k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")} | {"TRIMTAB_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import trimtab",
        "import trimtab; trimtab.instrument()",
        "import trimtab; trimtab.instrument()\nwith trimtab.run('task'): trimtab.outcome(success=True)",
    ],
)
def test_the_door_loads_no_heavy_module(code: str, tmp_path: Path) -> None:
    """Importing, instrumenting and declaring a run load no SDK, no HTTP client and nothing of the sidecar's."""
    loaded = modules_after(code, tmp_path)
    assert "trimtab_tracer" in loaded
    assert set() == loaded & HEAVY


def test_a_traced_process_without_http_loads_no_opentelemetry(tmp_path: Path) -> None:
    """OpenTelemetry is imported at the first HTTP request that is no LLM call, not before."""
    loaded = modules_after("import trimtab; trimtab.instrument()", tmp_path)
    assert not any(name.startswith("opentelemetry") for name in loaded)


def test_a_disabled_door_makes_no_folder(tmp_path: Path) -> None:
    """With ``TRIMTAB_DISABLED=1`` nothing is written, not even the home."""
    home = tmp_path / "home"
    setting = f"import os; os.environ.update(TRIMTAB_DISABLED='1', TRIMTAB_HOME={str(home)!r})"
    assert "trimtab" in modules_after(f"{setting}\nimport trimtab; trimtab.instrument()", tmp_path)
    assert not home.exists()
