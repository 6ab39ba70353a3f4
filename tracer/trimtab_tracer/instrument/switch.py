"""Turns tracing on and off in this process: builds the tracer, installs every hook, and takes all of it out again.

Libraries that are not imported yet are hooked when they are (:mod:`.imports`), so that ``instrument()`` may stand
anywhere in the program and never imports a library for the agent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..errors import TrimtabError
from ..evaluators import evaluators
from ..guard import guarded
from ..settings import RUN_SERVICE, Settings
from ..tracer import Tracer
from . import adapters, aiohttp_client, http_clients, lm15, propagation, stainless
from .attach import Attachments
from .http_spans import HttpSpans
from .imports import ImportHooks
from .patches import Patches
from .process_exit import EXIT_S, ProcessExit

log = logging.getLogger("trimtab")

HTTP_LIBRARIES = ("httpx", "httpx2")

ORIGIN = "TRIMTAB_RUN_ORIGIN"
"""Variable that names the first Python below ``trimtab run`` (:mod:`..injected.sitecustomize`)."""


class Switch:
    """Whether this process is traced. One per process (:data:`switch`)."""

    def __init__(self) -> None:
        self._tracer: Tracer | None = None
        self._patches = Patches()
        self._http_spans = HttpSpans(self.active)
        self._attachments = Attachments(self.active)
        self._exit = ProcessExit(ended=self._ended, forked=self._forked)
        self._imports = ImportHooks()
        self._lock = threading.Lock()
        self._injected: dict[str, Any] | None = None

    def __reduce__(self) -> str:
        """Pickled by name: functions that we wrap hold it, and are sent to other processes, which have their own."""
        return "switch"

    def active(self) -> Tracer | None:
        """The tracer of this process, or None while tracing is off."""
        return self._tracer

    def on(self, **arguments: Any) -> None:
        """Start to trace; a second call changes nothing, but for settings that it names where we were injected.

        Settings that can't be used leave tracing off, with one log line.

        Args:
            **arguments: Fields of :class:`.settings.Settings`.
        """
        with self._lock:
            if self._tracer is None:
                self._begin(arguments)
            elif self._injected is not None and arguments:
                # What the agent's code says wins over how it was started, as an argument wins over a variable.
                self._restart(self._tracer, self._injected | arguments)
            self._injected = None

    def on_injected(self, **arguments: Any) -> None:
        """Start to trace from outside of the agent's code, before that runs: what it says later wins.

        Args:
            **arguments: As for :meth:`on`.
        """
        with self._lock:
            if self._tracer is not None:
                return
            self._begin(arguments)
            self._injected = arguments
            if self._tracer is not None and ORIGIN in os.environ:  # its children may have no script to be named by
                os.environ.setdefault(RUN_SERVICE, self._tracer.settings.service)

    def off(self, keeps_empty: bool = True) -> None:
        """Stop to trace, restore everything that was patched, and write what is still queued.

        Args:
            keeps_empty: Whether a process that made no call at all is recorded as such.
        """
        with self._lock:
            self._end(keeps_empty)

    def _restart(self, before: Tracer, arguments: dict[str, Any]) -> None:
        self._attachments.keep()
        self._end(keeps_empty=False)
        self._begin(arguments)
        if self._tracer is not None:
            self._tracer.replace(before)

    def _begin(self, arguments: dict[str, Any]) -> None:
        is_child = os.environ.get(ORIGIN, "") not in ("", str(os.getpid()))
        try:
            settings = Settings.resolve(**arguments)
            if settings.disabled:
                return
            self._tracer = Tracer(settings, is_child=is_child)
        except TrimtabError as error:
            log.warning("trimtab stays off: %s", error)
            return
        except Exception as error:  # of ours or of the machine: the agent runs untraced
            log.warning("trimtab stays off (%s: %s); the agent runs untraced.", type(error).__name__, error)
            return
        self._install()

    def _end(self, keeps_empty: bool) -> None:
        tracer, self._tracer = self._tracer, None
        if tracer is None:
            return
        self._exit.remove()
        self._http_spans.off()
        self._attachments.off()
        self._imports.remove()
        self._patches.undo()
        tracer.steering.close()
        evaluators.finish(tracer, is_hurried=False)
        tracer.end_process(keeps_empty=keeps_empty)

    @guarded()
    def _install(self) -> None:
        propagation.patch(self._patches, self.active)
        self._when_imported("uvloop", lambda m: propagation.patch_loop(self._patches, m.Loop, self.active))
        for name in HTTP_LIBRARIES:
            self._when_imported(name, lambda m: http_clients.patch(self._patches, m, self.active, self._http_spans))
        self._when_imported("aiohttp", lambda m: aiohttp_client.patch(self._patches, m, self.active))
        for package in lm15.TRANSPORTS:
            self._when_imported(f"{package}._sync", lambda m: lm15.patch_sync(self._patches, m, self.active))
            self._when_imported(f"{package}._async", lambda m: lm15.patch_async(self._patches, m, self.active))
        for sdk in stainless.SDKS:
            self._when_imported(f"{sdk}._base_client", lambda m: stainless.patch(self._patches, m, self.active))
            self._when_imported(f"{sdk}._client", lambda m: stainless.patch_clients(self._patches, m))
        adapters.install(self._when_imported, self._patches, self.active)
        self._attachments.on()
        self._exit.install()

    def _when_imported(self, name: str, patch: Callable[[ModuleType], None]) -> None:
        @guarded()
        def apply(module: ModuleType) -> None:
            if self._tracer is not None:
                patch(module)

        self._imports.when_imported(name, apply)

    def attach(self, provider: Any = None) -> None:
        """Read the spans of a TracerProvider, from now on or from the next :meth:`on` on; None is the global one."""
        self._attachments.attach(provider)

    @guarded()
    def flush(self, timeout_s: float) -> None:
        """Wait until every ended run was judged and everything recorded is in the spool, at most ``timeout_s`` s."""
        if self._tracer is not None:
            started = time.monotonic()
            evaluators.wait(timeout_s)
            self._tracer.writer.flush(max(0.0, timeout_s - (time.monotonic() - started)))

    def _ended(self, error: BaseException | None, code: int, timeout_s: float) -> None:
        tracer = self._tracer
        if tracer is not None:
            evaluators.finish(tracer, is_hurried=timeout_s < EXIT_S)
            tracer.end_process(error, code, timeout_s)

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._attachments.forked()
        # Off until the child has a tracer of its own, and for good where it can't have one.
        tracer, self._tracer = self._tracer, None
        if tracer is not None:
            self._tracer = tracer.child()


switch = Switch()
"""The one of this process."""
