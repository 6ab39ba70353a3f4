"""How long ``trimtab compare`` takes on a large store, step by step, and how much memory.

    python benchmarks/compare_speed.py --calls 1000000 [--json] [--data FILE]

In: a number of calls, or a store of one's own (``--data``, a DuckDB file; it is read and not changed). Out: processor
and wall-clock seconds of each step and the peak memory of the whole, as text or, with ``--json``, as an object.

The store is the synthetic one of ``analyzer_speed.py`` (20 calls to a run, 8 decisions to a call, 7 lines), in which
two knobs vary at each of the lines: an experiment draws ``timeout_s`` for each run, half and half, and the code gives
half of the runs another ``max_retries``. Runs are of 5,000 tasks. So there are 14 comparisons in each of three
measures, half of them effects.

Keys of the JSON: ``calls``, ``runs``, ``decisions``, ``units`` (runs x lines x knobs), ``effects``, ``associations``;
``seconds`` and ``cpu_seconds`` of ``runs`` (read), ``units`` (read), ``values`` (effects and associations),
``scorecard``, ``shares`` (shares of variance, gaps, frontier) and ``total``; ``peak_mb``.
"""

from __future__ import annotations

import argparse
import json
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab_tracer.store import Store

SPEED = runpy.run_path(str(Path(__file__).with_name("analyzer_speed.py")))

VARY = """
CREATE OR REPLACE TABLE varied AS SELECT * REPLACE (
    (CASE
        WHEN knob = 'timeout_s' AND hash(run_id || 'drawn') % 2 = 0 THEN '5.0'
        WHEN knob = 'max_retries' AND hash(run_id || 'set') % 2 = 0 THEN '3'
        ELSE value::VARCHAR
    END)::JSON AS value,
    CASE WHEN knob = 'timeout_s' THEN 'experiment' ELSE source END AS source,
    CASE WHEN knob = 'timeout_s' THEN 0.5 ELSE propensity END AS propensity
) FROM decisions;
DELETE FROM decisions;
INSERT INTO decisions FROM varied;
DROP TABLE varied;
UPDATE runs SET task = 'task ' || hash(run_id || 'task') % 5000;
"""


def main() -> int:
    """Make the store, compare it in a process of its own, and show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--data", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure)))
        return 0
    with tempfile.TemporaryDirectory(prefix="compare-speed-") as folder:
        path = args.data or Path(folder) / "trimtab.duckdb"
        if not args.data:
            make(path, args.calls)
        command = [sys.executable, __file__, "--measure", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return 1
    found = json.loads(done.stdout)
    print(
        json.dumps(found, indent=2) if args.json else "\n".join(f"{key:>14}  {value}" for key, value in found.items())
    )
    return 0


def make(path: Path, calls: int) -> None:
    """The store of so many calls, in which two knobs vary."""
    SPEED["make"](path, calls)
    with Store.open(path) as store, store.transaction() as con:
        con.execute(VARY)


class Watch:
    """Seconds of named steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a block."""
        cpu, began = SPEED["_cpu_s"](), time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 2)
        self.cpu_seconds[name] = round(SPEED["_cpu_s"]() - cpu, 2)


def measure(path: Path) -> dict[str, Any]:
    """Compare the store at ``path``, step by step."""
    from trimtab_analyzer.compare import as_table, compare, read_store, scorecard
    from trimtab_analyzer.effects import compare_values, read_units

    watch = Watch()
    with Store.open(path, read_only=True) as store:
        con = store.cursor()
        con.execute("SET threads = 2")
        counts = {
            name: con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in ("calls", "runs", "decisions")
        }
        with watch.step("total"):
            with watch.step("runs"):
                table = as_table(read_store(con), {}, ["model"])
            with watch.step("units"):
                units = read_units(con)
            with watch.step("values"):
                found = compare_values(units)
            with watch.step("scorecard"):
                scorecard(con)
            with watch.step("shares"):
                compare(table)
    counts |= {"units": units.rows.height, "effects": len(found.effects), "associations": len(found.associations)}
    return counts | {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "peak_mb": SPEED["_peak_mb"](),
    }


if __name__ == "__main__":
    sys.exit(main())
