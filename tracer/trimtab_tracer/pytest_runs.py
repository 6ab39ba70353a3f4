"""Each test is a run of the agent under test: what pytest calls passed or failed is the run's outcome.

In: pytest's hooks, in the process that runs the tests (under xdist: each worker). Out: runs and outcomes in the spool,
and two lines at the end of pytest's report. A run's name is the test without its parameters, its task the whole node
id, so parametrised cases are tasks of one kind. Setup and teardown belong to it: fixtures call models as well.
Async runners that live longer than a test keep the context of the test that began them; such a context counts for the
test that runs now (:func:`.context.run_here`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from . import context
from .guard import guarded
from .instrument.switch import switch
from .pytest_tally import Tally
from .runs import Run
from .tracer import message_of, type_name

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

FLUSH_TIMEOUT_S = 5.0
"""Longest that the end of a session waits for the writer."""
MAX_COMMENT = 300
"""Characters of an outcome's comment."""
OUTPUT = "trimtab"
"""Key under which an xdist worker hands its tally to the controller."""


class Phase(NamedTuple):
    """What came of setup, call or teardown of a test."""

    report: pytest.TestReport
    error: BaseException | None


class TestRuns:
    """Registered with pytest while tracing was asked for."""

    __test__ = False  # no test class, whatever its name

    def __init__(self, home: str | None) -> None:
        """Start to trace, into ``home`` where one was named, unless this process is traced already."""
        self._starts = switch.active() is None
        if self._starts:
            switch.on_injected(**({"home": home} if home else {}))
        self._tally = Tally()
        self._lost_workers = 0
        self._phases: dict[str, Phase] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """The run of one test, with its setup and teardown."""
        self._tally.watch(switch.active())
        self._phases = {}
        name = item.nodeid.partition("[")[0]
        run = Run(switch.active, name, item.nodeid, None, {"pytest": True})
        run.__enter__()
        context.tests.begin(run.run_id)
        try:
            return (yield)
        finally:
            context.tests.end(run.run_id)
            self._close(run)

    @guarded()
    def _close(self, run: Run) -> None:
        tracer = switch.active()
        success, comment = outcome_of(self._phases, says=tracer is not None and tracer.settings.content != "off")
        if success is not None:
            run.outcome(success, comment=comment)
        error = _error_of(self._phases)
        run.__exit__(type(error) if error is not None else None, error, None)
        self._tally.end(success)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Remember how each phase ended; a test that is tried again begins anew."""
        report = yield
        if report.when == "setup":
            self._phases = {}
        self._phases[report.when or ""] = Phase(report, call.excinfo.value if call.excinfo is not None else None)
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is queued; an xdist worker hands over what it counted."""
        switch.flush(FLUSH_TIMEOUT_S)
        self._tally.settle()
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[OUTPUT] = dict(self._tally.counts)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """On the controller: take over what a worker counted; one that crashed could not say."""
        counts = getattr(node, "workeroutput", {}).get(OUTPUT)
        if counts is None:
            self._lost_workers += 1
        else:
            self._tally.add(counts)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Say in two lines what was recorded and where it is."""
        tracer = switch.active()
        if tracer is None:
            terminalreporter.write_line("trimtab: nothing was traced; it is off, or the log says why it could not be.")
            return
        lost = f" ({self._lost_workers} crashed workers not counted)" if self._lost_workers else ""
        terminalreporter.write_line(f"trimtab: {self._tally.text()}{lost}")
        terminalreporter.write_line(f"trimtab: recorded in {tracer.settings.home}; look with `trimtab report`")

    def pytest_unconfigure(self) -> None:
        """Stop to trace, where it was started here."""
        if self._starts:
            switch.off(keeps_empty=False)


def outcome_of(phases: dict[str, Phase], says: bool) -> tuple[bool | None, str | None]:
    """Whether the tested task was done, and why not, from how a test's phases ended; None where that is not known.

    An expected failure is one all the same, and an unexpected pass means that the task was done, also where pytest is
    told to treat it as a failure.

    Args:
        phases: By name: ``setup``, ``call``, ``teardown``.
        says: Whether the comment may hold the words of an exception: those of an assertion quote what it compared.
    """
    for when, (report, error) in phases.items():
        expected = getattr(report, "wasxfail", None)
        if report.failed and str(report.longrepr).startswith("[XPASS(strict)]"):
            return True, "unexpected pass"
        if report.failed:
            return False, f"{when}: {_reason(error, report, says)}"[:MAX_COMMENT]
        if report.skipped and expected is not None:
            reason = expected if expected and says else _reason(error, report, says)
            return False, f"expected failure: {reason}"[:MAX_COMMENT]
    call = phases.get("call")
    if call is None or not call.report.passed:
        return None, None
    return True, "unexpected pass" if hasattr(call.report, "wasxfail") else None


def _reason(error: BaseException | None, report: pytest.TestReport, says: bool) -> str:
    """The exception's type and the first line of what it says, as far as that may be kept."""
    if not says:
        return type_name(error) if error is not None else report.outcome
    text = f"{type_name(error)}: {message_of(error)}" if error is not None else report.longreprtext
    return text.strip().partition("\n")[0]


def _error_of(phases: dict[str, Phase]) -> BaseException | None:
    """The exception that ended the test, unless it only says what pytest decided: the agent did not raise that."""
    for report, error in phases.values():
        if report.failed and error is not None:
            verdict = isinstance(error, AssertionError | pytest.fail.Exception | pytest.exit.Exception)
            return None if verdict else error
    return None
