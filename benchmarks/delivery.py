"""Retries, timeouts, hedges, breaker and places against what SDKs and retry libraries do, in virtual time. Synthetic.

In: a seed and a number of repetitions. Out: one row per scenario and policy, and whether what is promised holds. The
provider is a simulator with heavy-tailed answers and outages (``delivery_parts/world.py``); trimtab's policy is the
production code with another clock (``delivery_parts/policies.py``). The figures compare policies on the same calls, and
say nothing about any provider's real outages.

    tails         an hour, one call a second, 1 % of the requests fail
    crowded       20 minutes of 20 calls at once every 20 s, of which the provider takes 10
    outage N s    requests are refused for 5, 60 or 600 s
    silent 60 s   requests get no answer for 60 s

Run: ``python benchmarks/delivery.py [--seeds 10] [--seed 100] [--json] [--out DIR]``. Exits with 1 where a promise is
not kept. ``--json`` prints ``{"seed", "seeds", "patience_s", "seconds", "rows": [{"scenario", "policy", "calls",
"answered", "p50_s", "p99_s", "p99_answered_s", "requests", "requests_in_outage", "recovery_s"}], "promises":
[{"promise", "scenario", "seen", "wanted", "kept"}]}``. ``answered`` is the share of calls with an answer within
``patience_s``; ``p50_s`` and ``p99_s`` are over all calls until the agent knew, ``p99_answered_s`` over those that were
answered; ``recovery_s`` is the longest time after an outage's end at which a call that came then was still turned away,
over all repetitions.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from delivery_parts.plot import as_svg
from delivery_parts.policies import POLICIES
from delivery_parts.world import Scenario, World

PATIENCE_S = 120.0
"""An answer that comes later is of no use to anybody."""
BEFORE_S = AFTER_S = 120.0
"""Around an outage."""
BASE, OURS = "openai 3", "trimtab"

Row = dict[str, Any]


def _outage(length_s: float, *, is_silent: bool = False) -> Scenario:
    name = f"{'silent' if is_silent else 'outage'} {length_s:g} s"
    lasts_s = BEFORE_S + length_s + AFTER_S
    return Scenario(name, lasts_s, outage=(BEFORE_S, BEFORE_S + length_s), is_silent=is_silent)


SCENARIOS = (
    Scenario("tails", 3600.0),
    Scenario("crowded", 1200.0, places=10, burst=20),
    *(_outage(length_s) for length_s in (5.0, 60.0, 600.0)),
    _outage(60.0, is_silent=True),
)


def measure(scenario: Scenario, policy: str, seeds: range) -> Row:
    """One row: ``scenario`` under ``policy``, over all ``seeds``."""
    worlds = []
    for seed in seeds:
        worlds.append(World(scenario, seed))
        worlds[-1].run(POLICIES[policy](worlds[-1]))
    times = [time for world in worlds for time in world.times]
    taken = np.array([taken_s for taken_s, _ in times])
    answered = np.array([is_answered for _, is_answered in times])
    return {
        "scenario": scenario.name,
        "policy": policy,
        "calls": len(times),
        "answered": float(np.mean(answered & (taken <= PATIENCE_S))),
        "p50_s": float(np.quantile(taken, 0.5)),
        "p99_s": float(np.quantile(taken, 0.99)),
        "p99_answered_s": float(np.quantile(taken[answered], 0.99)),
        "requests": sum(world.requests for world in worlds),
        "requests_in_outage": sum(world.requests_in_outage for world in worlds),
        "recovery_s": max(world.held_back_s for world in worlds),
    }


def promises(rows: list[Row]) -> list[Row]:
    """What is promised of trimtab against an SDK's defaults, and whether it was kept."""
    found = []

    def note(promise: str, scenario: str, seen: float, wanted: float, *, is_most: bool = True) -> None:
        kept = seen <= wanted if is_most else seen >= wanted
        found.append({"promise": promise, "scenario": scenario, "seen": seen, "wanted": wanted, "kept": bool(kept)})

    for scenario in SCENARIOS:
        ours, base = (_row(rows, scenario.name, policy) for policy in (OURS, BASE))
        note("answered, at least", scenario.name, ours["answered"], base["answered"], is_most=False)
        note("p99_s, at most", scenario.name, ours["p99_s"], base["p99_s"])
        note("requests, at most", scenario.name, ours["requests"], base["requests"])
        if base["requests_in_outage"]:
            note("requests in the outage, at most .4 of", scenario.name, ours["requests_in_outage"],
                 0.4 * base["requests_in_outage"])  # fmt: skip
            note("recovery, at most", scenario.name, ours["recovery_s"], 5.0)
    ours_sum, base_sum = (sum(row["requests"] for row in rows if row["policy"] == policy) for policy in (OURS, BASE))
    note("requests, at most", "all together", ours_sum, base_sum)
    return found


def _row(rows: list[Row], scenario: str, policy: str) -> Row:
    return next(row for row in rows if (row["scenario"], row["policy"]) == (scenario, policy))


def as_table(rows: list[Row]) -> str:
    """The rows as a table for people."""
    head = (
        "scenario",
        "policy",
        "calls",
        "answered",
        "p50 s",
        "p99 s",
        "p99 answered s",
        "requests",
        "in outage",
        "recovery s",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()]
        shown[3] = f"{row['answered']:.4f}"
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; the exit code is 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=10, help="repetitions")
    parser.add_argument("--seed", type=int, default=100, help="the first one; 0 and 1 were developed on")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--out", type=Path, help="folder for delivery.csv and delivery.svg")
    options = parser.parse_args()
    began, seeds = time.monotonic(), range(options.seed, options.seed + options.seeds)
    rows = [measure(scenario, policy, seeds) for scenario in SCENARIOS for policy in POLICIES]
    kept = promises(rows)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        with (options.out / "delivery.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
        (options.out / "delivery.svg").write_text(as_svg(rows), encoding="utf-8")
    if options.json:
        seconds = round(time.monotonic() - began, 1)
        said = {"seed": options.seed, "seeds": options.seeds, "patience_s": PATIENCE_S, "seconds": seconds}
        print(json.dumps({**said, "rows": rows, "promises": kept}))
    else:
        print("Synthetic: a simulated provider in virtual time.\n", as_table(rows), "", sep="\n")
        for each in kept:
            said = "kept" if each["kept"] else "NOT KEPT"
            print(f"{said:9}{each['scenario']:12} {each['promise']} {each['wanted']:.5g}: {each['seen']:.5g}")
    return 0 if all(each["kept"] for each in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
