"""Whether calls stay one beside OpenTelemetry: agents of benchmarks/agents with every span their libraries can make.

    python benchmarks/spans.py --python VENV [--scenario FILE] [--path DIR] AGENT.py ...

Each agent is run by agents_spans/beside_otel.py in VENV, which has to hold the OpenTelemetry SDK (or DIR has), and
judged against the provider's log as benchmarks/coverage.py does. Prints one line per agent: requests, calls, what was
missed or doubled, how many calls the spans alone would have given (as for requests that nobody sees on the wire), the
spans that were read by who made them, and by which rule they were joined. Ends with 1 where something was missed,
doubled or wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from judging import running
from judging.judge import Verdict, judge
from judging.records import collect

from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import GenAiSpan
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Scenario

HERE = Path(__file__).parent
BY_SCOPE = "SELECT scope, subject, count(*) FROM gen_ai_spans GROUP BY ALL ORDER BY ALL"
BY_RULE = "SELECT joined_by, count(*) FROM gen_ai_spans WHERE subject = 'call' GROUP BY ALL ORDER BY ALL"
TOOLS = "SELECT count_if(same_as IS NULL), count_if(same_as IS NOT NULL), count(tool_id) FROM tool_runs"


def judge_agent(script: Path, python: Path, scenario: Scenario, path: str) -> Verdict:
    """Run one agent beside OpenTelemetry, with tracing and without, and print what was seen."""
    with tempfile.TemporaryDirectory(prefix="trimtab-spans-") as folder:
        homes = {name: Path(folder) / name for name in ("traced", "plain")}
        exported = {name: home.with_suffix(".jsonl") for name, home in homes.items()}
        base = {"PYTHONPATH": os.pathsep.join(filter(None, (str(running.ROOT / "tracer"), path)))}
        off = {"traced": {}, "plain": {"TRIMTAB_DISABLED": "1"}}
        ran = {
            name: running.run(script, python, scenario, home, base | off[name] | {"BESIDE_SPANS": str(exported[name])})
            for name, home in homes.items()
        }
        verdict = judge(Verdict(script.stem), script, ran["traced"], ran["plain"], collect(homes["traced"] / "trimtab"))
        theirs = {name: sorted(file.read_text().splitlines()) for name, file in exported.items()}
        with Store.open(Settings.resolve(home=homes["traced"] / "trimtab").store_path) as store:
            scopes, rules, tools = (store.cursor().execute(sql).fetchall() for sql in (BY_SCOPE, BY_RULE, TOOLS))
            alone = calls_of_spans(store, Path(folder) / "alone.duckdb")
    if theirs["traced"] != theirs["plain"]:
        verdict.problems.append("the user's exporter got other spans than without us")
        verdict.ok = False
    print(
        f"{verdict.agent}: {verdict.requests} requests, {verdict.calls} calls, {verdict.calls_missed} missed,"
        f" {verdict.calls_doubled} doubled; {alone} by spans alone; {len(theirs['traced'])} exported; read {scopes};"
        f" joined {rules}; tool runs, other views of them, answering a call: {tools[0]}",
        *verdict.problems,
        sep="\n    ",
        flush=True,
    )
    return verdict


def calls_of_spans(store: Store, path: Path) -> int:
    """How many calls the spans in ``store`` make where no attempt is known: one for each, if they are joined right."""
    columns = [f.name for f in fields(GenAiSpan) if f.name not in ("ts_ns", "duration_ns")]
    sql = f"SELECT started_ns AS ts_ns, ended_ns - started_ns AS duration_ns, {', '.join(columns)} FROM gen_ai_spans"
    rows = store.cursor().execute(sql).fetchall()
    with Store.open(path) as other:
        ingest(other, [GenAiSpan(**dict(zip(("ts_ns", "duration_ns", *columns), row, strict=True))) for row in rows])
        return int(other.cursor().execute("SELECT count(*) FROM calls").fetchall()[0][0])


def main() -> int:
    """Judge the agents that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", metavar="AGENT.py", type=Path, nargs="+")
    parser.add_argument("--python", metavar="VENV", type=Path, required=True)
    parser.add_argument("--scenario", metavar="FILE", type=Path, default=HERE / "agents" / "scenarios" / "shop.toml")
    parser.add_argument("--path", metavar="DIR", default="", help="where OpenTelemetry is, if not in VENV")
    options = parser.parse_args()
    running.LAUNCHER = HERE / "agents_spans" / "beside_otel.py"
    scenario, python = Scenario.load(options.scenario), options.python.absolute() / "bin" / "python"
    verdicts = [judge_agent(agent.resolve(), python, scenario, options.path) for agent in options.agents]
    return 0 if all(verdict.ok for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
