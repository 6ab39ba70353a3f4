"""Import hooks: called once the module is there, and nothing of them is left in it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from trimtab_tracer.instrument.imports import ImportHooks


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImportHooks]:
    """Hooks, and two modules to import: ``waited_for`` and ``breaking``."""
    (tmp_path / "waited_for.py").write_text("VALUE = 7\n")
    (tmp_path / "breaking.py").write_text("raise LookupError('its own')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = ImportHooks()
    yield made
    made.remove()
    for name in ("waited_for", "breaking"):
        sys.modules.pop(name, None)


def test_calls_back_after_the_import(hooks: ImportHooks) -> None:
    """The callback sees the executed module, which looks as if nobody had watched."""
    seen: list[tuple[ModuleType, int]] = []
    hooks.when_imported("waited_for", lambda module: seen.append((module, module.VALUE)))
    module = importlib.import_module("waited_for")
    assert [(module, 7)] == seen
    assert "SourceFileLoader" == type(module.__loader__).__name__
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert "VALUE = 7\n" == inspect.getsource(module)


def test_module_that_is_there_is_called_back_at_once(hooks: ImportHooks) -> None:
    """Nothing is waited for that has been imported."""
    seen: list[ModuleType] = []
    hooks.when_imported("inspect", seen.append)
    assert [inspect] == seen
    assert hooks not in sys.meta_path


def test_failing_import_fails_as_it_would(hooks: ImportHooks) -> None:
    """The module's own exception passes, and a missing module is missing."""
    hooks.when_imported("breaking", lambda module: None)
    hooks.when_imported("not_there_at_all", lambda module: None)
    with pytest.raises(LookupError, match="its own"):
        importlib.import_module("breaking")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        importlib.import_module("not_there_at_all")


def test_removed_hooks_are_gone(hooks: ImportHooks) -> None:
    """After removal nobody is called and the import system is as it was."""
    before = list(sys.meta_path)
    seen: list[ModuleType] = []
    hooks.when_imported("waited_for", seen.append)
    hooks.remove()
    importlib.import_module("waited_for")
    assert ([], before) == (seen, sys.meta_path)
