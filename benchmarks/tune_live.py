"""End to end: a real SDK, the hook, a provider that replays recorded outcomes, a sidecar that learns live.

    python benchmarks/tune_live.py --data ../shared/data/paretobandit_k4 --incumbent google/gemini-2.5-pro \
        --try mistralai/mistral-large-2512 google/gemini-2.5-flash --out docs/tuning

The table's prompts are shuffled and cut in two. On the first half an experiment runs that a person started: the
sidecar moves the shares and, when a value is proven, proposes it with an interval. The proposal is accepted by the
request that the dashboard's button sends, or with ``--click`` by pressing that button in headless Chromium. On the
second half the agent goes on, now with the accepted value. Then the change of what a run costs there, against what the
same prompts cost with the code's own value, is held against what was promised.

Prints JSON: ``promised`` (``cost_usd_per_run`` and ``success``, each with ``estimate``, ``low``, ``high``),
``second_half`` (``runs``, ``cost_usd_per_run``, ``success``, both with what the same prompts would have come to with
the incumbent, ``saved_usd``), ``is_within`` (the change of cost on the second half lies in the promised interval),
``first_half`` (the same, and ``runs_until_proposed``), ``accepted_via`` (as the audit has it), ``events``,
``verdict``. Outcomes are real and recorded, the provider is not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import polars as pl

from trimtab_tracer.settings import Settings
from trimtab_tuner.client import Client, connect

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from live_tuning.replay_provider import Recorded, Replay  # noqa: E402

BATCH = 100
"""Prompts that the agent is given at once: between two batches the benchmark looks whether something is proposed."""
PATIENCE_S = 60.0
T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    args = _arguments()
    table, prompts = _read(args.data)
    random.Random(args.seed).shuffle(prompts)
    prompts = prompts[: args.prompts]
    provider = Replay(table)
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        sidecar = _start_sidecar(home, with_dashboard=args.click)
        try:
            client = _connected(home)
            found = _measure(args, client, provider, prompts, home)
        finally:
            sidecar.send_signal(signal.SIGTERM)
            sidecar.wait(30)
            provider.close()
    print(json.dumps(found, indent=2))
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "tune_live.json").write_text(json.dumps(found, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with outcomes.parquet and prompts.parquet")
    parser.add_argument("--incumbent", required=True, help="model that the agent's code names")
    parser.add_argument("--try", dest="tried", nargs="+", required=True, help="models that are tried")
    parser.add_argument("--margin", type=float, default=0.05, help="loss of success that is accepted")
    parser.add_argument("--max-share", type=float, default=0.5, help="share of runs that get other models")
    parser.add_argument("--prompts", type=int, default=1_000_000, help="use only so many prompts")
    parser.add_argument("--seed", type=int, default=0, help="of the order of prompts")
    parser.add_argument("--click", action="store_true", help="press Accept in the dashboard, in headless Chromium")
    parser.add_argument("--out", type=Path, help="folder for tune_live.json")
    return parser.parse_args()


def _read(folder: Path) -> tuple[dict[tuple[str, str], Recorded], list[dict[str, str]]]:
    outcomes = pl.read_parquet(folder / "outcomes.parquet")
    score = next(name for name in ("reward", "correct", "score", "resolved") if name in outcomes.columns)
    rows = outcomes.select("qid", "model", pl.col(score).cast(pl.Float64), "cost_usd").iter_rows()
    table = {(str(qid), model): Recorded(reward, cost) for qid, model, reward, cost in rows}
    text = pl.read_parquet(folder / "prompts.parquet")
    column = "prompt" if "prompt" in text.columns else text.columns[-1]
    context = "source" if "source" in text.columns else "task"
    known = {qid for qid, _ in table}
    prompts = [
        {"qid": str(qid), "source": str(source), "text": str(words)[:400]}
        for qid, source, words in text.select("qid", context, column).iter_rows()
        if str(qid) in known
    ]
    return table, prompts


def _measure(
    args: argparse.Namespace, client: Client, provider: Replay, prompts: list[dict[str, str]], home: Path
) -> dict[str, Any]:
    half = len(prompts) // 2
    goal = {"objective": "cheapest", "margin": args.margin, "max_share": args.max_share}
    body = {"seen": client.get("/v1/policy")["version"], "knob": "model", "values": args.tried, "goal": goal}
    started = client.post("/v1/tuning", body | {"match": {"model": args.incumbent}})
    proposed, asked = None, 0
    while asked < half and proposed is None:
        portion = prompts[asked : min(asked + BATCH, half)]
        _ask(args, portion, provider, home)
        asked += len(portion)
        proposed = _proposal(client) if _is_proven(client, started["experiment_id"], asked) else None
    first = _half(provider, provider.table, args.incumbent)
    events = [event["told"] for event in client.get("/v1/tuning/events", limit=1000)["items"]]
    status = client.get(f"/v1/tuning/{started['experiment_id']}")
    found: dict[str, Any] = {"data": args.data.name, "incumbent": args.incumbent, "tried": args.tried}
    found |= {"margin": args.margin, "seed": args.seed, "events": events, "verdict": status["verdict"]}
    found["first_half"] = first | {"runs_until_proposed": asked if proposed is not None else None}
    if proposed is None:
        return found | {"promised": None, "second_half": None, "is_within": None}
    found["accepted_via"] = _accept(client, proposed, home, is_clicked=args.click)
    provider.asked.clear()
    _ask(args, prompts[half:], provider, home)
    second = _half(provider, provider.table, args.incumbent)
    cost, success = proposed["expected"]["cost"], proposed["expected"]["success"]
    change = second["cost_usd_per_run"] - second["incumbent_cost_usd_per_run"]
    promised = {
        "model": proposed["to_value"],
        "cost_usd_per_run": {key: cost[key] / 1e6 for key in ("estimate", "low", "high")},
        "success": {key: success[key] for key in ("estimate", "low", "high")},
    }
    return found | {
        "promised": promised,
        "second_half": second | {"cost_change_usd_per_run": change},
        "is_within": cost["low"] / 1e6 <= change <= cost["high"] / 1e6,
    }


def _accept(client: Client, proposed: dict[str, Any], home: Path, *, is_clicked: bool) -> str:
    """Through what the audit says that it was accepted."""
    if is_clicked:
        from live_tuning.clicking import accept

        accept(home, proposed["recommendation_id"])
    else:
        client.post(f"/v1/recommendations/{proposed['recommendation_id']}/accept", {"version": proposed["version"]})
    return next(str(row["via"]) for row in client.pages("/v1/audit") if row["action"] == "accept")


def _half(provider: Replay, table: dict[tuple[str, str], Recorded], incumbent: str) -> dict[str, Any]:
    """What was asked since the log was cleared, and what the same prompts come to with the incumbent."""
    got = [table[key] for key in provider.asked]
    own = [table[qid, incumbent] for qid, _ in provider.asked]
    n = len(got)
    return {
        "runs": n,
        "cost_usd_per_run": sum(one.cost_usd for one in got) / n,
        "incumbent_cost_usd_per_run": sum(one.cost_usd for one in own) / n,
        "success": sum(one.reward for one in got) / n,
        "incumbent_success": sum(one.reward for one in own) / n,
        "saved_usd": sum(one.cost_usd for one in own) - sum(one.cost_usd for one in got),
    }


def _ask(args: argparse.Namespace, prompts: list[dict[str, str]], provider: Replay, home: Path) -> None:
    """A whole process of the agent's, which ends by itself."""
    path = home / "prompts.json"
    path.write_text(json.dumps(prompts))
    command = [sys.executable, str(HERE / "live_tuning" / "agent.py"), str(path), args.incumbent, provider.url]
    subprocess.run(command, env=os.environ | {"TRIMTAB_HOME": str(home)}, check=True, timeout=600)


