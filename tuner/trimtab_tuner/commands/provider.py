"""``trimtab provider``: the scripted LLM provider as a process of its own.

In: a scenario file and a port. Out: the URL on standard output, one JSON line per request in the log file. It runs
until SIGINT or SIGTERM and then exits with 0. Everything heavy is imported when the command runs.
"""

from __future__ import annotations

import queue
import signal
from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--scenario", metavar="FILE", help="what to answer, TOML or JSON (default: one fixed sentence)")
    parser.add_argument("--host", default="127.0.0.1", help="address on the loopback (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--seed", type=int, help="what ids and draws derive from (default: the scenario's)")
    parser.add_argument("--log", metavar="FILE", help="append one JSON line per request to this file")


def run(args: Namespace) -> int:
    """Serve until a signal comes.

    Raises:
        ScenarioError: the scenario can't be used.
        ProviderError: the address or the log can't be had.
    """
    from ..provider import Provider, Scenario

    scenario = Scenario.load(args.scenario) if args.scenario else Scenario()
    provider = Provider(scenario, host=args.host, port=args.port, seed=args.seed, log_path=args.log)
    # Its put() may be called from a signal handler, and its get() is woken by one.
    stopped: queue.SimpleQueue[int] = queue.SimpleQueue()
    before = {s: signal.signal(s, lambda number, _frame: stopped.put(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with provider:
            print(f"Scripted provider: {provider.url}")
            print(f"OPENAI_BASE_URL={provider.url}/v1 ANTHROPIC_BASE_URL={provider.url} (any key will do)", flush=True)
            stopped.get()
        print(f"Answered {len(provider.log.entries)} requests.", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


command = Command(
    "provider",
    "answer LLM requests from a script, on the loopback",
    add_arguments,
    run,
    example="trimtab provider --port 8080",
)
