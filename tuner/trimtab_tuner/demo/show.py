"""Prints the result of a demonstration for people.

In: :class:`.run.Result`. Out: text through rich: what each run of the agent did, the same report that
``trimtab report`` prints (what it cost, what failed, which line is to blame), where to look further, and that all of
it is synthetic.
"""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trimtab_analyzer.report import from_json, print_text

from .run import Result

SYNTHETIC = (
    "The provider is a script on this machine: its answers and faults are written by hand, its token counts are "
    "estimated from the texts, and the amounts are those tokens at the model's list price. The agent, its SDK, the "
    "requests and what was captured of them are real."
)
"""What has to be said beside every amount of the demonstration."""


def show(result: Result, console: Console) -> None:
    """Print everything."""
    console.print("\n[bold]A support desk on the openai SDK worked on these tickets, each in a process of its own[/]")
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=len("failed"))
    table.add_column(min_width=max(len(ticket.text) for ticket in result.tickets))
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    for ticket in result.tickets:
        mark = Text("ok", style="green") if ticket.exit_code == 0 else Text("failed", style="red")
        table.add_row(mark, Text(ticket.text), Text(ticket.said))
    console.print(Padding(table, (0, 0, 0, 2)))
    console.print(
        f"The provider's own log counts {result.requests} requests, trimtab saw {result.attempts}."
        " One line of the agent is ours: [cyan]trimtab.instrument()[/]"
    )
    print_text(from_json(result.report), console)
    console.print(f"\n[bold]Synthetic.[/] {SYNTHETIC}")
    console.print(f"\nThe report as a page: {result.html}", soft_wrap=True)
    console.print(f"The agent's code:     {result.agent}", soft_wrap=True)
    console.print(f"To look around:       trimtab report --home {result.home}", soft_wrap=True)
    console.print(f"Every process of the demo has ended. It took {result.seconds:.0f} s.")
