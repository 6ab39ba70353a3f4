"""The tracer of one process: its settings, its spool, its sites, and the run that the process itself is.

Built by ``trimtab.instrument()``; hooks, runs, tools and knobs write through it. A forked child gets one of its own
on first sight of its new pid (a segment and a thread belong to one process). Nothing here raises into the agent:
where the home can't be written, one sentence is logged and records are counted as lost.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from . import context, harness
from .digests import digest
from .exchange import ExchangeBuilder
from .guard import guarded
from .handover import connect
from .include_usage import UsageOption
from .knob_reads import KnobReads
from .progress import Progress
from .records import Decision, Harness, Process, Record, RunEnd, RunStart, Site
from .redact import redact
from .settings import Settings
from .shapes import value_class
from .sites import SiteFinder
from .spool import SpoolWriter
from .steering import Steering
from .writer import Writer

CLOSE_TIMEOUT_S = 2.0
"""Longest that switching off waits to write what is still queued."""


def new_id() -> str:
    """A fresh random id."""
    return os.urandom(16).hex()


def type_name(error: BaseException | type[BaseException]) -> str:
    """``module.Name`` of an exception's class, without ``builtins``."""
    cls = error if isinstance(error, type) else type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def message_of(error: BaseException) -> str:
    """An exception's text, redacted and cut to 500 characters; its class where it can't tell its text."""
    try:
        text = str(error)
    except Exception:
        text = type_name(error)
    return redact(text[:2000])[:500]


@value_class
class Standing:
    """The value of a declared knob, in force from where it was read on."""

    knob: str
    value: Any
    site: Site
    source: str = "default"
    propensity: float = 1.0
    policy_version: int | None = None
    choices: tuple[Any, ...] = ()
    rule_id: str | None = None
    seen: dict[str, Any] | None = None
    drawn: str | None = None


