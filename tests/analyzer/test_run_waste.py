"""Sums of runs that are kept in the store: whatever changed, they are those of a whole analysis."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_analyzer import load, run_waste
from trimtab_analyzer.run_waste import News, keep, news
from trimtab_analyzer.waste import BY, waste
from trimtab_tracer.forget import forget_runs
from trimtab_tracer.prices import PriceList
from trimtab_tracer.setting_values import PriceOverride

TABLES = ("run_money", "run_time", "analysed_runs")
ERROR = {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}


def _refresh(shelf: Any) -> News:
    with load.snapshot(shelf.con):
        found = news(shelf.con)
        keep(shelf.con, found)
    return found


def _rows(shelf: Any) -> list[list[tuple[Any, ...]]]:
    """The kept sums, in an order of their own; marks aside."""
    columns = dict.fromkeys(TABLES, "*") | {"analysed_runs": "run_id, untimed"}
    kept = [shelf.con.execute(f"SELECT {what} FROM {table}").fetchall() for table, what in columns.items()]
    return [sorted(rows, key=repr) for rows in kept]


def _from_scratch(shelf: Any) -> list[list[tuple[Any, ...]]]:
    shelf.con.begin()
    for table in TABLES:
        shelf.con.execute(f"DELETE FROM {table}")
    keep(shelf.con, news(shelf.con))
    rows = _rows(shelf)
    shelf.con.rollback()
    return rows


class Life:
    """A store to which something happens again and again."""

    def __init__(self, shelf: Any, seed: int) -> None:
        self.shelf = shelf
        self.rng = random.Random(seed)
        self.runs: list[str] = []
        self.started = 0

    def begin(self) -> None:
        """A run begins, maybe inside another one, or as the process of others."""
        self.started += 1
        facts: dict[str, Any] = {"service": self.rng.choice(["shop", "desk"]), "ended_ns": self.shelf.now + 10**11}
        if self.runs and self.rng.random() < 0.4:
            facts["parent_run_id"] = self.rng.choice(self.runs)
        facts["is_split"] = self.rng.random() < 0.1
        self.runs.append(self.shelf.run(f"run {self.started}", **facts))
        self.call()

    def call(self) -> None:
        """A run goes on with a call."""
        if not self.runs:
            return self.begin()
        rng, run_id = self.rng, self.rng.choice(self.runs)
        facts: dict[str, Any] = {"prompt_digest": rng.choice("ab"), "message_count": rng.randrange(1, 9)}
        facts |= {"input_tokens": rng.randrange(1000, 9000), "model": "gpt-4o", "host": "api.openai.com"}
        facts |= {"cache_read_tokens": rng.choice([0, None, 900]), "finish_reason": rng.choice(["stop", "length"])}
        facts |= {"cost_musd": rng.choice([None, 4000, 7001])}
        tool = {"name": rng.choice("xy"), "status": rng.choice(["ok", "error", "error"]), "error_type": "KeyError"}
        tools = [tool | {"args_digest": f"a{rng.randrange(4)}", "result_digest": rng.choice("rst")}] * rng.randrange(3)
        attempts = rng.choice([[{}], [ERROR, {}], [ERROR]])
        call_id = self.shelf.call(run_id, *attempts, tools=tools, decisions={"max_retries": 2}, **facts)
        talk = rng.choice([None, "talk", f"talk of {run_id}"])
        self.shelf.con.execute("UPDATE calls SET conversation_id = ? WHERE call_id = ?", [talk, call_id])
        if tools and rng.random() < 0.5:
            big = {"tool_id": f"{call_id}:0", "attempt_id": f"{call_id}.1", "seen_ns": self.shelf.now, "status": "ok"}
            self.shelf.insert("tool_results", big | {"result_chars": 60_000})

    def decide(self) -> None:
        """A decision of a whole run arrives."""
        if self.runs:
            self.shelf.now += 1
            self.shelf.decide(self.rng.choice(self.runs), self.rng.choice(["tools", "max_tokens"]), self.shelf.now)

    def judge(self) -> None:
        """A verdict arrives."""
        if self.runs:
            self.shelf.outcome(self.rng.choice(self.runs), self.rng.random() < 0.5)

    def reprice(self) -> None:
        """An attempt costs another amount."""
        self.shelf.con.execute("UPDATE attempts SET cost_musd = cost_musd + 1 WHERE number = 1 AND started_ns % 3 = 0")

    def forget(self) -> None:
        """A run is erased."""
        if self.runs:
            forget_runs(self.shelf.con, [self.runs.pop(self.rng.randrange(len(self.runs)))])


EVENTS = st.sampled_from(["begin", "call", "call", "decide", "judge", "reprice", "forget"])


@given(seed=st.integers(0, 10**6), batches=st.lists(st.lists(EVENTS, min_size=1, max_size=6), max_size=3))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_kept_sums_are_those_of_a_whole_analysis(
    new_shelf: Callable[[], Any], seed: int, batches: list[list[str]]
) -> None:
    """Batch by batch, runs are taken apart only where something changed, and all sums are those made anew."""
    shelf = new_shelf()
    with closing(shelf.con):
        life = Life(shelf, seed)
        for batch in [["begin", "call", "call"], *batches]:
            for event in batch:
                getattr(life, event)()
            _refresh(shelf)
            assert _from_scratch(shelf) == _rows(shelf)
            again = _refresh(shelf)
            assert (0, []) == (again.fresh.runs.height, again.gone)


def test_any_column_counts(shelf: Any) -> None:
    """One run per column of the tables about runs, with another value in it: none is missed that changes a sum."""
    shelf.run("pattern", ended_ns=10**12)
    for number in range(4):
        facts = {
            "prompt_digest": f"p{number % 2}",
            "message_count": number + 1,
            "input_tokens": 4000,
            "provider": "openai",
        }
        facts |= {
            "model": "gpt-4o",
            "host": "api.openai.com",
            "cache_read_tokens": 100,
            "body_digest": "b",
            "params": "{}",
        }
        cut = {"finish_reason": "length", "max_retries": 2, "error_message": "no"}
        tools = [{"result_digest": "same", "schema_error": "no"}]
        shelf.call("pattern", ERROR, cut if number == 1 else {}, tools=tools, decisions={"max_retries": 2}, **facts)
    shelf.con.execute("UPDATE calls SET conversation_id = run_id || ' talk'")
    shelf.outcome("pattern", True)
    ids = {"attempts": "attempt_id", "calls": "call_id", "tool_calls": "tool_id", "decisions": "decision_id"}
    ids |= {"outcomes": "outcome_id", "runs": "run_id", "tool_requests": "attempt_id"}
    links = {"attempts": ["call_id"], "tool_calls": ["call_id"], "decisions": ["call_id"], "tool_requests": ["call_id"]}
    columns = [(t, c, kind) for t in ids for c, kind, *_ in shelf.con.execute(f"DESCRIBE {t}").fetchall()]
    changed = [(t, c, kind) for t, c, kind in columns if c not in (ids[t], "run_id", *links.get(t, []))]
    for n in range(len(changed)):
        for table, key in ids.items():
            renamed = {name: f"{name} || ' of {n}'" for name in {key, "run_id", *links.get(table, [])}}
            if table == "tool_calls":  # its id is made of the call's
                renamed["tool_id"] = f"replace(tool_id, ':', ' of {n}:')"
            new = ", ".join(f"{to} AS {name}" for name, to in renamed.items())
            shelf.con.execute(
                f"INSERT INTO {table} BY NAME SELECT * REPLACE ({new}) FROM {table} WHERE run_id = 'pattern'"
            )
    shelf.con.execute("UPDATE calls SET conversation_id = run_id || ' talk'")
    assert len(changed) + 2 == _refresh(shelf).fresh.runs.height
    for n, (table, column, kind) in enumerate(changed):
        other = {"VARCHAR": "'other'", "BIGINT": "7", "INTEGER": "7", "DOUBLE": "0.5", "JSON": "'7'"}.get(kind)
        value = f'NOT coalesce("{column}", false)' if kind == "BOOLEAN" else other or "NULL"
        shelf.con.execute(f"UPDATE {table} SET \"{column}\" = {value} WHERE run_id = 'pattern of {n}'")
    _refresh(shelf)
    assert _from_scratch(shelf) == _rows(shelf)


def test_many_runs_are_taken_apart_some_at_a_time(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few attempts at a time give what all at once give, and runs of one conversation stay together."""
    for number in range(5):
        shelf.run(f"run {number}", ended_ns=10**11)
        shelf.call(f"run {number}", ERROR, {}, decisions={"max_retries": 1})
    shelf.con.execute("UPDATE calls SET conversation_id = 'talk' WHERE run_id IN ('run 0', 'run 4')")
    whole = _from_scratch(shelf)
    monkeypatch.setattr(run_waste, "AT_A_TIME", 3)
    asked: list[list[str]] = []
    real = load.attempts
    monkeypatch.setattr(load, "attempts", lambda con, ids: asked.append(sorted(ids)) or real(con, ids))
    assert whole == _from_scratch(shelf)
    assert ["run 0", "run 4"] in asked
    assert 5 == len(asked), "with the run that the shelf begins with"


def test_a_reader_adds_what_is_not_kept_yet(shelf: Any) -> None:
    """The waste of a store whose sums are old is the same as that of one without any, and nothing is written."""
    shelf.call("r1", ERROR, {})
    _refresh(shelf)
    shelf.call("r1")
    before = _rows(shelf)
    some = [waste(shelf.con, by).as_json() for by in BY]
    assert before == _rows(shelf)
    for table in TABLES:
        shelf.con.execute(f"DELETE FROM {table}")
    assert some == [waste(shelf.con, by).as_json() for by in BY]


def test_other_prices_are_a_change(shelf: Any) -> None:
    """With entries of the user's own every run is taken apart again: what a cache miss cost depends on them."""
    shelf.call()
    _refresh(shelf)
    own = PriceList([PriceOverride("m1", 1.0, 2.0)])
    with load.snapshot(shelf.con):
        assert 1 == news(shelf.con, own).fresh.runs.height
        assert isinstance(news(shelf.con).fresh.money, pl.DataFrame)
        assert 0 == news(shelf.con).fresh.runs.height
