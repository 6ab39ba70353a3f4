"""What an install brings along and what the built files hold."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "trimtab": "tracer",
    "trimtab_tracer": "tracer",
    "trimtab_analyzer": "analyzer",
    "trimtab_tuner": "tuner",
    "trimtab_dashboard": "dashboard",
}
NOT_IN_BASE = {"duckdb", "polars", "river", "fastapi", "streamlit", "pyarrow", "numpy", "pydantic", "openai", "httpx"}


def installed_with(name: str, extra: str = "") -> set[str]:
    """Distributions that ``pip install name[extra]`` needs, from the installed distributions' own metadata."""
    found: set[str] = set()
    todo = [(name, extra)]
    while todo:
        current, wanted = todo.pop()
        for line in metadata.requires(current) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                dependency = canonicalize_name(requirement.name)
                if dependency not in found or requirement.extras:
                    todo += [(dependency, extra) for extra in ("", *requirement.extras)]
                found.add(dependency)
    return found - {name}


def test_the_base_install_is_light() -> None:
    """Without extras, pip brings none of the store's, the sidecar's or an SDK's packages into the agent."""
    base = installed_with("trimtab")
    assert base >= {"opentelemetry-sdk", "opentelemetry-instrumentation-httpx"}
    assert set() == base & NOT_IN_BASE
    assert len(base) <= 12, sorted(base)


@pytest.mark.parametrize(
    ("extra", "brought"),
    [("sidecar", {"duckdb", "fastapi", "polars", "river", "streamlit"}), ("demo", {"duckdb", "openai"})],
)
def test_an_extra_brings_what_its_commands_need(extra: str, brought: set[str]) -> None:
    """The same walk finds the heavy packages behind the extras, so it would see them in the base."""
    assert brought <= installed_with("trimtab", extra)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the sdist of the tree as it is, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def test_the_wheel_holds_every_source_file(built: Path) -> None:
    """Each package is there with all its files: code, SQL, templates and ``py.typed``; and nothing else is."""
    expected = {
        path.relative_to(ROOT / folder).as_posix()
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".keep"
    }
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith(".keep")}
    assert expected == names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.startswith("trimtab_tracer/migrations/0001") for name in names)
    assert any(re.fullmatch(r"trimtab_analyzer/queries/\w+\.sql", name) for name in names)


def test_the_sdist_can_be_tested(built: Path) -> None:
    """The source archive holds tests, docs and the constraints, so that a packager can run what we run."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "tests/conftest.py", ".ci/run"} <= names
    assert not any(name.startswith((".venv", ".trimtab", "dist/")) for name in names)


def test_constraints_are_plain_versions() -> None:
    """``constraints.txt`` names exact versions, no address and not ourselves, and covers all that the tests need."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line) for line in lines)
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    assert "trimtab" not in pinned
    assert installed_with("trimtab", "dev") - {"trimtab"} <= pinned


def test_every_entry_point_names_a_command() -> None:
    """Each command registered in pyproject.toml can be imported and bears the name that it is typed by."""
    entries = [e for e in metadata.distribution("trimtab").entry_points if e.group == "trimtab.commands"]
    assert {"demo", "import", "provider", "report", "up"} <= {e.name for e in entries}
    assert all(e.load().name == e.name for e in entries)
