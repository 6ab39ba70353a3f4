"""``trimtab waste``: where money, tokens and time went, class by class, and which line and setting took them.

In: the store, through a running sidecar, or opened here after the spool was collected. Out: tables on the terminal or
JSON. The sums are made by :mod:`trimtab_analyzer.waste`, in the sidecar or here, by the same code.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rich.console import Console

    from trimtab_analyzer.waste import By
    from trimtab_tracer.settings import Settings

BY = ("all", "run", "site", "knob", "agent", "day")
"""As :data:`trimtab_analyzer.waste.BY`, which brings polars."""
MAX_ROWS = 40
"""Rows of a table; the JSON has all."""
PIPE_COLUMNS = 140
"""Width of the text where stdout is no terminal."""
NESTED = (
    "These rows do not add up: the time of a run inside another is in the rows of both. The total has it once, that of"
    " the outermost runs."
)
"""Said where rows are of each run."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--by", choices=BY, default="all", help="add up by this; everything together without it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--home", help="look at this home instead of the one in force here")


def run(args: Namespace) -> int:
    """Add up and show."""
    from trimtab_tracer.settings import Settings

    found = _waste(Settings.resolve(home=args.home), args.by)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        print_text(found, Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS))
    return 0


def _waste(settings: Settings, by: By) -> dict[str, Any]:
    """The answer of a running sidecar, else the one made here."""
    from .. import client

    sidecar = client.connect(settings)
    if sidecar is not None:
        answer: dict[str, Any] = sidecar.get("/v1/waste", by=by)
        return answer
    from trimtab_analyzer.waste import waste
    from trimtab_tracer.prices import PriceList

    from ..local import own_store

    with own_store(settings) as store, closing(store.cursor()) as con:
        return waste(con, by, prices=PriceList(settings.prices)).as_json()


def print_text(found: dict[str, Any], console: Console) -> None:
    """Print the two tables, and what can't be said.

    Args:
        found: The JSON of :class:`trimtab_analyzer.waste.Waste`.
        console: Where to.
    """
    from trimtab_analyzer.report.words import share, usd
    from trimtab_analyzer.wording import seconds

    total = found["total"]
    money = [
        [*_what(row, found["by"]), usd(row["cost_musd"]), share(row["cost_musd"], total["cost_musd"]), *_amounts(row)]
        for row in found["money"]
    ]
    _table(
        console,
        f"Where {usd(total['cost_musd'])} went",
        [*_heads(found["by"]), "cost", "share", "calls", "input", "output"],
        money,
    )
    time = [
        [*_what(row, found["by"]), seconds(row["ns"] / 1e9), share(row["ns"], total["ns"]), f"{row['calls']:,}"]
        for row in found["time"]
    ]
    _table(
        console,
        f"Where {seconds(total['ns'] / 1e9)} went",
        [*_heads(found["by"]), "time", "share", "calls"],
        time,
    )
    if sum(row["ns"] for row in found["time"]) > total["ns"]:
        console.print(f"[dim]{NESTED}[/dim]", highlight=False)
    if found["not_analysable"]:
        console.print("\n[bold]What can't be said[/bold]")
    for row in found["not_analysable"]:
        examples = ", ".join(row["examples"][:2])
        plural = row["subject"] + ("" if row["n"] == 1 else "s")
        console.print(f"- {row['what']} of {row['n']:,} {plural}: {row['reason']} ({examples} …)", markup=False)


def _heads(by: str) -> list[str]:
    return [*([] if by == "all" else [by]), "class", "setting", "line"]


def _what(row: dict[str, Any], by: str) -> list[str]:
    from trimtab_analyzer.report.model import Place
    from trimtab_analyzer.report.words import where
    from trimtab_analyzer.wording import setting

    site = row["site"]
    place = where(Place(site["file"], site["function"], site["line"], site["source"], "user")) if site else ""
    cls = row["cls"] if row.get("state", row["cls"]) == row["cls"] else f"{row['state']}: {row['cls']}"
    pinned = setting(row["knob"], row["value"]) if row["knob"] else ""
    key = place if by == "site" else row["key"] or ""
    return [*([] if by == "all" else [key]), cls, pinned, place]


def _amounts(row: dict[str, Any]) -> list[str]:
    unknown = f" ({row['unknown']:,} of unknown cost)" if row["unknown"] else ""
    return [f"{row['calls']:,}{unknown}", f"{row['input_tokens']:,}", f"{row['output_tokens']:,}"]


def _table(console: Console, title: str, heads: list[str], rows: list[list[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    numbers = {"cost", "share", "calls", "input", "output", "time"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in heads:
        table.add_column(head, justify="right" if head in numbers else "left", overflow="fold")
    for row in rows[:MAX_ROWS]:
        table.add_row(*map(escape, row))
    console.print(f"\n[bold]{escape(title)}[/bold]")
    console.print(table)
    if len(rows) > MAX_ROWS:
        console.print(f"[dim]and {len(rows) - MAX_ROWS:,} more rows; --json has all[/dim]")


command = Command(
    "waste",
    "Say where money, tokens and time went, and which line took them",
    add_arguments,
    run,
    example="trimtab waste --by site",
)
"""Registered in the entry-point group ``trimtab.commands``."""
