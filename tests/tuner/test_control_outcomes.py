"""Outcomes from outside: late, idempotent, and in the audit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import RunEnd, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Conflict, Control, NotThere, Refused
from trimtab_tuner.reads import fetch

ALICE = Actor("alice", "api")
LONG_AGO = 1_600_000_000_000_000_000


@pytest.fixture
def control(settings: Settings) -> Iterator[Control]:
    """A control of a store with one run that ended years ago."""
    with Store.open(settings.store_path) as store:
        ingest(
            store, [RunStart("r1", "p", LONG_AGO, "buy", "explicit"), RunEnd("r1", LONG_AGO + 1, "ok", "block exit")]
        )
        yield Control(store, settings)


def rows(control: Control, table: str) -> list[dict[str, Any]]:
    """A whole table."""
    with closing(control._store.cursor()) as con:
        return fetch(con, f"SELECT * FROM {table} ORDER BY ALL")


def test_a_run_that_ended_long_ago_gets_its_outcome(control: Control) -> None:
    """It is kept with its time, without secrets, and the audit says who told it."""
    key = "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4"
    told = control.record_outcome("r1", success=False, score=0.5, comment=f"wrong, {key}", ts_ns=LONG_AGO, actor=ALICE)
    (row,) = rows(control, "outcomes")
    assert told == (row["outcome_id"], True)
    assert ("r1", LONG_AGO, False, 0.5, "explicit") == tuple(
        row[name] for name in ("run_id", "recorded_ns", "success", "score", "source")
    )
    assert key not in row["comment"]
    (entry,) = control.events(0)
    assert ("alice", "outcome", "run", "r1") == tuple(
        entry[name] for name in ("actor", "action", "subject_kind", "subject_id")
    )
    said = {"outcome_id": row["outcome_id"], "success": False, "score": 0.5, "source": "explicit"}
    assert said == entry["to_value"]
    assert 1 == control.published().version


def test_told_again_it_changes_nothing(control: Control) -> None:
    """The same outcome under the same id is taken once, whether or not the time is told again."""
    same = {"success": True, "score": 1, "comment": "fine", "outcome_id": "o1", "actor": ALICE}
    assert ("o1", True) == control.record_outcome("r1", ts_ns=5, **same)
    assert ("o1", False) == control.record_outcome("r1", **same)
    assert ("o1", False) == control.record_outcome("r1", ts_ns=5, **same)
    assert (1, 1) == (len(rows(control, "outcomes")), len(control.events(0)))


@pytest.mark.parametrize("other", [{"success": False}, {"source": "evaluator"}, {"comment": "no"}, {"ts_ns": 6}])
def test_told_otherwise_it_is_refused(control: Control, other: dict[str, Any]) -> None:
    """Another outcome under an id that is taken changes nothing and says so."""
    first = {"success": True, "outcome_id": "o1", "ts_ns": 5, "actor": ALICE}
    control.record_outcome("r1", **first)
    with pytest.raises(Conflict, match=r"Outcome 'o1' was recorded before, for run 'r1', .*nothing was changed"):
        control.record_outcome("r1", **first | other)
    assert [True] == [row["success"] for row in rows(control, "outcomes")]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"score": float("nan")},
        {"score": float("inf")},
        {"success": True, "source": "inferred"},
        {"success": True, "outcome_id": ""},
        {"success": True, "outcome_id": "x" * 201},
        {"success": True, "comment": "x" * 4001},
        {"success": True, "ts_ns": -1},
        {"success": True, "ts_ns": 2**63},
    ],
)
def test_what_says_nothing_or_can_not_be_kept_is_refused(control: Control, said: dict[str, Any]) -> None:
    """Each is named, and nothing is written."""
    with pytest.raises(Refused, match=r"expected"):
        control.record_outcome("r1", **said, actor=ALICE)
    assert ([], []) == (rows(control, "outcomes"), control.events(0))


def test_a_run_that_is_not_there(control: Control) -> None:
    """An outcome belongs to a run that the store knows."""
    with pytest.raises(NotThere, match=r'no run "r2"'):
        control.record_outcome("r2", success=True, actor=ALICE)
