"""Notices how the process ends: by itself, by an exception nobody caught, or as a forked child.

``atexit`` closes the process's run and writes what is queued; ``sys.excepthook`` tells the exception before it is
printed as always. A forked child starts a spool segment and a thread of its own. Children of ``multiprocessing`` leave
without ``atexit``, so they are given a finalizer of that module.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ..guard import guarded

END_PRIORITY = 10
"""Of the multiprocessing finalizer: after the user's own, which may still call a model."""


class ProcessExit:
    """The exit hooks of this process.

    Args:
        ended: Called once with the exception that ends the process, or None.
        forked: Called in a forked child.
    """

    def __init__(self, ended: Callable[[BaseException | None], None], forked: Callable[[], None]) -> None:
        self._ended = ended
        self._forked = forked
        self._error: BaseException | None = None
        self._active = False
        self._excepthook: Any = None
        self._registered_fork = False

    def install(self) -> None:
        """Start to watch."""
        self._active = True
        self._excepthook = sys.excepthook
        sys.excepthook = self._on_exception
        atexit.register(self._at_exit)
        if not self._registered_fork and hasattr(os, "register_at_fork"):
            # Python can't take this one back; it asks whether we are active.
            os.register_at_fork(after_in_child=self._in_child)
            self._registered_fork = True

    @guarded()
    def remove(self) -> None:
        """Stop to watch."""
        self._active = False
        atexit.unregister(self._at_exit)
        if sys.excepthook == self._on_exception:
            sys.excepthook = self._excepthook

    def _on_exception(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        self._error = error
        self._excepthook(kind, error, traceback)

    @guarded()
    def _at_exit(self) -> None:
        if self._active:
            self._active = False
            self._ended(self._error)
            self._error = None

    @guarded()
    def _in_child(self) -> None:
        if not self._active:
            return
        self._error = None
        self._forked()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            # The child clears its finalizers after this hook and runs these callbacks last.
            util.register_after_fork(self, ProcessExit._end_with_multiprocessing)

    def _end_with_multiprocessing(self) -> None:
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, self._at_exit, exitpriority=END_PRIORITY)
