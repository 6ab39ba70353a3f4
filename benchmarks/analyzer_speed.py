"""How long an analysis of a large store takes, and how much memory: rules, findings and waste over synthetic calls.

    python benchmarks/analyzer_speed.py --calls 1000000 [--calls-of-a-run 20] [--json] [--out DIR] [--data FILE]

In: a number of calls, or a store of one's own (``--data``, a DuckDB file; it is copied and not changed). Out: seconds
and peak memory of each step, as text or, with ``--json``, as an object; ``--out`` adds a line to ``speed.csv`` there
and draws ``speed.svg`` anew. One giant run is ``--calls-of-a-run`` as large as ``--calls``, tiny ones are 1.

The store is openly synthetic: ``range()`` into its tables, seeded by hashing, 20 calls to a run, to each call 1.1
attempts, .5 tool calls and 8 decisions, and failures in realistic shares: 3 % of calls are refused by a rate limit once
and 1 % fail for the provider, 2 % of answers are cut or turned down, .4 % of tool calls are malformed, one tool in
seven is broken, 2 % of runs loop, 30 % of runs failed. What is measured is a process of its own that opens the store:
its peak memory is its own, not that of making the store.

Keys of the JSON: ``calls``, ``runs``, ``attempts``, ``decisions``, ``store_mb``, ``made_s`` (the store), ``analyze_s``
(every rule and the ledger), ``persist_s``, ``waste_s`` (money and time of every run, and storing them), ``total_s``,
``cpu_s`` (processor seconds of all three), ``peak_mb``, ``findings``, ``not_analysable`` (reasons named). After 1,000
new calls, in the same process: ``refresh_s`` and ``refresh_cpu_s`` (the waste of what changed, stored), ``read_s`` (the
waste of the whole store after that), ``again_s`` and ``again_cpu_s`` (every rule once more, and storing). ``threads``.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from math import log10
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from trimtab_tracer.store import Store

USUAL = 20
"""Calls of a run."""
Result = TypeVar("Result")
NEW_CALLS = 1_000
SECOND = 1_000_000_000
COLUMNS = (
    *("calls", "runs", "store_mb", "analyze_s", "persist_s", "waste_s", "total_s", "cpu_s", "peak_mb", "findings"),
    *("refresh_s", "refresh_cpu_s", "read_s", "again_s", "again_cpu_s", "threads"),
)

FILL = """
CREATE OR REPLACE TEMP TABLE made AS SELECT
    i,
    i // $of_run AS r,
    'run-' || lpad((i // $of_run)::VARCHAR, 9, '0') AS run_id,
    'call-' || lpad(i::VARCHAR, 12, '0') AS call_id,
    'site' || (i % 7) AS site_id,
    -- twenty runs at a time, a call every two seconds
    1700000000000000000 + (i // 400) * 60000000000 + (i % 20) * 2000000000 AS at_ns,
    hash(i, 1) % 1000 AS luck,
    hash(i, 2) % 1000 AS kind,
    hash(i // $of_run, 3) % 1000 AS fate,
    i % 20 AS step,
    ['gpt-4o', 'gpt-4o-mini', 'claude-sonnet-4-5'][1 + i % 3] AS model,
    ['api.openai.com', 'api.openai.com', 'api.anthropic.com'][1 + i % 3] AS host
FROM range($first, $last) AS t(i);

INSERT INTO runs BY NAME SELECT DISTINCT ON (r)
    run_id, 'p' AS process_id, 'agent-' || (r % 3) AS service, 'task ' || r AS name, 'explicit' AS origin,
    '{}' AS attributes,
    at_ns AS started_ns, at_ns + 60000000000 AS ended_ns, CASE WHEN fate < 20 THEN 'error' ELSE 'ok' END AS status,
    'block exit' AS end_rule, CASE WHEN fate < 20 THEN 'RuntimeError' END AS error_type,
    CASE WHEN fate < 20 THEN 'site0' END AS error_site_id
FROM made ORDER BY r, i;

INSERT INTO outcomes BY NAME SELECT DISTINCT ON (r)
    run_id AS outcome_id, run_id, at_ns + 59000000000 AS recorded_ns, fate >= 300 AS success, 'explicit' AS source
FROM made WHERE fate % 10 <> 0 ORDER BY r, i;

INSERT INTO attempts BY NAME
WITH tried AS (
    SELECT *, number, luck < 40 AND number = 1 OR luck < 10 AS is_bad
    FROM made, range(1, 4) AS n(number)
    WHERE number = 1 OR luck < 60 AND number = 2 OR luck < 20 AND number = 3
)
SELECT
    call_id || '.' || number AS attempt_id, call_id, run_id, 'p' AS process_id, number::INTEGER AS number,
    at_ns + (number - 1) * 600000000 AS started_ns,
    at_ns + (number - 1) * 600000000 + 400000000 + luck * 100000 AS ended_ns,
    'openai.chat' AS api, 'POST' AS method, host, '/v1/chat/completions' AS path, site_id,
    'complete' AS "end", false AS stream, CASE WHEN is_bad THEN 429 ELSE 200 END AS http_status,
    CASE
        WHEN is_bad AND luck < 3 THEN 'bad_request' WHEN is_bad AND luck < 10 THEN 'overloaded'
        WHEN is_bad THEN 'rate_limit'
    END AS error_class,
    0 AS chunks, 1000 AS request_bytes, 500 AS response_bytes, lower(to_hex(hash(i))) AS body_digest,
    10.0 AS timeout_s, 2 AS max_retries, 'openai' AS provider, model,
    CASE WHEN NOT is_bad THEN CASE WHEN kind < 10 THEN 'length' WHEN kind < 500 THEN 'tool_calls' ELSE 'stop' END END
        AS finish_reason,
    CASE WHEN NOT is_bad THEN 1500 + step * 400 END AS input_tokens,
    CASE WHEN NOT is_bad THEN CASE WHEN step > 0 AND kind >= 30 THEN (1100 + step * 400) // 128 * 128 ELSE 0 END END
        AS cache_read_tokens,
    CASE WHEN NOT is_bad THEN 100 + kind END AS output_tokens,
    'reported' AS usage_source, CASE WHEN is_bad THEN 0 ELSE 4000 + kind END AS cost_musd,
    'estimated' AS cost_source, CASE WHEN is_bad THEN 0 ELSE 4000 + kind END AS cost_computed_musd,
    (2 * step + 2)::INTEGER AS message_count,
    CASE WHEN kind < 5 THEN 'q' || i ELSE 'prompt' END AS prompt_digest,
    'tools' AS tools_digest, ['search', 'read', 'write', 'shell', 'fetch', 'list', 'broken'] AS tools_offered,
    '{"max_tokens": 1024}' AS params, true AS parsed
FROM tried;

INSERT INTO calls BY NAME SELECT
    m.call_id, m.run_id, 'p' AS process_id, m.site_id, 'openai.chat' AS api, 'openai' AS provider, m.host, m.model,
    m.at_ns AS started_ns, a.ended_ns, a.attempts, a.wait_ns, CASE WHEN a.is_bad THEN 'error' ELSE 'ok' END AS status,
    a.finish_reason, false AS stream, a.input_tokens, a.output_tokens, 'reported' AS usage_source, a.cost_musd,
    'estimated' AS cost_source, 'tools' AS tools_digest,
    ['search', 'read', 'write', 'shell', 'fetch', 'list', 'broken'] AS tools_offered, 'talk ' || m.r AS conversation_id,
    CASE WHEN m.kind BETWEEN 600 AND 609 AND m.step < 19 THEN 'call-' || lpad((m.i + 1)::VARCHAR, 12, '0') END
        AS rejected_by_call_id
FROM made AS m
JOIN (
    SELECT call_id, count(*)::INTEGER AS attempts, max(ended_ns) AS ended_ns, 200000000 * (count(*) - 1) AS wait_ns,
        arg_max(error_class IS NOT NULL, number) AS is_bad, arg_max(finish_reason, number) AS finish_reason,
        sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
        sum(cost_musd)::BIGINT AS cost_musd
    FROM attempts WHERE call_id IN (SELECT call_id FROM made) GROUP BY call_id
) AS a USING (call_id);

INSERT INTO tool_calls BY NAME
WITH asked AS (
    SELECT *, ['search', 'read', 'write', 'shell', 'fetch', 'list', 'broken'][(1 + hash(i, 4) % 7)::BIGINT] AS name,
        -- two runs in a hundred do the same over and over
        CASE WHEN fate BETWEEN 500 AND 519 THEN r ELSE i END AS what
    FROM made WHERE kind BETWEEN 10 AND 509
)
SELECT
    call_id || ':0' AS tool_id, run_id, call_id, name, lower(to_hex(hash(what, 5))) AS args_digest,
    kind >= 14 AS args_valid, CASE WHEN kind < 14 THEN 'Expecting value' END AS args_error, 40 AS args_chars,
    kind NOT BETWEEN 14 AND 15 AS offered,
    'inferred' AS origin, at_ns + 900000000 AS started_ns, at_ns + 1900000000 AS ended_ns, true AS is_upper_bound,
    CASE WHEN name = 'broken' AND luck % 10 < 8 OR luck % 50 = 7 THEN 'error' ELSE 'ok' END AS status,
    CASE WHEN name = 'broken' AND luck % 10 < 8 OR luck % 50 = 7 THEN 'KeyError' END AS error_type,
    lower(to_hex(hash(what, 6))) AS result_digest,
    CASE WHEN kind BETWEEN 100 AND 101 THEN 60000 ELSE 800 END AS result_chars,
    name NOT IN ('search', 'read', 'list') AS mutates
FROM asked;

INSERT INTO tool_results BY NAME SELECT
    tool_id, 'call-' || lpad((split_part(call_id, '-', 2)::BIGINT + 1)::VARCHAR, 12, '0') || '.1' AS attempt_id,
    ended_ns AS seen_ns, status, error_type, result_digest, result_chars
FROM tool_calls WHERE call_id IN (SELECT call_id FROM made);

INSERT INTO decisions BY NAME
SELECT
    call_id || ':' || knob AS decision_id, run_id, call_id, knob, value::JSON AS value, 'code' AS source,
    1.0 AS propensity,
    site_id, 'call' AS site_role, at_ns AS decided_ns
FROM made, (VALUES ('model', '"m"'), ('max_retries', '2'), ('timeout_s', '10.0'), ('max_tokens', '1024'),
    ('temperature', '0.2'), ('tools', '"t"'), ('prompt_version', '"v1"'), ('stream', 'false')) AS k(knob, value);
"""
"""Fills the tables with the calls from $first to before $last, whole runs."""

SITES = """
INSERT INTO sites BY NAME SELECT
    'site' || i AS site_id, 'agent.py' AS file, 'step' AS function, (10 * i + 10)::INTEGER AS line,
    (10 * i + 10)::INTEGER AS end_line, 'client.chat.completions.create(' AS source, 'user' AS owner
FROM range(7) AS t(i)
"""


def main() -> int:
    """Make the store, measure an analysis of it in a process of its own, and show."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--calls-of-a-run", type=int, default=USUAL)
    parser.add_argument("--data", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, metavar="DIR")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.threads, args.calls_of_a_run, is_ours=args.data is None)))
        return 0
    with tempfile.TemporaryDirectory(prefix="analyzer-speed-") as folder:
        path = Path(folder) / "trimtab.duckdb"
        started = time.perf_counter()
        if args.data:
            shutil.copyfile(args.data, path)
        else:
            make(path, args.calls, args.calls_of_a_run)
        made_s = time.perf_counter() - started
        command = [sys.executable, __file__, "--measure", str(path), "--threads", str(args.threads)]
        command += ["--calls-of-a-run", str(args.calls_of_a_run)]
        command += ["--data", str(args.data)] if args.data else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 1
        found = json.loads(done.stdout) | {"made_s": round(made_s, 2)}
    if args.out:
        _write(args.out, found)
    print(json.dumps(found, indent=2) if args.json else "\n".join(f"{k:>12}  {v}" for k, v in found.items()))
    return 0


