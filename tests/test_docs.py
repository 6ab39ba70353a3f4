"""The documentation says what the code does: its generated parts are up to date."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
GENERATOR = runpy.run_path(str(DOCS / "generate.py"))


@pytest.mark.parametrize("path", list(GENERATOR["pages"]()), ids=lambda path: path.stem)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    """A page equals what ``python docs/generate.py`` would make of it."""
    page = path.read_text(encoding="utf-8")
    assert page == GENERATOR["rewritten"](page), "run `python docs/generate.py`"


def test_the_generated_pages() -> None:
    """The reference has generated parts, and each example that is an agent of a framework is on one page."""
    names = {path.relative_to(DOCS).as_posix() for path in GENERATOR["pages"]()}
    assert {"api.md", "cli.md", "configuration.md"} <= names
    shown = [name for path in GENERATOR["pages"]() for _, name, _ in GENERATOR["BLOCK"].findall(path.read_text())]
    examples = {name for name in GENERATOR["PARTS"] if name.startswith("example_")}
    assert examples - {"example_mcp_server", "example_say_more"} <= set(shown)
    assert len(shown) == len(set(shown))


def test_exit_codes_are_those_of_the_errors() -> None:
    """The exit codes that the command line's page lists are those that errors give."""
    from trimtab_tracer import errors

    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.M)}
    given = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert listed == given | {0, 130}


@pytest.mark.parametrize(("name", "prints"), [("outcomes.md", ""), ("side-effects.md", "compensated\n")])
def test_examples_run(name: str, prints: str, tmp_path: Path) -> None:
    """The first example of a page runs as it stands there, and prints what it says."""
    (code, *_) = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(prints)
