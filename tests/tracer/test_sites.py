"""Sites: which line is pinned, whatever runs between it and the request."""

from __future__ import annotations

import sys
import sysconfig
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from trimtab_tracer.records import Site
from trimtab_tracer.sites import SiteFinder, owner_of

PROGRAM = """\
import sys

def ask(find):
    return find(sys._getframe())

def two_alike(find):
    first = find(sys._getframe())
    first2 = find(sys._getframe())
    return first, first2

def spread(find):
    return find(
        sys._getframe(),
    )
"""


def load(path: Path, source: str) -> ModuleType:
    path.write_text(source)
    module = ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


@pytest.fixture
def finder(tmp_path: Path) -> SiteFinder:
    return SiteFinder(lambda site: None, str(tmp_path))


def test_names_file_function_and_statement(tmp_path: Path, finder: SiteFinder) -> None:
    """A site tells the file relative to the working directory, the function, the line and its text."""
    site = load(tmp_path / "agent.py", PROGRAM).ask(finder.here)
    assert (site.file, site.function, site.line, site.end_line) == ("agent.py", "ask", 4, 4)
    assert site.source == "return find(sys._getframe())"
    assert site.owner == "user"


def test_statement_over_several_lines_is_quoted_whole(tmp_path: Path, finder: SiteFinder) -> None:
    """A call that spans lines is quoted from its first to its last line."""
    site = load(tmp_path / "agent.py", PROGRAM).spread(finder.here)
    assert (site.line, site.end_line) == (12, 14)
    assert site.source.startswith("return find(")
    assert site.source.endswith(")")


def test_id_survives_edits_elsewhere(tmp_path: Path, finder: SiteFinder) -> None:
    """Lines added above a statement change its line number and not its id."""
    before = load(tmp_path / "agent.py", PROGRAM).ask(finder.here)
    (tmp_path / "later").mkdir()
    later = SiteFinder(lambda site: None, str(tmp_path / "later"))
    after = load(tmp_path / "later" / "agent.py", "# moved\n\n" + PROGRAM).ask(later.here)
    assert (before.site_id, before.line + 2) == (after.site_id, after.line)


def test_id_changes_with_the_statement(tmp_path: Path, finder: SiteFinder) -> None:
    """Another statement at the same place is another site."""
    before = load(tmp_path / "agent.py", PROGRAM).ask(finder.here)
    (tmp_path / "later").mkdir()
    later = SiteFinder(lambda site: None, str(tmp_path / "later"))
    changed = PROGRAM.replace("return find(sys._getframe())", "return find(sys._getframe(0))", 1)
    assert before.site_id != load(tmp_path / "later" / "agent.py", changed).ask(later.here).site_id


def test_identical_statements_are_two_sites(tmp_path: Path, finder: SiteFinder) -> None:
    """Two statements that differ in their target only, and repeats of one text, do not share an id."""
    one, two = load(tmp_path / "agent.py", PROGRAM).two_alike(finder.here)
    assert one.site_id != two.site_id
    loop = load(tmp_path / "loop.py", "import sys\ndef f(find):\n    a = []\n    a.append(find(sys._getframe()))\n"
                "    a.append(find(sys._getframe()))\n    return a\n").f(finder.here)  # fmt: skip
    assert loop[0].site_id != loop[1].site_id


def test_announced_once_before_use(tmp_path: Path) -> None:
    """Each site is announced exactly once, before the caller gets it."""
    announced: list[Site] = []
    finder = SiteFinder(announced.append, str(tmp_path))
    program = load(tmp_path / "agent.py", PROGRAM)
    sites = [program.ask(finder.here) for _ in range(5)]
    assert [sites[0]] == announced


def test_secret_in_the_statement_is_not_quoted(tmp_path: Path, finder: SiteFinder) -> None:
    """A key that stands in the source does not reach the site."""
    key = "sk-proj-" + "a1B2" * 10
    source = f"import sys\ndef f(find):\n    return find(sys._getframe()), '{key}'\n".replace(
        "return find", "return (find"
    )
    source = source.replace(f"'{key}'", f"'{key}')")
    site, _ = load(tmp_path / "agent.py", source).f(finder.here)
    assert key not in site.source