def _is_proven(client: Client, experiment_id: str, runs: int) -> bool:
    """Whether a value is, once every run has been learned from."""

    def learned() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/v1/tuning/{experiment_id}")
        return found if found["units"] >= runs else None

    return _wait(f"{runs} runs to be learned from", learned)["verdict"]["ready"] is not None


def _proposal(client: Client) -> dict[str, Any]:
    def proposed() -> dict[str, Any] | None:
        rows = client.pages("/v1/recommendations", status="proposed")
        return next((row for row in rows if row["learned_by"] == "effect"), None)

    return _wait("the proposal", proposed)


def _wait(what: str, look: Callable[[], T | None]) -> T:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise SystemExit(f"waited {PATIENCE_S:g} s for {what}")


def _start_sidecar(home: Path, *, with_dashboard: bool) -> subprocess.Popen[bytes]:
    home.mkdir(parents=True)
    own = {"TRIMTAB_HOME": str(home), "TRIMTAB_TUNE_PUBLISH_INTERVAL_S": "0.5", "TRIMTAB_DASHBOARD_PORT": "0"}
    command = [sys.executable, "-m", "trimtab", "up", "--port", "0", *([] if with_dashboard else ["--no-dashboard"])]
    with (home / "up.log").open("wb") as log:
        return subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT)


def _connected(home: Path) -> Client:
    return _wait(f"the sidecar, whose log is {home / 'up.log'}", lambda: connect(Settings(home=home)))


if __name__ == "__main__":
    main()
