"""Faults of a harness with known truth: does the first finding name the knob and the line that were made wrong?

    python benchmarks/fault_injection.py [--split tuning|held-out|all] [--seeds N] [--json] [--out DIR] [--docs]
    python benchmarks/fault_injection.py --data DIR     # your own faults and agents
    python benchmarks/fault_injection.py --check        # do the faults do harm, and the twins none? no findings

Each fault is run in its agents, and the same tasks under sound settings beside it; then the healthy twins. What the
folder holds, what counts as right and as false, and every key of the JSON is in docs/fault-injection.md. Half of the
faults are held out; whoever works on rules runs the other half, which is the default. Ends with 1 where a case is not
valid: an agent broke off, a fault did no harm, or sound settings failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from injection import report
from injection.faults import HELD_OUT, TUNING, Case, read
from injection.running import run
from injection.verdicts import Verdict, commonest_knob, judge

HERE = Path(__file__).parent
AT_ONCE = 3
"""Agents that run at the same time: importing a framework keeps a processor busy, a hanging request none."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, judge, and print or write what came out."""
    options = _options(arguments)
    cases = _chosen(read(options.data), options)
    commonest = commonest_knob(read(options.data))
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="trimtab-injection-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [
            pool.submit(judge_case, case, seed, Path(folder) / f"{case.name}-{seed}", commonest, not options.check)
            for seed in range(1, options.seeds + 1)
            for case in cases
        ]
        for job in jobs:
            verdicts.append(job.result())
            print(report.line(verdicts[-1], pins=not options.check), file=sys.stderr, flush=True)
    found = report.figures(verdicts)
    if options.json:
        print(json.dumps(found, indent=2))
    elif not options.check:
        print(report.tables(found))
    if options.out:
        report.write(found, options.out)
    if options.docs:
        report.into_document(found, HERE.parent / "docs" / "fault-injection.md")
    return 1 if found["invalid"] else 0


def judge_case(case: Case, seed: int, home: Path, commonest: str, is_asked: bool) -> Verdict:
    """Run a case, under sound settings too where it has a fault, and judge."""
    ran = run(case, case.settings, seed, home / "ran", is_asked=is_asked)
    twin = None if case.truth is None else run(case, case.sound, seed, home / "sound", is_asked=False)
    return judge(case, seed, ran, twin, commonest)


def _chosen(cases: Sequence[Case], options: argparse.Namespace) -> list[Case]:
    chosen = [case for case in cases if options.split == "all" or case.split in (None, options.split)]
    if not options.only:
        return chosen
    names = set(options.only.split(","))
    if unknown := names - {name for case in chosen for name in (case.id, case.name)}:
        raise SystemExit(f"fault_injection.py: no cases {sorted(unknown)} in the split {options.split}.")
    return [case for case in chosen if names & {case.id, case.name}]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR", type=Path, default=HERE / "fault_injection", help="folder of faults")
    parser.add_argument("--split", choices=(TUNING, HELD_OUT, "all"), default=TUNING, help="which half of the faults")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="repeat with N different seeds")
    parser.add_argument("--only", metavar="ID[@AGENT],...", help="these cases alone")
    parser.add_argument("--check", action="store_true", help="only check that faults do harm and twins do none")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--out", metavar="DIR", type=Path, help="also write cases.csv, figures.json and tables.md")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/fault-injection.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