@pytest.mark.parametrize(
    ("file", "owner"),
    [
        (str(Path(sys.prefix) / "lib/python3.11/site-packages/openai/_base_client.py"), "hidden"),
        ("/srv/venv/lib/python3.12/site-packages/langgraph/pregel/main.py", "library"),
        (__import__("asyncio").__file__, "hidden"),
        ("/srv/app/agent.py", "user"),
        ("<string>", "user"),
        ("<frozen runpy>", "hidden"),
        (str(Path(sys.executable).parent / "my-agent"), "hidden"),
        (str(Path(sysconfig.get_path("scripts")) / "my-agent"), "hidden"),
        (str(Path(sys.executable).parent / "agents" / "my_agent.py"), "user"),
    ],
)
def test_owner_of_a_file(file: str, owner: str) -> None:
    """SDKs, the standard library and ourselves are nobody's choice; frameworks may be; the rest is the user's."""
    assert owner == owner_of(file)


@pytest.mark.parametrize(
    ("file", "owner"),
    [("acme/run.py", "user"), ("corp/agents/a.py", "user"), ("corp/agents.py", "user"), ("single.py", "user"),
     ("openai/x.py", "user"), ("acme_other/run.py", "library"), ("corp/web/a.py", "library")],
)  # fmt: skip
def test_own_packages_are_the_users(file: str, owner: str) -> None:
    """Below site-packages the packages and modules that the user names are the user's, and no others."""
    names = ("acme", "corp.agents", "single", "openai")
    assert owner == owner_of(f"/srv/venv/lib/python3.12/site-packages/{file}", names)


def test_finder_knows_own_packages(tmp_path: Path) -> None:
    """A frame of a package that the user named is a user's site."""
    (tmp_path / "site-packages").mkdir()
    program = load(tmp_path / "site-packages" / "acme.py", PROGRAM)
    theirs, own = (SiteFinder(lambda site: None, str(tmp_path), names) for names in ((), ("acme",)))
    assert "test_finder_knows_own_packages" == program.ask(theirs.user_site).function
    assert "ask" == program.ask(own.user_site).function


def test_generated_code_is_not_blamed(tmp_path: Path, finder: SiteFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dataclass's ``__init__``, which is generated, the caller is pinned; code of ``python -c`` is the user's."""
    source = """\
import sys
from dataclasses import dataclass, field

@dataclass
class Client:
    site: object = field(default_factory=lambda: FIND(sys._getframe(1)))

def build():
    return Client().site
"""
    program = ModuleType("agent")
    monkeypatch.setitem(sys.modules, "agent", program)
    program.__dict__.update(FIND=finder.here, __file__=str(tmp_path / "agent.py"))
    (tmp_path / "agent.py").write_text(source)
    exec(compile(source, str(tmp_path / "agent.py"), "exec"), program.__dict__)
    assert ("agent.py", "build") == (program.build().file, program.build().function)
    text: dict[str, object] = {"find": finder.here}
    exec(compile("import sys\nsite = find(sys._getframe())", "<string>", "exec"), text)
    assert "<string>" == text["site"].file  # type: ignore[attr-defined]


def test_exception_is_pinned_to_the_innermost_user_line(tmp_path: Path, finder: SiteFinder) -> None:
    """An exception raised in a library is pinned to the user's line that called it."""
    program = load(tmp_path / "agent.py", "import json\ndef f():\n    return json.loads('{')\n")
    with pytest.raises(ValueError, match="Expecting property name") as caught:
        program.f()
    site = finder.of_traceback(caught.value.__traceback__)
    assert site is not None
    assert (site.file, site.line) == ("agent.py", 3)


LIBRARY = """\
def ask(ask_on):
    return ask_on()
"""


def _library(folder: Path, name: str) -> ModuleType:
    """A module that looks installed."""
    path = folder / "site-packages" / name
    path.mkdir(parents=True, exist_ok=True)
    return load(path / "__init__.py", LIBRARY)


def test_the_packages_below_a_line_are_announced_with_its_first_request(tmp_path: Path) -> None:
    """A line is announced when it is found, and once more with what its first request passed through."""
    seen: list[Site] = []
    finder = SiteFinder(seen.append, str(tmp_path))
    agent = load(tmp_path / "agent.py", "def ask(down):\n    return down()\n")
    crew, sdk, http = (_library(tmp_path, name) for name in ("crew", "openai", "httpx"))

    source = "def go(find, sys):\n    return find(sys._getframe())\n"
    bottom = load(tmp_path / "site-packages" / "httpx" / "send.py", source)
    find = partial(bottom.go, finder.here, sys)
    site = agent.ask(partial(crew.ask, partial(sdk.ask, partial(http.ask, find))))
    assert [(), ("crew", "openai")] == [one.via for one in seen]
    assert {"agent.py"} == {one.file for one in seen} == {site.file}
    assert 2 == len(seen)
    agent.ask(partial(crew.ask, find))
    assert 2 == len(seen), "the first way counts"
