"""The import contracts of pyproject.toml hold, and each of them fails when something breaks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("tracer", "analyzer", "tuner", "dashboard")


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages below ``tree``, which go before the installed ones."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(tree / s) for s in SOURCES), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product's sources that a test may spoil."""
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_holds() -> None:
    """The tree as it is breaks no import contract."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 kept, 0 broken." in result.stdout


@pytest.mark.parametrize(
    ("module", "planted", "broken"),
    [
        ("tracer/trimtab_tracer/context.py", "import trimtab_analyzer", "dashboard -> tuner -> analyzer"),
        ("tracer/trimtab_tracer/spool.py", "import duckdb", "What runs inside the agent"),
        ("tracer/trimtab/__init__.py", "import pydantic", "What runs inside the agent"),
        ("tracer/trimtab_tracer/spool.py", "from trimtab_tracer import store", "The agent's side of the tracer"),
        ("analyzer/trimtab_analyzer/findings.py", "import streamlit", "Only the dashboard imports streamlit"),
    ],
)
def test_a_planted_import_breaks_its_contract(tree: Path, module: str, planted: str, broken: str) -> None:
    """An import against the rules makes lint-imports fail and name the contract, even inside a function."""
    path = tree / module
    path.write_text(f"{path.read_text()}\n\ndef planted() -> None:\n    {planted}\n")
    result = lint_imports(tree)
    assert result.returncode != 0
    assert any(broken in line and "BROKEN" in line for line in result.stdout.splitlines()), result.stdout