class Tracer:
    """Everything of ours in one process.

    Args:
        settings: As resolved when ``instrument()`` was called.
        parent_run_id: The run of the process that forked this one.
        is_child: Whether this process was forked from a traced one, or started below one.
    """

    def __init__(self, settings: Settings, parent_run_id: str | None = None, is_child: bool = False) -> None:
        self.settings = settings
        self.pid = os.getpid()
        self.process = describe_process(settings, is_child or _was_spawned())
        self.spool = SpoolWriter(settings.spool_dir, self.process, settings.spool_max_bytes)
        self.steering = Steering(settings)
        self.usage_option = UsageOption() if settings.include_usage else None
        self.writer = Writer(
            self.spool,
            ExchangeBuilder(settings.content),
            settings.flush_interval_s,
            self.process.process_id,
            self.steering.tokens.add,
            partial(connect, settings.home, self.process, settings.content),
        )
        self.sites = SiteFinder(self.spool.write, self.process.cwd, settings.user_packages)
        self._run_id = new_id()
        self._progress = Progress(self._run_id, self.process.service)
        self._parent_run_id = parent_run_id
        self._is_child = is_child
        self._run_open = False
        self._explicit_runs = 0
        self._sticky: set[str] = set()
        self._standing: dict[tuple[str, str], Standing] = {}
        self.knob_reads = KnobReads()
        self._harness: str | None = settings.harness
        self._is_described = False

    def run_id(self) -> str:
        """The run that the calling code belongs to; opens the process's own run where none was declared."""
        run_id = context.run_here()
        if run_id is not None:
            return run_id
        if not self._run_open:
            self._open_process_run()
        return self._run_id

    def present_run_id(self) -> str:
        """The same, without opening anything: a value is needed before it is known whether there will be a call."""
        return context.run_here() or self._run_id

    def progress(self) -> Progress | None:
        """What the run that the calling code belongs to has come to; None where this process has not seen it begin."""
        run_id = context.run_here()
        known = self._progress if run_id is None else context.scope.get().progress
        return known if known is not None and known.run_id == (run_id or self._run_id) else None

    def start_run(self, run: RunStart) -> None:
        """Record an explicit run."""
        self._explicit_runs += 1
        self.spool.write(run)
        self._describe_once()
        self._repeat_standing(run.run_id)

    def decide(self, decided: Standing) -> None:
        """Record a decision of the present run, once for each value it takes.

        Outside of a declared run it holds for the process: for its own run, should it come to one, and for every
        declared run that begins later.
        """
        run_id = context.run_here()
        if run_id is None:
            self._standing[decided.knob, decided.site.site_id] = decided
            if not self._run_open:
                return
            run_id = self._run_id
        self._decide(decided, run_id)

    def decide_here(self, decided: Standing) -> None:
        """Record a decision of the present run alone, once for each value it takes."""
        self._decide(decided, self.run_id())

    def _repeat_standing(self, run_id: str) -> None:
        for decided in list(self._standing.values()):
            self._decide(decided, run_id)

    def _decide(self, decided: Standing, run_id: str) -> None:
        knob, value, site = decided.knob, decided.value, decided.site
        by = f"{decided.source} {decided.policy_version} {decided.rule_id}"
        key = digest(f"{run_id} {knob} {site.site_id} {value!r} {by}")
        if key in self._sticky:
            return
        if len(self._sticky) > 100_000:
            self._sticky.clear()
        self._sticky.add(key)
        self.spool.write(
            Decision(
                decision_id=new_id(),
                run_id=run_id,
                knob=knob,
                value=value,
                source=decided.source,
                site_id=site.site_id,
                ts_ns=time.time_ns(),
                propensity=decided.propensity,
                site_role="knob",
                policy_version=decided.policy_version,
                choices=decided.choices,
                rule_id=decided.rule_id,
                drawn=decided.drawn,
                seen=decided.seen,
            )
        )

    @guarded()
    def end_process(
        self,
        error: BaseException | None = None,
        code: int = 0,
        timeout_s: float = CLOSE_TIMEOUT_S,
        keeps_empty: bool = True,
    ) -> None:
        """Close the process's run and write everything that is still queued.

        Args:
            error: The exception that ends the process.
            code: Exit code, where it is known; another than 0 fails the run.
            timeout_s: Longest that writing may take; what is left then is counted as lost.
            keeps_empty: Whether to say of a process without any call that it was traced.
        """
        if keeps_empty and not self._run_open and self._explicit_runs == 0 and not self._is_child:
            # A process that was traced and called no model at all is a fact worth keeping.
            self._open_process_run()
        if self._run_open:
            self._run_open = False
            site = self.sites.of_traceback(error.__traceback__) if error is not None else None
            left = f"exit code {code}" if code else None
            self.write(
                RunEnd(
                    run_id=self._run_id,
                    ts_ns=time.time_ns(),
                    status="ok" if error is None and not code else "error",
                    rule="process exit",
                    error_type=type_name(error) if error is not None else left,
                    error_message=message_of(error) if error is not None else None,
                    site_id=site.site_id if site is not None else None,
                )
            )
        self.writer.close(timeout_s)
        self.spool.close()

    def write(self, record: Record, line: bytes | None = None) -> None:
        """Spool one record now; ``line`` is the same encoded."""
        self.spool.write(record, line)

    def child(self) -> Tracer:
        """The tracer of a forked child of this process."""
        child = Tracer(self.settings, parent_run_id=self._run_id if self._run_open else None, is_child=True)
        child._inherit(self)
        return child

    def replace(self, before: Tracer) -> None:
        """Go on from the tracer that had this place in the process until now, perhaps with another home."""
        self._inherit(before)
        for decided in self._standing.values():
            self.spool.write(decided.site)

    def _inherit(self, before: Tracer) -> None:
        self._standing = dict(before._standing)
        if self._harness is None:
            self._harness = before._harness

    def _open_process_run(self) -> None:
        self._run_open = True
        self.spool.write(
            RunStart(
                run_id=self._run_id,
                process_id=self.process.process_id,
                ts_ns=self.process.ts_ns,
                name=self.process.service,
                origin="process",
                parent_run_id=self._parent_run_id,
                harness=self.settings.harness,
            )
        )
        self._describe_once()
        self._repeat_standing(self._run_id)

    def _describe_once(self) -> None:
        if not self._is_described:
            self._is_described = True
            self.writer.run(self._describe_harness)

    def _describe_harness(self) -> list[Record]:
        if self._harness is None:
            self._harness = harness.version_of(Path(self.process.cwd))
        return [Harness(self.process.process_id, self._harness)] if self._harness else []


def describe_process(settings: Settings, is_child: bool = False) -> Process:
    """What a segment says about the process that writes it."""
    script = sys.argv[0] if sys.argv and sys.argv[0] else "<interactive>"
    if script == "-m":  # not replaced by the module's file yet
        script = f"-m {settings.service}"
    return Process(
        process_id=new_id(),
        pid=os.getpid(),
        ts_ns=time.time_ns(),
        service=settings.service,
        script=redact(script),
        cwd=_working_directory(),
        python=platform.python_version(),
        trimtab=_version(),
        content_mode=settings.content,
        boot_id=_boot_id(),
        is_child=is_child,
    )


def _was_spawned() -> bool:
    multiprocessing = sys.modules.get("multiprocessing.process")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _version() -> str:
    # importlib.metadata reads files; the package's own constant costs nothing.
    from . import __version__ as version

    return version
