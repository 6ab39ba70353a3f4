"""Reads the spans that others make: adds a span processor of ours to TracerProviders that the user already has.

``trimtab.attach(provider)`` names one; without one it is the global provider, also where that is set later. Never
sets the global provider, never touches what others added to it. The processor (:mod:`.span_reader`) and with it the
OpenTelemetry SDK are imported only when there is a provider to read, which has imported the SDK itself.

Relies on two places of OpenTelemetry that are not public: the function through which every way of setting the
global provider goes, and the provider's tuple of processors. Without the first, a global provider that is set later
has to be named by another ``attach()``; without the second, our processor stays in its place after ``uninstrument()``
and does nothing.
"""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..guard import guarded
from ..tracer import Tracer
from .imports import ImportHooks
from .patches import Patches

log = logging.getLogger("trimtab")

Active = Callable[[], Tracer | None]

API = "opentelemetry.trace"


class Attachments:
    """The providers that are read. What is attached while tracing is off is read from the next ``instrument()`` on."""

    def __init__(self, active: Active) -> None:
        self._active = active
        self._lock = threading.Lock()
        self._wanted: list[weakref.ref[Any]] = []
        self._wants_global = False
        self._watches_global = False
        self._read: list[tuple[weakref.ref[Any], Any]] = []
        """Provider and our processor in it."""
        self._imports = ImportHooks()
        self._patches = Patches()

    @guarded()
    def attach(self, provider: Any = None) -> None:
        """Read the spans of ``provider``; of the global one where it is None."""
        if provider is None:
            self._wants_global = True
        elif not callable(getattr(provider, "add_span_processor", None)):
            log.warning("trimtab.attach can't read %s: it has no add_span_processor.", type(provider).__name__)
            return
        else:
            self._wanted.append(weakref.ref(provider))
        if self._active() is not None:
            self.on()

    @guarded()
    def on(self) -> None:
        """Begin to read what was asked for."""
        wanted, self._wanted = self._wanted, []
        for known in wanted:
            if (provider := known()) is not None:
                self._add(provider)
        if self._wants_global:
            self._wants_global, self._watches_global = False, True
            self._imports.when_imported(API, self._watch_global)

    @guarded()
    def keep(self) -> None:
        """Read the same providers again after the next :meth:`off`."""
        self._wants_global |= self._watches_global
        self._wanted += [known for known, _ in self._read]

    @guarded()
    def off(self) -> None:
        """Take our processors out and forget every provider."""
        self._imports.remove()
        self._patches.undo()
        self._watches_global = False
        with self._lock:
            read, self._read = self._read, []
        for known, processor in read:
            processor.close()
            if (provider := known()) is not None:
                _remove(provider, processor)

    def forked(self) -> None:
        """A forked child goes on with the same providers and a lock of its own."""
        self._lock = threading.Lock()

    @guarded()
    def _watch_global(self, api: ModuleType) -> None:
        """Read the global provider if there is one, and the one that is set if there is none."""
        # Not asked for by its function, which could make the provider that the environment names.
        present = getattr(api, "_TRACER_PROVIDER", None)
        if present is not None:
            self._add(present)
            return
        name = "_set_tracer_provider" if hasattr(api, "_set_tracer_provider") else "set_tracer_provider"
        self._patches.replace(api, name, functools.partial(_then, functools.partial(self._add_set, api)))

    @guarded()
    def _add_set(self, api: ModuleType, provider: Any) -> None:
        was_taken = getattr(api, "_TRACER_PROVIDER", provider) is provider  # it can be set only once
        if was_taken and self._active() is not None:
            self._add(provider)

    @guarded()
    def _add(self, provider: Any) -> None:
        if not callable(getattr(provider, "add_span_processor", None)):
            return  # a no-op provider: nothing is recorded there
        from .span_reader import SpanReader, add_to

        with self._lock:
            if any(known() is provider for known, _ in self._read):
                return
            processor = SpanReader(self._active)
            self._read.append((weakref.ref(provider), processor))
        add_to(provider, processor)


def _then(follow: Callable[[Any], None], original: Any) -> Any:
    @functools.wraps(original)
    def set_provider(tracer_provider: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(tracer_provider, *args, **kwargs)
        follow(tracer_provider)
        return result

    return set_provider


@guarded()
def _remove(provider: Any, processor: Any) -> None:
    """Take ``processor`` out of the provider's tuple, where there is one."""
    inner = getattr(provider, "provider", provider)  # a proxy that holds the real one (Logfire's)
    multi: Any = getattr(inner, "_active_span_processor", None)
    lock = getattr(multi, "_lock", None)
    if lock is None or not isinstance(getattr(multi, "_span_processors", None), tuple):
        return
    with lock:
        multi._span_processors = tuple(p for p in multi._span_processors if p is not processor)
