"""Declared knobs: the default comes back, and the decision is on record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import trimtab
from trimtab_tracer.records import Decision, RunStart, Site

Recorded = Callable[[type], list[Any]]


def test_returns_its_default_and_records_it(recorded: Recorded) -> None:
    """A knob is its default, and the decision names run and line."""
    with trimtab.run("r") as run:
        value = trimtab.knob("top_k", 5, choices=[3, 5, 10])
    (decision,) = recorded(Decision)
    site = next(s for s in recorded(Site) if s.site_id == decision.site_id)
    assert 5 == value
    assert ("top_k", 5, 1.0, run.run_id) == (decision.knob, decision.value, decision.propensity, decision.run_id)
    assert 'trimtab.knob("top_k", 5' in site.source


def test_is_recorded_once_per_run_and_value(recorded: Recorded) -> None:
    """Reading a knob in a loop is one decision of its run; another run has its own."""
    for name in ("a", "b"):
        with trimtab.run(name):
            for _ in range(50):
                trimtab.knob("depth", 2)
    assert 2 == len(recorded(Decision))


def test_outside_of_runs_it_holds_for_those_that_follow(recorded: Recorded) -> None:
    """A knob read at import time is in force in every declared run, and makes no run of its own."""
    trimtab.knob("top_k", 5)
    with trimtab.run("a") as a, trimtab.run("b") as b:
        pass
    assert {a.run_id, b.run_id} == {d.run_id for d in recorded(Decision)}
    assert ["a", "b"] == [r.name for r in recorded(RunStart)]


def test_any_default_comes_back_as_it_is(recorded: Recorded) -> None:
    """Objects are returned untouched and recorded as text."""
    default = {"tools": ("a", "b")}
    with trimtab.run("r"):
        assert trimtab.knob("toolset", default) is default
    assert ['{"tools":["a","b"]}'] == [d.value for d in recorded(Decision)]


def test_secrets_are_not_recorded(recorded: Recorded) -> None:
    """A knob whose name tells of a secret comes back as it is and is recorded without its value."""
    with trimtab.run("r"):
        assert "plainSecret" == trimtab.knob("api_key", "plainSecret")
        trimtab.knob("clients", {"password": "hunter2abc"})
    assert not [d.value for d in recorded(Decision) if "plainSecret" in d.value or "hunter2" in d.value]


def test_default_outside_its_choices_is_said_once(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """A default that is none of the choices still holds, with one sentence in the log however often it is read."""
    with caplog.at_level(logging.WARNING, "trimtab"):
        assert [4] * 50 == [trimtab.knob("width", 4, choices=[3, 5]) for _ in range(50)]
    assert 1 == caplog.text.count("is none of its 2 choices")
