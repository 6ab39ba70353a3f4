"""What tracing costs an agent, beside what its peers cost, in one run.

    python benchmarks/overhead.py                    # everything; makes the peers' environments first
    python benchmarks/overhead.py --only-ours        # without the peers and their environments
    python benchmarks/overhead.py --guard            # fails where trimtab costs clearly more than it should

A real openai client talks to a real HTTP server on loopback, whose process answers at once. Each subject is a process
of its own; in every round each has a block of calls, in changing order, and is compared with the bare SDK's blocks of
the same round. CPU is the whole process's, background threads included, up to the end of their work. Nothing here is a
promise for another machine: read the ratios.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from overhead_parts import guard, report
from overhead_parts.figures import figures, targets
from overhead_parts.provider import provider
from overhead_parts.rounds import measure, measure_start_up
from overhead_parts.subjects import BARE, OURS, PEERS, python_of

HERE = Path(__file__).parent


def main() -> int:
    """Measure and print; the exit code is 1 where the guard fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=25, help="turns of each subject")
    parser.add_argument("--only-ours", action="store_true", help="leave the peers out")
    parser.add_argument("--guard", action="store_true", help="only check that trimtab costs no more than it should")
    parser.add_argument(
        "--environments", type=Path, default=HERE.parent / ".environments", help="where the peers' are made"
    )
    parser.add_argument("--out", type=Path, help="folder for overhead.csv, overhead.md and overhead.svg")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, provider() as url:
        if options.guard:
            return guard.check(url, Path(scratch))
        subjects = [BARE, *OURS, *(() if options.only_ours else PEERS)]
        pythons = {subject: python_of(subject, options.environments) for subject in subjects}
        measured = measure(pythons, url, Path(scratch), options.rounds)
        measure_start_up(pythons, measured, Path(scratch), 7)
    found = figures(measured)
    page = f"{report.as_table(found)}\n\n{report.as_targets(targets(found))}\n"
    print(page)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "overhead.csv").write_text(report.as_csv(found))
        (options.out / "overhead.md").write_text(page)
        (options.out / "overhead.svg").write_text(report.as_svg(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
