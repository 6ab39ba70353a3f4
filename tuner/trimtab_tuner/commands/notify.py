"""``trimtab notify``: tries the webhook, and says what was sent.

In: the settings in force here, and the home's notices. Out: text, or JSON. Sending itself is the sidecar's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import TrimtabError, UsageError
from trimtab_tracer.settings import Settings

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    terminal.add_options(parser, is_action=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    terminal.add_options(actions.add_parser("list", help="what was sent and what waits (also without an action)"))
    terminal.add_options(actions.add_parser("test", help="send a notice that says that it is a test"))


def run(args: Namespace) -> int:
    """Do what was asked."""
    return _test(args) if args.action == "test" else _list(args)


def _test(args: Namespace) -> int:
    from ..notices import send_test

    settings = Settings.resolve(home=args.home)
    if settings.notify_url is None:
        raise UsageError("No webhook is set. Give TRIMTAB_NOTIFY_URL to the sidecar and to this command.")
    problem = send_test(settings)
    if args.json:
        terminal.print_json({"taken": problem is None, "problem": problem})
    if problem is not None:
        raise TrimtabError(f"The webhook did not take it: {problem}. Look at notify_url and notify_format.")
    if not args.json:
        print("The webhook took it.")
    return 0


def _list(args: Namespace) -> int:
    with terminal.asking(args) as client:
        found = client.get("/v1/notices", limit=100)["items"]
    if args.json:
        terminal.print_json(found)
        return 0
    from rich.markup import escape

    console = terminal.console()
    if not found:
        console.print("No notice was sent yet; docs/notices.md says how they are.")
        return 0
    table = terminal.table("noted (UTC)", "of", "which", "state")
    for row in found:
        state = f"sent {terminal.when(row['sent_ns'])}" if row["sent_ns"] else row["error"] or "waits"
        if row["error"] and row["next_ns"] is None:
            state = f"given up: {row['error']}"
        cells = (terminal.when(row["noted_ns"]), row["kind"], row["subject"], state)
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)
    return 0


command = Command(
    "notify", "Try the webhook of notices, and list what was sent", add_arguments, run, example="trimtab notify test"
)
"""Registered in the entry-point group ``trimtab.commands``."""
