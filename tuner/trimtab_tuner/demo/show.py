"""Prints the result of a demonstration for people.

In: :class:`.run.Result`. Out: text through rich: what each run of the agent did, the same report that
``trimtab report`` prints (what it cost, what failed, which line is to blame), what was changed and how the runs after
it went, where to look further, and that all of it is synthetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trimtab_analyzer.report import from_json, print_text

from .run import Day, Result

SYNTHETIC = (
    "The provider is a script on this machine: its answers are written by hand, its faults are drawn from a seed, its "
    "token counts are estimated from the texts, and the amounts are those tokens at the model's list price. The agent, "
    "its SDK, the requests, the policy it obeyed and what was captured of it all are real."
)
"""What has to be said beside every amount of the demonstration."""


def show(result: Result, console: Console) -> None:
    """Print everything."""
    console.print("\n[bold]A support desk on the openai SDK worked on these tickets, each in a process of its own[/]")
    _tickets(result.before, console)
    console.print("One line of the agent is ours: [cyan]trimtab.instrument()[/]")
    print_text(from_json(result.report), console)
    _change(result.recommendation, console)
    console.print("\n[bold]The same agent and tickets again[/]; the provider's bad moments are drawn anew")
    _tickets(result.after, console)
    requests = result.before.requests + result.after.requests
    console.print(f"The provider's own log counts {requests} requests, trimtab saw {result.attempts}.")
    _comparison(result.comparison, console)
    console.print(f"\n[bold]Synthetic.[/] {SYNTHETIC}")
    console.print(f"\nThe report as a page: {result.html}", soft_wrap=True)
    console.print(f"The agent's code:     {result.agent}", soft_wrap=True)


def _tickets(day: Day, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=len("failed"))
    table.add_column(min_width=max(len(ticket.text) for ticket in day.tickets))
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    for ticket in day.tickets:
        mark = Text("ok", style="green") if ticket.exit_code == 0 else Text("failed", style="red")
        table.add_row(mark, Text(ticket.text), Text(ticket.said))
    console.print(Padding(table, (0, 0, 0, 2)))


def _change(row: dict[str, Any], console: Console) -> None:
    old, new = json.dumps(row["from_value"]), json.dumps(row["to_value"])
    console.print(f"\n[bold]Accepted:[/] {row['title']}")
    console.print(f"  {row['file']}:{row['line']}   {row['knob']} = {old} → {new}", style="cyan", markup=False)
    console.print(f"  by {row['decided_by']}, as policy version {row['policy_version']}; now {row['status']}")
    console.print(f"  to undo it: trimtab recs rollback {row['recommendation_id']}", markup=False)


def _comparison(comparison: dict[str, Any], console: Console) -> None:
    """Before and after as the store has them."""
    before, after = comparison["before"], comparison["after"]
    console.print("\n[bold]Before and after, from the store[/]")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    for name, of in _ROWS:
        table.add_row(name, of(before), of(after))
    console.print(Padding(table, (0, 0, 0, 2)))
    gained = comparison["success_difference"]
    console.print(
        f"Runs that did not fail: {100 * gained['estimate']:+.0f} points (95 % interval {100 * gained['low']:+.0f} to"
        f" {100 * gained['high']:+.0f}). An {comparison['kind']}."
    )


_ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("runs", lambda side: str(side["runs"])),
    ("of them failed", lambda side: str(side["failed_runs"])),
    ("calls without an answer", lambda side: f"{side['lost_calls']} of {side['calls']}"),
    ("requests per call", lambda side: f"{side['attempts_per_call']:.2f}"),
    ("known cost per run", lambda side: f"${side['cost_per_run_musd'] / 1e6:.4f}"),
)
