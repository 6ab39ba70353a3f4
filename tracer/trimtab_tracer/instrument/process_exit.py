"""Notices how the process ends: by itself, by an exception nobody caught, or as a forked child.

``atexit`` closes the process's run and writes what is queued; ``sys.excepthook`` tells the exception before it is
printed as always. A forked child starts a spool segment and a thread of its own. Children of ``multiprocessing`` leave
without ``atexit``, so they are given a finalizer of that module.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ..guard import guarded
from .patches import Patches

END_PRIORITY = 10
"""Of the multiprocessing finalizer: after the user's own, which may still call a model."""


EXIT_S = 2.0
"""Longest that we hold up the end of the process to write what is still queued."""

QUICK_EXIT_S = 0.1
"""The same for a forked child that leaves by ``os._exit``. Elsewhere that call means now: what is queued is counted."""


class ProcessExit:
    """The exit hooks of this process.

    Args:
        ended: Called once with the exception that ends the process, or None; the exit code where it is known, else 0;
            and how many seconds it may take.
        forked: Called in a forked child.
    """

    def __init__(self, ended: Callable[[BaseException | None, int, float], None], forked: Callable[[], None]) -> None:
        self._ended = ended
        self._forked = forked
        self._error: BaseException | None = None
        self._active = False
        self._hook: Any = None
        self._before: Any = None
        self._is_child = False
        self._registered_fork = False
        self._patches = Patches()

    def install(self) -> None:
        """Start to watch."""
        self._patches.replace(os, "_exit", self._before_exit)
        self._active = True
        self._before = sys.excepthook
        sys.excepthook = self._hook = self._noting(sys.excepthook)
        atexit.register(self._at_exit)
        if not self._registered_fork and hasattr(os, "register_at_fork"):
            # Python can't take this one back; it asks whether we are active.
            os.register_at_fork(after_in_child=self._in_child)
            self._registered_fork = True

    @guarded()
    def remove(self) -> None:
        """Stop to watch."""
        self._active = False
        self._patches.undo()
        atexit.unregister(self._at_exit)
        if sys.excepthook is self._hook:
            sys.excepthook = self._before

    def _noting(self, before: Any) -> Any:
        """A hook around ``before``; one left inside someone else's after :meth:`remove` hands on and does nothing."""

        def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
            if self._active:
                self._error = error
            before(kind, error, traceback)

        return hook

    @guarded()
    def _at_exit(self, code: int = 0, timeout_s: float = EXIT_S) -> None:
        if self._active:
            self._active = False
            self._ended(self._error, code, timeout_s)
            self._error = None

    def _before_exit(self, original: Any) -> Any:
        # How forked children leave, past atexit and finalizers.
        @functools.wraps(original)
        def _exit(status: int = 0) -> Any:
            self._at_exit(status, QUICK_EXIT_S if self._is_child else 0.0)
            return original(status)

        return _exit

    @guarded()
    def _in_child(self) -> None:
        if not self._active:
            return
        self._error = None
        self._is_child = True
        self._forked()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            # The child clears its finalizers after this hook and runs these callbacks last.
            util.register_after_fork(self, ProcessExit._end_with_multiprocessing)

    def _end_with_multiprocessing(self) -> None:
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, self._at_end_of_child, exitpriority=END_PRIORITY)

    @guarded()
    def _at_end_of_child(self) -> None:
        # Runs while the exception that ends the child is still being handled.
        error = sys.exc_info()[1]
        if isinstance(error, SystemExit):
            self._at_exit(error.code if isinstance(error.code, int) else int(error.code is not None))
            return
        self._error = error
        self._at_exit()
