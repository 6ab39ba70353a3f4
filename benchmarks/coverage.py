"""What tracing sees of real agents: every LLM and tool call, once, on its line, judged against the provider's own log.

    python benchmarks/coverage.py [--only NAME,...] [--set ci] [--environments DIR] [--csv FILE] [--json FILE] [--docs]
    python benchmarks/coverage.py --agent path/to/agent.py --python VENV [--scenario FILE]

The first form runs the agents of agents.toml, each in an environment with the versions of environments/*.txt, which is
made when it is missing; `--docs` writes the table into docs/coverage.md. The second judges any agent and prints one
JSON object. Either ends with 1 where something was missed, doubled, wrong or broken. What is compared, and every key,
is in docs/coverage.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from judging import environments, isolation, report, table
from judging.judge import Verdict, judge
from judging.records import collect
from judging.running import run

from trimtab_tuner.provider import Scenario

HERE = Path(__file__).parent
AT_ONCE = 2
"""Agents that run at the same time: importing a framework keeps a processor busy."""

VERSIONS = """
import json, sys
from importlib import metadata
print(json.dumps({name: metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True, slots=True)
class Job:
    """One agent to judge."""

    name: str
    script: Path
    python: Path
    scenario: Path | None
    environment: str
    packages: tuple[str, ...] = ()
    constant_site: bool = False
    spans: bool = False
    arguments: tuple[str, ...] = ()


def judge_job(job: Job, isolated: bool) -> Verdict:
    """Run an agent with tracing and without, and compare."""
    scenario = Scenario.load(job.scenario) if job.scenario else Scenario()
    with tempfile.TemporaryDirectory(prefix="trimtab-coverage-") as folder:
        command = (job.script.resolve(), *job.arguments)
        extra = {"COVERAGE_SPANS": "1"} if job.spans else {}
        traced = run(command, job.python, scenario, Path(folder) / "traced", extra)
        plain = run(command, job.python, scenario, Path(folder) / "plain", extra | {"TRIMTAB_DISABLED": "1"})
        records = collect(Path(folder) / "traced" / "trimtab")
    verdict = Verdict(job.name, job.environment, _versions(job), job.constant_site, isolated)
    return judge(verdict, job.script, traced, plain, records)


def _versions(job: Job) -> dict[str, str]:
    if not job.packages:
        return {}
    command = [job.python, "-c", VERSIONS, *job.packages]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> int:
    """Judge, and print or write what was found."""
    options = _options()
    jobs = [_one(options)] if options.agent else _listed(options)
    reason = isolation.isolate()
    if reason is not None:
        print(f"The network stays open, agents are not isolated: {reason}", file=sys.stderr)
    verdicts = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for verdict in pool.map(lambda job: judge_job(job, reason is None), jobs):
            verdicts.append(verdict)
            if not options.agent:
                print(report.line(verdict), flush=True)
    if options.agent:
        print(json.dumps(verdicts[0].as_dict(), indent=2))
    report.write(verdicts, options.csv, options.json, HERE.parent / "docs" / "coverage.md" if options.docs else None)
    return 0 if all(verdict.ok for verdict in verdicts) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME,...", help="agents to run, by name or name@environment")
    parser.add_argument("--set", choices=("all", "ci"), default="all", help="ci: at least one agent per environment")
    parser.add_argument("--environments", metavar="DIR", type=Path, default=HERE.parent / ".environments")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="also write the verdicts as CSV")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the verdicts as JSON")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/coverage.md")
    parser.add_argument("--agent", metavar="FILE", type=Path, help="judge this agent instead, and print JSON")
    parser.add_argument("--python", metavar="VENV", type=Path, help="virtual environment of --agent, or its Python")
    parser.add_argument("--scenario", metavar="FILE", type=Path, help="what answers --agent (see docs/provider.md)")
    options = parser.parse_args()
    if (options.agent is None) != (options.python is None):
        parser.error("--agent and --python belong together")
    if options.scenario and not options.agent:
        parser.error("--scenario belongs to --agent; those of the listed agents stand in agents.toml")
    return options


def _one(options: argparse.Namespace) -> Job:
    python = options.python / "bin" / "python" if options.python.is_dir() else options.python
    for file in (options.agent, python, options.scenario):
        if file is not None and not file.is_file():
            raise SystemExit(f"coverage.py: {file} is no file.")
    return Job(options.agent.stem, options.agent, python.absolute(), options.scenario, str(options.python))


def _listed(options: argparse.Namespace) -> list[Job]:
    cases = [case for case in table.read_cases(HERE) if options.set == "all" or case.ci]
    if options.only:
        names = set(options.only.split(","))
        known = {name for case in cases for name in (case.name, f"{case.name}@{case.environment}")}
        if unknown := names - known:
            raise SystemExit(f"coverage.py: no agents {sorted(unknown)}; there are {sorted({c.name for c in cases})}.")
        cases = [case for case in cases if names & {case.name, f"{case.name}@{case.environment}"}]
    used = dict.fromkeys(case.environment for case in cases)
    pythons = {e: environments.prepare(HERE / "environments" / f"{e}.txt", options.environments) for e in used}
    return [
        Job(
            c.name,
            c.script,
            pythons[c.environment],
            c.scenario,
            c.environment,
            c.packages,
            c.constant_site,
            c.spans,
            c.arguments,
        )
        for c in cases
    ]


if __name__ == "__main__":
    sys.exit(main())
