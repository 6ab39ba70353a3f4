"""Several people at once: one decision each time, one message for the others, and never a wrong file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Conflict, Control

PEOPLE = 8


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An empty store."""
    with Store.open(settings.store_path) as opened:
        yield opened


@pytest.fixture
def controls(store: Store, settings: Settings) -> list[Control]:
    """Two controls of one store."""
    return [Control(store, settings), Control(store, settings)]


def proposals(n: int) -> list[Any]:
    """Proposals for different knobs."""
    columns = {"finding_id": "f", "rule": "retry_storm", "service": None, "model": None, "site_id": "s1"}
    columns |= {"file": "a.py", "function": "f", "line": 1, "title": "t", "why": "w", "from_value": 0, "to_value": 3}
    columns |= {
        "match": {},
        "expected": {},
        "evidence": {},
        "risk": "low",
        "learned_by": "rule",
        "calls_per_day": None,
        "wrong_if": None,
        "experiment_id": None,
    }
    return [SimpleNamespace(**columns, knob=f"knob_{i}") for i in range(n)]


def names(store: Store) -> list[str]:
    """Ids of all recommendations."""
    with closing(store.cursor()) as con:
        return [name for (name,) in con.execute("SELECT recommendation_id FROM recommendations ORDER BY 1").fetchall()]


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Results or conflicts of so many threads that begin together."""
    gate = threading.Barrier(PEOPLE)
    results: list[Any] = [None] * PEOPLE

    def run(n: int) -> None:
        gate.wait()
        try:
            results[n] = work(n)
        except Conflict as conflict:
            results[n] = conflict

    threads = [threading.Thread(target=run, args=(n,)) for n in range(PEOPLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_many_who_decide_at_once_one_does(controls: list[Control], store: Store) -> None:
    """However many accept or reject at once, through two controls: one decision, one audit row, one message each."""
    rounds = 5
    controls[0].propose(proposals(rounds))
    for name in names(store):

        def decide(n: int, name: str = name) -> Any:
            decision = controls[n % 2].accept if n % 3 else controls[n % 2].reject
            return decision(name, version=1, actor=Actor(f"person {n}", "dashboard"))

        results = at_once(decide)
        (winner,) = [n for n, result in enumerate(results) if not isinstance(result, Conflict)]
        done = "accepted" if winner % 3 else "rejected"
        sentences = {str(result) for result in results if isinstance(result, Conflict)}
        (sentence,) = sentences
        assert sentence.startswith(f"person {winner} {done} this recommendation at ")
    assert rounds == len(controls[1].events(0))


def test_everyones_own_decision_is_taken(controls: list[Control], store: Store, settings: Settings) -> None:
    """Decisions about different things all succeed, in some order; the file ends as the newest version."""
    controls[0].propose(proposals(PEOPLE))
    ids = names(store)
    at_once(lambda n: controls[n % 2].accept(ids[n], version=1, actor=Actor("a", "cli")))
    document = json.loads(settings.policy_path.read_bytes())
    assert (PEOPLE + 1, PEOPLE) == (document["version"], len(document["rules"]))
    assert controls[0].published().text == settings.policy_path.read_bytes()
    assert list(range(1, PEOPLE + 1)) == [row["audit_id"] for row in controls[0].events(0)]


def test_frozen_is_frozen_whoever_decides_meanwhile(controls: list[Control], store: Store, settings: Settings) -> None:
    """Once freezing has begun, no file that anyone sees afterwards steers, whatever is accepted at the same time."""
    controls[0].propose(proposals(PEOPLE))
    ids = names(store)
    frozen, seen = threading.Event(), []

    def watch() -> None:
        is_over = False
        while not is_over:
            is_over = frozen.is_set()
            seen.append(parse(settings.policy_path.read_bytes(), controls[0].published().issued_ns).is_frozen)

    controls[0].refresh()
    watcher = threading.Thread(target=watch)
    watcher.start()

    def decide(n: int) -> Any:
        if n == 0:
            return controls[0].freeze(Actor("a", "cli"))
        return controls[n % 2].accept(ids[n], version=1, actor=Actor("a", "cli"))

    at_once(decide)
    frozen.set()
    watcher.join()
    assert seen == sorted(seen)
    assert seen[-1]
    assert (PEOPLE + 1, PEOPLE - 1) == (controls[0].published().version, len(controls[0].published().document["rules"]))


def test_freeze_and_unfreeze_at_once_end_as_the_store_says(
    controls: list[Control], store: Store, settings: Settings
) -> None:
    """However freezing and letting go are mixed, the file ends as the last committed decision."""

    def decide(n: int) -> Any:
        for _ in range(4):
            if n % 2:
                controls[0].freeze(Actor("a", "cli"))
            else:
                try_unfreeze(controls[1])

    at_once(decide)
    with closing(store.cursor()) as con:
        ((version, is_frozen),) = con.execute(
            "SELECT version, (document ->> 'frozen')::BOOLEAN FROM policy_versions ORDER BY version DESC LIMIT 1"
        ).fetchall()
    document = json.loads(settings.policy_path.read_bytes())
    assert (version, is_frozen) == (document["version"], document["frozen"])
    told = controls[0].events(0)
    assert version - 1 == sum(row["from_value"] != row["to_value"] for row in told)


def try_unfreeze(control: Control) -> None:
    """Unfreeze if it is frozen and nobody was quicker."""
    try:
        control.unfreeze(Actor("b", "cli"), seen=control.published().version)
    except Conflict:
        return
