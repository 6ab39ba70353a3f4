"""What the API keeps of its dear computations: when it is used again, and when it is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from trimtab_analyzer.case import Case
from trimtab_tracer.records import Outcome, Record
from trimtab_tracer.spool import SpoolWriter
from trimtab_tuner.client import Client
from trimtab_tuner.computed import Computed
from trimtab_tuner.sidecar import Sidecar

SomeRun = Callable[..., list[Record]]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry per time that an API request loads the frames of an analysis: how many are doing so at that moment."""
    seen: list[int] = []
    real, now, lock = Case.load, [0], threading.Lock()

    def load(con: Any, run_ids: Any = None, prices: Any = None) -> Case:
        if "analysis" in threading.current_thread().name:
            return real(con, run_ids, prices)
        with lock:
            now[0] += 1
            seen.append(now[0])
        try:
            time.sleep(0.01)  # long enough for another request to come in
            return real(con, run_ids, prices)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(Case, "load", load)
    return seen


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until something holds."""

    def wait(said: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not said():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def give(sidecar: Sidecar) -> Callable[[list[Record]], object]:
    """Import records."""
    return Client(sidecar.url, sidecar.settings.token_path.read_text().strip()).post_records


def _cost(api: httpx.Client, path: str = "/v1/ledger", **parameters: Any) -> int:
    answer = api.get(path, params=parameters).raise_for_status().json()
    total: int = answer["total_musd"] if "total_musd" in answer else answer["totals"]["cost_musd"]
    return total


def test_an_unchanged_store_is_computed_once(api: httpx.Client, some_run: SomeRun, give: Any, loads: list[int]) -> None:
    """Ledger and report are computed once each however often they are asked for, and anew for another run."""
    give(some_run(1) + some_run(2))
    assert [_cost(api), _cost(api), _cost(api, limit=1)] == [2000] * 3
    assert [_cost(api, "/v1/report"), _cost(api, "/v1/report")] == [2000] * 2
    assert len(loads) == 2
    assert _cost(api, run="r001") == 1000
    assert len(loads) == 3


def test_what_comes_in_is_seen(
    api: httpx.Client, some_run: SomeRun, give: Any, spool: SpoolWriter, until: Callable[..., Any]
) -> None:
    """After an import, a replacement of the same size or a batch of the collector the next answer has it."""
    give(some_run(1))
    assert (_cost(api), _cost(api, "/v1/report")) == (1000, 1000)
    give(some_run(2))
    assert (_cost(api), _cost(api, "/v1/report")) == (2000, 2000)
    give([Outcome("o", "r001", 1, False)])
    assert api.get("/v1/report").json()["totals"]["failed_runs"] == 1
    give([Outcome("o", "r001", 1, True)])
    assert api.get("/v1/report").json()["totals"]["failed_runs"] == 0
    for record in some_run(3):
        spool.write(record)
    until(lambda: api.get("/v1/runs").json()["total"] == 3)
    assert (_cost(api), _cost(api, "/v1/report")) == (3000, 3000)


def test_pages_of_a_ledger_come_from_one_computation(
    api: httpx.Client, some_run: SomeRun, give: Any, loads: list[int]
) -> None:
    """Read page by page while runs come in, a ledger has every part once and the total of its first page."""
    give(some_run(1) + some_run(2))
    first = api.get("/v1/ledger", params={"limit": 3}).json()
    give(some_run(0))  # older than the others: a new computation would shift all parts
    second = api.get("/v1/ledger", params={"limit": 3, "cursor": first["parts"]["next"]}).json()
    parts = [part["attempt_id"] for page in (first, second) for part in page["parts"]["items"]]
    assert parts == ["r001.c.1", "r001.c.2", "r002.c.1", "r002.c.2"]
    assert (second["total_musd"], len(loads)) == (2000, 1)


def test_requests_at_once_compute_one_after_the_other(
    api: httpx.Client, some_run: SomeRun, give: Any, loads: list[int]
) -> None:
    """Eight requests at the same time, for four runs, never hold two analyses in memory."""
    give([record for n in range(4) for record in some_run(n)])
    with ThreadPoolExecutor(8) as pool:
        costs = list(pool.map(lambda n: _cost(api, "/v1/report", run=f"r00{n % 4}"), range(8)))
    assert (costs, max(loads)) == ([1000] * 8, 1)


def test_results_are_let_go(
    api: httpx.Client, some_run: SomeRun, give: Any, loads: list[int], monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    """A result that nobody asks for any more is computed anew the next time."""
    give(some_run(1))
    monkeypatch.setattr(Computed, "KEEP_S", 0.01)
    until(lambda: _cost(api) and len(loads) > 1)
    assert len(loads) > 1
