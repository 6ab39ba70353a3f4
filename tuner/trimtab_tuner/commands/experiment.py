"""``trimtab experiment``: compare values of a knob at fixed shares, run by run.

In: a knob and the values to try against what the code does. Out: text, or JSON with the rows as the API gives them. The
incumbent keeps the share that the values leave; each drawn value is logged with its probability. Without a sidecar the
home's own store is asked (:mod:`trimtab_tuner.local`).
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..client import Client

SHARE = 0.5
"""Share of the runs that get one of the values, unless said otherwise."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    terminal.add_options(parser, is_action=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    terminal.add_options(
        actions.add_parser("list", help="list experiments, running ones first (also without an action)")
    )
    start = actions.add_parser("start", help="let agents draw the knob's value; one experiment per knob runs at a time")
    start.add_argument("knob", metavar="KNOB", help="name of the knob, such as timeout_s")
    start.add_argument("values", metavar="JSON", nargs="+", type=terminal.json_value, help="what to try")
    start.add_argument(
        "--share",
        type=_share,
        default=SHARE,
        metavar="SHARE",
        help="share of the runs that get one of the values, evenly; the others keep what the code does"
        " (default: %(default)s)",
    )
    terminal.add_match(start)
    terminal.add_options(start, decides=True)
    stop = actions.add_parser("stop", help="end one; the code's own value holds again")
    stop.add_argument("id", metavar="ID", help="as `trimtab experiment list` lists it")
    terminal.add_options(stop, decides=True)


def _share(text: str) -> float:
    """A share as typed.

    Raises:
        ArgumentTypeError: it leaves one side nothing.
    """
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:  # also refuses NaN
        raise ArgumentTypeError(f"{text!r} is no share between 0 and 1")
    return share


def run(args: Namespace) -> int:
    """Do what was asked."""
    with terminal.asking(args) as client:
        if args.action in (None, "list"):
            _list(args, client)
        elif args.action == "start":
            _start(args, client)
        else:
            _stop(args, client)
    return 0


def _list(args: Namespace, client: Client) -> None:
    rows = list(client.pages("/v1/experiments"))
    if args.json:
        terminal.print_json(rows)
        return
    from rich.markup import escape

    console = terminal.console()
    if not rows:
        console.print("There is no experiment; `trimtab experiment start KNOB JSON` begins one.")
        return
    table = terminal.table("id", "", "knob", "values", "for", "since (UTC)", "started by", "stopped (UTC)")
    for row in rows:
        match = terminal.match(row["match"])
        times = terminal.when(row["started_ns"]), row["started_by"], terminal.when(row["stopped_ns"])
        cells = (row["experiment_id"], row["status"], row["knob"], terminal.arms(row["arms"]), match, *times)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)


def _start(args: Namespace, client: Client) -> None:
    weight = args.share / len(args.values)
    arms: list[dict[str, Any]] = [{"incumbent": True, "weight": 1 - args.share}]
    arms += [{"value": value, "weight": weight} for value in args.values]
    body = {
        "seen": client.get("/v1/policy")["version"],
        "knob": args.knob,
        "match": terminal.match_of(args),
        "arms": arms,
        "why": args.why,
    }
    row = client.post("/v1/experiments", body)
    _say(args, client, row, f"Started: {row['knob']} is drawn by run: {terminal.arms(row['arms'])}.")


def _stop(args: Namespace, client: Client) -> None:
    target = f"/v1/experiments/{terminal.quoted(args.id)}"
    row = client.post(f"{target}/stop", {"version": client.get(target)["version"], "why": args.why})
    _say(args, client, row, f"Stopped: {row['knob']} is what the code says again.")


def _say(args: Namespace, client: Client, row: dict[str, Any], told: str) -> None:
    if args.json:
        terminal.print_json(row)
        return
    from rich.markup import escape

    console = terminal.console()
    console.print(escape(told), soft_wrap=True)
    terminal.say_what_follows(client, console)
    if row["status"] == "running":
        tried = [arm["value"] for arm in row["arms"] if "value" in arm]
        terminal.say_if_idle(client, row["knob"], tried, console)
        console.print(f"To end it: trimtab experiment stop {row['experiment_id']}")


command = Command(
    "experiment",
    "Compare values of a knob at fixed shares: start, stop, list",
    add_arguments,
    run,
    example="trimtab experiment list",
)
"""Registered in the entry-point group ``trimtab.commands``."""
