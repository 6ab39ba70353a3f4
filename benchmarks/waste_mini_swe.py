"""Where the money of 500 real coding-agent runs went: the ledger over a folder of logged calls.

    python benchmarks/waste_mini_swe.py --data DIR [--estimate] [--json] [--out DIR]

In: a folder with ``mini_swe_agent/calls.parquet`` and ``runs.parquet``, or with the two files themselves: one row per
LLM call (``instance_id``, ``step``, ``created`` (seconds since the epoch), ``model``, ``finish_reason``,
``prompt_tokens``, ``completion_tokens``, ``cached_tokens``, ``reasoning_tokens``, ``cost`` (USD as the provider
reported it, or NULL), ``command`` and ``obs_chars`` of its result, ``format_error``) and per run (``instance_id``,
``resolved``). Any folder of this form will do. Out: a table, or JSON with ``--json``; ``--out`` also writes
``waste_mini_swe.csv`` there.

The rows become records of a live agent and go through ingestion, so that prices, derived calls and the ledger are those
of any other run; calls whose cost nobody reported stay of unknown cost, unless ``--estimate`` counts them at list
prices. The files hold no results of commands, so nothing is said of repeats. A trivial baseline stands beside the
ledger: what one sees who only looks at whether a request failed. Keys of the JSON: ``runs``, ``resolved``, ``calls``,
``unpriced`` (calls of unknown cost), ``cost_musd`` in all, ``rejected_or_cut`` {``calls``, ``cost_musd``, ``share``},
``cut`` the same, ``failed_runs`` {``runs``, ``calls``, ``cost_musd``, ``share``}, ``rejected_share`` {``failed_runs``,
``solved_runs``}: of their calls, ``classes`` [{``cls``, ``calls``, ``cost_musd``, ``share``, ``unknown``,
``input_tokens``, ``output_tokens``}], ``baseline`` {``answered``, ``failed``}: micro-USD.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from trimtab_analyzer.cost import by_class, ledger
from trimtab_tracer.digests import digest
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import (
    Attempt,
    Exchange,
    Outcome,
    Record,
    RunEnd,
    RunStart,
    Site,
    ToolRequest,
    ToolResult,
)
from trimtab_tracer.store import Store

BATCH = 50
"""Runs in one transaction."""
SECOND = 1_000_000_000


def main() -> int:
    """Read, ingest, add up and show."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with calls and runs (.parquet)")
    parser.add_argument("--estimate", action="store_true", help="list prices where the provider reported no cost")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write waste_mini_swe.csv to")
    args = parser.parse_args()
    folder = args.data / "mini_swe_agent" if (args.data / "mini_swe_agent").is_dir() else args.data
    calls, runs = (pl.read_parquet(folder / f"{name}.parquet") for name in ("calls", "runs"))
    with tempfile.TemporaryDirectory() as home, Store.open(Path(home) / "trimtab.duckdb") as store:
        for records in _batches(calls, runs):
            ingest(store, records)
        with closing(store.cursor()) as con:
            if not args.estimate:
                con.execute("UPDATE attempts SET cost_musd = NULL WHERE cost_source = 'estimated'")
            found = _summed(ledger(con), runs)
    if args.out:
        _write(args.out, found)
    print(json.dumps(found, indent=2) if args.json else _text(found))
    return 0


def _batches(calls: pl.DataFrame, runs: pl.DataFrame) -> Iterator[list[Record]]:
    """The records of the runs, some at a time."""
    steps = calls.sort("instance_id", "step").partition_by("instance_id", as_dict=True)
    records: list[Record] = [Site("harness", "mini-swe-agent", "default", 0, 0, "", "library")]
    for number, run in enumerate(runs.sort("instance_id").iter_rows(named=True), 1):
        own = steps.get((run["instance_id"],))
        records += _run(run, [] if own is None else own.rows(named=True))
        if number % BATCH == 0:
            yield records
            records = []
    yield records


def _run(run: dict[str, Any], steps: list[dict[str, Any]]) -> Iterator[Record]:
    run_id = run["instance_id"]
    first, last = (steps[0]["created"], steps[-1]["created"]) if steps else (0, 0)
    yield RunStart(run_id, "import", first * SECOND, run_id, "import", service="mini-swe-agent")
    before: dict[str, Any] | None = None
    for step in steps:
        yield from _call(run_id, step, before)
        before = step
    if before and before["format_error"]:  # no later request of the run turns its last answer down
        raise SystemExit(f"{run_id}: its last answer was rejected, so the log is cut; leave that run out.")
    yield RunEnd(run_id, last * SECOND + SECOND, "ok", "import")
    yield Outcome(f"{run_id}:resolved", run_id, last * SECOND + SECOND, run["resolved"], None, "evaluator")


