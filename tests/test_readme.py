"""The README's commands are those that run, and what it points at exists."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def command(name: str) -> str:
    """The one line in the code block that follows the marker of this name."""
    found = re.findall(rf"^<!-- command: {name} -->\n```sh\n(.+)\n```$", README, re.MULTILINE)
    assert len(found) == 1, f"the README needs one marked block for {name!r}, it has {len(found)}"
    return str(found[0])


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_ci_runs_the_command_of_the_readme(name: str) -> None:
    """The function of ``.ci/run`` that fetches a command finds exactly the line that a reader copies."""
    script = (ROOT / ".ci" / "run").read_text()
    function = re.search(r"^readme_command\(\) \{.*?^\}$", script, re.MULTILINE | re.DOTALL)
    assert function is not None
    fetched = subprocess.run(
        ["sh", "-c", f"{function[0]}\nreadme_command {name}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"{command(name)}\n" == fetched.stdout
    assert f'sh -c "${"test" if name == "tests" else name}_command"' in script


@pytest.mark.parametrize(("name", "extra", "last"), [("demo", "demo", "trimtab demo"), ("tests", "dev", "pytest")])
def test_a_command_makes_its_own_environment(name: str, extra: str, last: str) -> None:
    """Each command is POSIX sh, makes ``.venv`` itself, installs with the constraints, and needs nothing before it."""
    steps = command(name).split(" && ")
    subprocess.run(["sh", "-n", "-c", command(name)], check=True)
    assert steps[0] == "python3 -m venv .venv"
    assert steps[1].startswith(".venv/bin/pip install")
    assert f"-e '.[{extra}]' -c constraints.txt" in steps[1]
    assert steps[2].startswith(".venv/bin/")
    assert steps[2].endswith(last)


def test_the_first_screen_tells_the_whole_story() -> None:
    """Within the first 30 lines: the one line to add, the install, what is recorded and the overhead's script."""
    top = "\n".join(README.splitlines()[:30])
    assert all(words in top for words in ("trimtab.instrument()", "trimtab demo", "never leaves", "benchmarks/"))


def test_every_link_and_file_exists() -> None:
    """No link into the tree, here or in the docs, points at nothing."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if not target.startswith(("http:", "https:", "mailto:"))
    ]
    missing = [(page.name, target) for page, target in links if not (page.parent / target).exists()]
    assert not missing
    assert len(links) >= 5


def test_python_in_the_readme_is_python() -> None:
    """Each Python block compiles and uses only names that the door has."""
    import trimtab

    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    names = {
        node.attr
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trimtab"
    }
    assert "instrument" in names
    assert names <= set(trimtab.__all__)
