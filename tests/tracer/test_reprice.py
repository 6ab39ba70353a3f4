from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer import reprice as module
from trimtab_tracer.ingest import ingest
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import Attempt, Exchange
from trimtab_tracer.reprice import reprice
from trimtab_tracer.setting_values import PriceOverride
from trimtab_tracer.store import Store

T0 = 1_790_000_000_000_000_000
OWN = PriceOverride("house-model", input=2.0, output=8.0)


def _call(number: int, model: str, cost: str | None = None) -> list[Any]:
    """A call of one attempt, 1,000 tokens in and 100 out."""
    ids = (f"a{number}", f"c{number}", "r")
    where = ("POST", "127.0.0.1:9", "/v1/chat/completions", "s", "complete")
    attempt = Attempt(*ids, "p", 1, T0, 10**9, "openai.chat", *where, http_status=200, model=model)
    tokens = {"input_tokens": 1_000, "output_tokens": 100, "usage_source": "reported", "cost_reported_usd": cost}
    return [attempt, Exchange(*ids, "openai.chat", model, **tokens)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Calls of a model with a list price, of one without, and of one whose price came with the answer."""
    with Store.open(tmp_path / "trimtab.duckdb") as store:
        records = [*_call(1, "gpt-4o"), *_call(2, "house-model"), *_call(3, "house-model", "0.5")]
        ingest(store, records)
        yield store


def _rows(store: Store) -> list[tuple[Any, ...]]:
    sql = "SELECT call_id, cost_musd, cost_computed_musd, cost_source, price_version FROM {} ORDER BY call_id"
    with closing(store.cursor()) as con:
        return con.sql(sql.format("attempts")).fetchall()


def _calls(store: Store) -> list[tuple[Any, ...]]:
    with closing(store.cursor()) as con:
        return con.sql("SELECT call_id, cost_musd, cost_source FROM calls ORDER BY call_id").fetchall()


def test_own_prices_reach_what_was_recorded_before(store: Store) -> None:
    """A price that the user adds later is that of the old calls, too; a reported cost stays and stands beside it."""
    done = reprice(store, PriceList([OWN]))
    version = _rows(store)[0][4]
    assert [
        ("c1", 3_500, 3_500, "estimated", version),
        ("c2", 2_800, 2_800, "estimated", "settings"),
        ("c3", 500_000, 2_800, "reported", "settings"),
    ] == _rows(store)
    assert [("c1", 3_500, "estimated"), ("c2", 2_800, "estimated"), ("c3", 500_000, "reported")] == _calls(store)
    assert (3, 2, 503_500, 506_300, 1, 0) == done


def test_twice_is_once_and_back_is_back(store: Store) -> None:
    """The same prices again change nothing; without the user's own all is as it was ingested."""
    rows, calls = _rows(store), _calls(store)
    reprice(store, PriceList([OWN]))
    assert 0 == reprice(store, PriceList([OWN])).changed
    assert 2 == reprice(store, PriceList()).changed
    assert (rows, calls) == (_rows(store), _calls(store))


def test_any_number_of_batches_is_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in small batches looks at each attempt once, those of a call together."""
    first, said = _call(1, "house-model")
    ingest(store, [replace(first, attempt_id="a1b", number=2), replace(said, attempt_id="a1b")])
    monkeypatch.setattr(module, "BATCH", 1)
    done = reprice(store, PriceList([OWN]))
    assert (4, 3) == (done.attempts, done.changed)
    assert ("c1", 3_500 + 2_800, "estimated") == _calls(store)[0]