def _call(run_id: str, step: dict[str, Any], before: dict[str, Any] | None) -> Iterator[Record]:
    call_id = _call_id(run_id, step)
    # The log has seconds, and several steps may share one: the step keeps their order.
    at_ns = step["created"] * SECOND + step["step"] * 1_000
    ids = (f"{call_id}.1", call_id, run_id)
    yield Attempt(
        *ids, "import", 1, at_ns, 0, "openai.chat", "POST", "openrouter.ai", "/api/v1/chat/completions", "harness",
        "complete", http_status=200,
    )  # fmt: skip
    yield Exchange(
        *ids,
        "openai.chat",
        model=step["model"],
        finish_reason={"MAX_TOKENS": "length"}.get(step["finish_reason"], step["finish_reason"].lower()),
        input_tokens=step["prompt_tokens"],
        output_tokens=step["completion_tokens"],
        cache_read_tokens=step["cached_tokens"],
        reasoning_tokens=step["reasoning_tokens"],
        usage_source="reported",
        cost_reported_usd=None if step["cost"] is None else repr(step["cost"]),
        message_count=2 * step["step"] + 2,
        rejects_call_id=_call_id(run_id, before) if before and before["format_error"] else None,
        tool_requests=_requests(step),
        tool_results=_results(run_id, before, at_ns),
    )


def _requests(step: dict[str, Any]) -> tuple[ToolRequest, ...]:
    command = step["command"]
    return () if step["format_error"] or not command else (ToolRequest(0, None, "bash", digest(command), True),)


def _results(run_id: str, before: dict[str, Any] | None, at_ns: int) -> tuple[ToolResult, ...]:
    if before is None or not _requests(before):
        return ()
    return (ToolResult(f"{_call_id(run_id, before)}:0", at_ns, "ok", result_chars=before["obs_chars"]),)


def _call_id(run_id: str, step: dict[str, Any]) -> str:
    return f"{run_id}:{step['step']:05d}"


def _summed(parts: pl.DataFrame, runs: pl.DataFrame) -> dict[str, Any]:
    """The known figures, and the classes."""
    total = int(parts["cost_musd"].sum())
    failed = parts.join(runs.filter(~pl.col("resolved")), left_on="run_id", right_on="instance_id", how="semi")
    solved = parts.join(runs.filter("resolved"), left_on="run_id", right_on="instance_id", how="semi")

    def amount(rows: pl.DataFrame) -> dict[str, Any]:
        musd = int(rows["cost_musd"].sum())
        return {"calls": rows["call_id"].n_unique(), "cost_musd": musd, "share": musd / total if total else 0.0}

    is_cut = pl.col("cls") == "truncated_output"
    is_rejected = is_cut | (pl.col("cls") == "rejected_output")
    classes = [
        {name: row[name] for name in ("cls", "calls", "cost_musd", "unknown", "input_tokens", "output_tokens")}
        | {"share": row["cost_musd"] / total if total else 0.0}
        for row in by_class(parts).iter_rows(named=True)
    ]
    failing = amount(failed)
    return {
        "runs": runs.height,
        "resolved": int(runs["resolved"].sum()),
        "calls": parts["call_id"].n_unique(),
        "unpriced": parts.filter(~pl.col("cost_known"))["attempt_id"].n_unique(),
        "cost_musd": total,
        "rejected_or_cut": amount(parts.filter(is_rejected)),
        "cut": amount(parts.filter(is_cut)),
        "failed_runs": {"runs": int((~runs["resolved"]).sum()), **failing},
        "rejected_share": {
            name: rows.filter(is_rejected)["call_id"].n_unique() / max(rows["call_id"].n_unique(), 1)
            for name, rows in (("failed_runs", failed), ("solved_runs", solved))
        },
        "classes": classes,
        # Without the ledger, one sees whether a request failed.
        "baseline": {"answered": total, "failed": 0},
    }


COLUMNS = ("cls", "calls", "unknown", "cost_musd", "share", "input_tokens", "output_tokens")


def _write(folder: Path, found: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "waste_mini_swe.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"share": f"{row['share']:.6f}"} for row in found["classes"])


def _text(found: dict[str, Any]) -> str:
    lines = [f"{'class':<20} {'calls':>7} {'unknown':>8} {'USD':>10} {'share':>7} {'input tokens':>13}"]
    for row in found["classes"]:
        lines.append(
            f"{row['cls']:<20} {row['calls']:>7,} {row['unknown']:>8,} {row['cost_musd'] / 1e6:>10.6f}"
            f" {100 * row['share']:>6.2f}% {row['input_tokens']:>13,}"
        )
    lost, cut, failed = found["rejected_or_cut"], found["cut"], found["failed_runs"]
    rate = found["rejected_share"]
    lines += [
        f"{'total':<20} {found['calls']:>7,} {found['unpriced']:>8,} {found['cost_musd'] / 1e6:>10.6f}",
        "",
        f"{found['resolved']} of {found['runs']} runs resolved",
        f"rejected or cut: {lost['calls']} calls, USD {lost['cost_musd'] / 1e6:.2f} ({100 * lost['share']:.1f} %)",
        f"cut by the token limit: {cut['calls']} call, USD {cut['cost_musd'] / 1e6:.2f}",
        f"failed runs: USD {failed['cost_musd'] / 1e6:.2f} ({100 * failed['share']:.1f} % of the spend)",
        f"rejected: {100 * rate['failed_runs']:.1f} % in failed, {100 * rate['solved_runs']:.1f} % in solved runs",
        f"baseline (did the request fail?): USD {found['baseline']['failed'] / 1e6:.2f} wasted",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
