"""``pytest --trimtab``: traces the agent that is under test. Loaded by every pytest beside us, and inert unless asked.

In: the option ``--trimtab`` or ``trimtab = true`` in pytest's ini file. Out: tracing that is on before the first
conftest is imported, and :mod:`.pytest_runs` registered, which makes each test a run. Apart from that module so that a
pytest that did not ask pays for one small import and reads nothing of the tracer. ``-p no:trimtab`` takes it out.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("trimtab", "tracing of LLM agents under test")
    group.addoption("--trimtab", action="store_true", default=False, help="trace model calls; each test is a run")
    group.addoption("--trimtab-home", metavar="DIR", default=None, help="record into this home (implies --trimtab)")
    parser.addini("trimtab", "trace model calls, as --trimtab does", type="bool", default=False)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before the user's code is imported: clients are made in conftests too."""
    options = early_config.known_args_namespace
    if options.trimtab or options.trimtab_home or early_config.getini("trimtab"):
        from .pytest_runs import TestRuns

        early_config.pluginmanager.register(TestRuns(options.trimtab_home), "trimtab-runs")