def make(path: Path, calls: int, of_run: int = USUAL) -> None:
    """A synthetic store of so many calls."""
    with Store.open(path) as store, store.transaction() as con:
        con.execute(SITES)
        fill(con, 0, calls, of_run)


def fill(con: duckdb.DuckDBPyConnection, first: int, last: int, of_run: int) -> None:
    """Add the calls from ``first`` to before ``last``, ``of_run`` of them to a run."""
    which = {"first": first, "last": last, "of_run": of_run}
    for statement in duckdb.extract_statements(FILL):
        con.execute(statement.query, which if "$first" in statement.query else None)
    con.execute("DROP TABLE made")


def measure(path: Path, threads: int, of_run: int, *, is_ours: bool) -> dict[str, Any]:
    """Analyse the store at ``path`` as a sidecar does, and again after 1,000 new calls."""
    from trimtab_analyzer.findings import analyze, persist
    from trimtab_analyzer.run_waste import refresh
    from trimtab_analyzer.waste import waste
    from trimtab_tracer.ingest import bundled_prices

    def find() -> int:
        found = analyze(con)
        analyzed.append(time.perf_counter())
        with store.transaction() as writing:
            persist(writing, found)
        return len(found)

    def split() -> int:
        return refresh(con, store.transaction, bundled_prices())

    analyzed: list[float] = []

    with Store.open(path) as store:
        con = store.cursor()
        con.execute(f"SET threads = {threads}")
        counts = {
            name: con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in ("calls", "runs", "attempts", "decisions")
        }
        steps = _Steps()
        findings = steps.take("analyze_and_persist", find)
        steps.take("waste", split)
        peak_mb = _peak_mb()
        if is_ours:
            with store.transaction() as writing:
                fill(writing, counts["calls"], counts["calls"] + NEW_CALLS, of_run)
            steps.take("refresh", split)
        whole = steps.take("read", lambda: waste(con))
        if is_ours:
            steps.take("again", find)
    wall, cpu = steps.wall_s, steps.cpu_s
    persist_s = steps.ended[0] - analyzed[0]
    return counts | {
        "store_mb": round(path.stat().st_size / 2**20),
        "analyze_s": round(wall["analyze_and_persist"] - persist_s, 2),
        "persist_s": round(persist_s, 2),
        "waste_s": round(wall["waste"], 2),
        "total_s": round(wall["analyze_and_persist"] + wall["waste"], 2),
        "cpu_s": round(cpu["analyze_and_persist"] + cpu["waste"], 2),
        "peak_mb": peak_mb,
        "findings": findings,
        "not_analysable": sorted(set(whole.not_analysable["reason"])),
        **{f"{name}_s": round(wall[name], 2) for name in ("refresh", "read", "again") if name in wall},
        **{f"{name}_cpu_s": round(cpu[name], 2) for name in ("refresh", "again") if name in cpu},
        "threads": threads,
    }


