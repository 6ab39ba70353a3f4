from __future__ import annotations

import runpy
from pathlib import Path

FILE = Path(__file__).parents[2] / "benchmarks" / "compare_speed.py"


def test_the_store_has_drawn_values_and_others(tmp_path: Path) -> None:
    """Every run has a drawn and a set value at each line, and each step of a comparison is timed."""
    speed = runpy.run_path(str(FILE))
    speed["make"](tmp_path / "s.duckdb", 1200)
    found = speed["measure"](tmp_path / "s.duckdb")
    assert (1200, 60, 60 * 7 * 2) == (found["calls"], found["runs"], found["units"])
    assert 21 == found["effects"]
    assert {"runs", "units", "values", "scorecard", "shares", "total"} == found["seconds"].keys()
