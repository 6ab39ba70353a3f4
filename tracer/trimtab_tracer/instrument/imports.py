"""Calls back when a module is imported, so that a library is hooked whenever the agent comes to it.

A finder at the head of ``sys.meta_path`` that knows a few names, lets the others find the module, and calls back after
it has been executed. Taken out again by :meth:`ImportHooks.remove`; with every module seen it costs one dictionary
look-up per import.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..guard import guarded

Callback = Callable[[ModuleType], None]


class ImportHooks:
    """The modules waited for."""

    def __init__(self) -> None:
        self._callbacks: dict[str, Callback] = {}
        self._looking: set[str] = set()

    def when_imported(self, name: str, callback: Callback) -> None:
        """Call ``callback`` with the module, now if it is there, else after its import. It must not raise."""
        module = sys.modules.get(name)
        if module is not None:
            callback(module)
            return
        self._callbacks[name] = callback
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    @guarded()
    def remove(self) -> None:
        """Forget all names and leave the import system."""
        self._callbacks.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    @guarded()
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders give, with a loader that calls back; None for names nobody waits for."""
        callback = self._callbacks.get(name)
        if callback is None or name in self._looking:
            return None
        self._looking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = Announcing(spec.loader, callback)  # type: ignore[assignment]
            return spec
        return None


class Announcing:
    """A loader that tells when it is done, and is gone from the module by then."""

    def __init__(self, inner: Any, callback: Callback) -> None:
        self._inner = inner
        self._callback = callback

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader does."""
        module: ModuleType | None = self._inner.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As the loader does, then call back."""
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        self._callback(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)
