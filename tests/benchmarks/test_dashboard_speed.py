"""The benchmark of the dashboard: its store has the large run, and its table says what is meant to be kept."""

from __future__ import annotations

import runpy
from contextlib import closing
from pathlib import Path
from typing import Any

from trimtab_tracer.store import Store

FILE = Path(__file__).parents[2] / "benchmarks" / "dashboard_speed.py"


def test_the_store_has_one_large_run_and_is_analysed(tmp_path: Path) -> None:
    """So many calls and one run of 2,000, with findings and with the waste of every run."""
    speed: dict[str, Any] = runpy.run_path(str(FILE))
    speed["make"](tmp_path / "s.duckdb", 400)
    with Store.open(tmp_path / "s.duckdb") as store, closing(store.cursor()) as con:
        sizes = con.execute("SELECT count(*) FROM calls GROUP BY run_id ORDER BY 1 DESC").fetchall()
        (analysed,), (findings,) = (
            con.execute(f"SELECT count(*) FROM {table}").fetchall()[0] for table in ("analysed_runs", "findings")
        )
    assert [2000] + [20] * 20 == [n for (n,) in sizes]
    assert 21 == analysed
    assert findings > 0


def test_the_table_names_what_is_meant() -> None:
    """Seconds beside their limits, and memory with its growth."""
    found = {
        **{"calls": 102_000, "runs": 5_001, "store_mb": 107, "cold_s": 2.5, "first_page_s": 1.2, "runs_s": 0.9},
        **{"filters_s": {"service": 0.3}, "address_s": 0.9, "text_s": 0.8, "large_run_s": 1.2, "findings_s": 1.7},
        **{"memory_mb": [270.0, 271.0], "memory_growth_mb": 1.0, "refreshes": 2},
    }
    said = runpy.run_path(str(FILE))["table"](found)
    assert "first page    1.20 s  (at most 2 s)" in said
    assert "filter: service    0.30 s  (at most 1 s)" in said
    assert said.endswith("memory  270, 271 MiB over 2 refreshes: +1.0")