class _Steps:
    """How long steps took, in seconds: by the wall clock, and of processors."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}
        self.ended: list[float] = []

    def take(self, name: str, step: Callable[[], Result]) -> Result:
        """The result of ``step``."""
        cpu, started = _cpu_s(), time.perf_counter()
        result = step()
        self.ended.append(time.perf_counter())
        self.wall_s[name], self.cpu_s[name] = self.ended[-1] - started, _cpu_s() - cpu
        return result


def _cpu_s() -> float:
    """Processor seconds of this process so far, all threads: on a busy machine the wall clock says more of others."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> int:
    """Most memory that this process held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _write(folder: Path, found: dict[str, Any]) -> None:
    """Add a line to ``speed.csv``, in order of calls and runs; a line of as many of both is replaced.

    Drawn are the lines of usual runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, rows = folder / "speed.csv", []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            same = [str(found[name]) for name in ("calls", "runs")]
            rows = [row for row in csv.DictReader(file) if [row["calls"], row["runs"]] != same]
    rows.append({name: found.get(name) for name in COLUMNS})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        rows.sort(key=lambda row: (int(row["calls"]), int(row["runs"])))
        writer.writerows(rows)
    usual = [row for row in rows if int(row["calls"]) == USUAL * int(row["runs"])]
    (folder / "speed.svg").write_text(as_svg(usual), encoding="utf-8")


