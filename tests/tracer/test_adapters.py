"""The table of adapters: complete, lazy, restorable, and harmless where a library is not what it was."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import agents.run
import agents.run_internal.tool_execution
import agents.tool
import anthropic.lib.tools._beta_functions
import anthropic.lib.tools._beta_runner
import langgraph.pregel.main
import mcp.client.session
import pytest

import trimtab
from trimtab_tracer.instrument import adapters
from trimtab_tracer.instrument.adapters import limits
from trimtab_tracer.instrument.patches import Patches
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import Decision, Site

Recorded = Callable[[type], list[Any]]

SEAMS = (
    (agents.run.AgentRunner, "run"),
    (agents.run_internal.tool_execution, "_invoke_function_tool_with_metadata"),
    (agents.tool, "maybe_invoke_function_tool_failure_error_function"),
    (anthropic.lib.tools._beta_functions.BetaFunctionTool, "call"),
    (anthropic.lib.tools._beta_runner.BaseToolRunner, "__init__"),
    (langgraph.pregel.main.Pregel, "_defaults"),
    (mcp.client.session.ClientSession, "call_tool"),
)


@pytest.mark.parametrize(("library", "adapter", "function"), adapters.ADAPTERS)
def test_each_entry_names_a_function(library: str, adapter: str, function: str) -> None:
    """Every line of the table leads to a function of an adapter, which imports nothing of its library."""
    module = importlib.import_module(f"{adapters.__name__}.{adapter}")
    assert callable(getattr(module, function))
    assert not any(
        isinstance(value, ModuleType) and value.__name__.partition(".")[0] == library.partition(".")[0]
        for value in vars(module).values()
    )


def test_nothing_is_loaded_for_libraries_that_are_absent(tmp_path: Path) -> None:
    """Tracing loads no adapter before its library is there, and then that one alone."""
    code = """if True:
        import sys, types, trimtab
        trimtab.instrument()
        loaded = lambda: sorted(m.rpartition(".")[2] for m in sys.modules if ".adapters." in m)
        print(loaded())
        import mcp.client.session
        print(loaded())
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TRIMTAB_HOME": str(tmp_path), "TRIMTAB_STRICT": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ["[]", "['mcp', 'tool_calls']"] == done.stdout.splitlines()


def test_everything_is_taken_out_again(recorded: Recorded) -> None:
    """After ``uninstrument()`` every hooked attribute is what it was."""
    hooked = [getattr(owner, name) for owner, name in SEAMS]
    assert all(hasattr(value, "__trimtab_original__") for value in hooked)
    trimtab.uninstrument()
    for (owner, name), value in zip(SEAMS, hooked, strict=True):
        assert getattr(owner, name) is value.__trimtab_original__


def test_libraries_that_have_changed_are_left_alone(tmp_path: Path) -> None:
    """Modules that have nothing of what their adapters hook are imported, and stay as they are."""
    for library, *_ in adapters.ADAPTERS:
        parts = library.split(".")
        tmp_path.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        for n in range(1, len(parts) + 1):
            (tmp_path.joinpath(*parts[:n]) / "__init__.py").write_text("known = 1\n", encoding="utf-8")
    code = """if True:
        import importlib, sys, trimtab
        trimtab.instrument()
        modules = [importlib.import_module(name) for name in sys.argv[1:]]
        print(sum(module.known for module in modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *(library for library, *_ in adapters.ADAPTERS)],
        env={"TRIMTAB_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert f"{len(adapters.ADAPTERS)}\n" == done.stdout


OWN = {
    "agents/run.py": "class AgentRunner:\n    def run(self): return 1\n",
    "agents/tool.py": "def invoke_function_tool(name): return name\n",
    "workflows/workflow.py": "class Workflow:\n    def __init__(self): pass\n    def run(self): return 1\n",
}


def test_modules_of_the_users_own_are_none_of_a_library(tmp_path: Path) -> None:
    """Packages of the user's that share a library's name are neither hooked nor complained about."""
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).with_name("__init__.py").touch()
    code = """if True:
        import trimtab
        trimtab.instrument()
        from agents.run import AgentRunner
        from agents.tool import invoke_function_tool
        from workflows.workflow import Workflow
        theirs = (AgentRunner.run, invoke_function_tool, Workflow.__init__, Workflow.run)
        assert AgentRunner().run() == invoke_function_tool(1) == Workflow().run() == 1
        print(sum(hasattr(function, "__trimtab_original__") for function in theirs))
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TRIMTAB_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ("0\n", "") == (done.stdout, done.stderr)


class Team:
    """An object of a framework that holds a limit."""

    def __init__(self, max_turns: int = 10) -> None:
        self.max_turns = max_turns

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def run(self) -> int:
        """Run."""
        return self.max_turns


@pytest.fixture
def hooked(recorded: Recorded) -> Iterator[Recorded]:
    """:class:`Team`, hooked as an adapter does it."""

    def note(team: Team) -> None:
        limits.held(switch.active, team, "turns", team.max_turns, default=10, argument="max_turns")

    patches = Patches()
    limits.note_building(patches, Team, switch.active)
    limits.before(patches, Team, "run", note)
    yield recorded
    patches.undo()


def test_a_limit_is_pinned_to_the_line_that_built_its_owner(hooked: Recorded) -> None:
    """A limit that was given is the code's, one that was not the framework's, each once per run and line."""
    given, left, equal = Team(3), Team(), Team(max_turns=10)
    with trimtab.run("a"):
        assert [3, 3, 10, 10] == [given.run(), given.run(), left.run(), equal.run()]
    with trimtab.run("b"):
        given.run()
    decisions = hooked(Decision)
    sources = {site.site_id: site.source for site in hooked(Site)}
    assert [(3, "code"), (10, "default"), (10, "code"), (3, "code")] == [(d.value, d.source) for d in decisions]
    assert all("Team(" in sources[d.site_id] for d in decisions)
    assert 2 == len({d.run_id for d in decisions})


def test_a_limit_of_an_object_built_before_is_seen_where_it_is_used(hooked: Recorded) -> None:
    """Of an object that was built out of sight the value tells whether someone set it."""
    team = object.__new__(Team)
    team.max_turns = 4
    with trimtab.run("a"):
        assert 4 == team.run()
    (decision,) = hooked(Decision)
    assert (4, "code") == (decision.value, decision.source)


def test_a_limit_holds_for_its_own_run_alone(hooked: Recorded) -> None:
    """What an agent's run outside of a declared run was limited to says nothing of the runs declared later."""
    Team(3).run()
    with trimtab.run("a") as later:
        pass
    (decision,) = hooked(Decision)
    assert later.run_id != decision.run_id


def test_what_was_built_is_forgotten_with_it(hooked: Recorded) -> None:
    """No object is kept alive, and none is remembered after its end."""
    before = len(limits._built)
    teams = [Team(n) for n in range(50)]
    assert before + 50 == len(limits._built)
    teams.clear()
    assert before == len(limits._built)