def as_svg(rows: list[dict[str, Any]]) -> str:
    """Processor seconds and peak memory by calls, all axes by powers of ten; 60 s and 4 GiB are drawn in."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="300" font-family="sans-serif" font-size="11">'
    ]
    for left, name, title, limit in ((50, "cpu_s", "processor seconds", 60), (410, "peak_mb", "peak MiB", 4096)):
        low = 0 if name == "cpu_s" else 2

        def at(calls: float, value: float, left: int = left, low: int = low) -> tuple[float, float]:
            return left + 80 * (log10(calls) - 4), 250 - 75 * (log10(max(value, 10**low)) - low)

        parts.append(f'<text x="{left}" y="15">{title} by calls</text>')
        for power in range(4, 8):
            x, y = at(10**power, 10 ** (low + power - 4))
            parts.append(f'<path d="M{x:.0f} 250v-225M{left} {y:.0f}h240" stroke="#ddd" fill="none"/>')
            parts.append(f'<text x="{x - 8:.0f}" y="268">10^{power}</text>')
            parts.append(f'<text x="{left - 42}" y="{y + 4:.0f}">{10 ** (low + power - 4):,}</text>')
        y = at(1e4, limit)[1]
        parts.append(f'<path d="M{left} {y:.0f}h240" stroke="#c33" stroke-dasharray="4 3" fill="none"/>')
        points = [at(float(row["calls"]), float(row[name])) for row in rows]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="#25c" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#25c"/>' for x, y in points]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    sys.exit(main())
