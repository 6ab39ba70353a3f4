"""``trimtab dashboard``: a fresh one-time link to the dashboard of the running sidecar.

In: a home that a sidecar serves. Out: the link, which opens one session within ten minutes, in the name of the user who
asked for it. Whoever can run this can read the home's token anyway; the link saves typing it. No sidecar, or one
without a dashboard, is one sentence with the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import SidecarError
from trimtab_tracer.settings import Settings

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--name", help="who will use it, for the audit (default: this user's name)")
    terminal.add_options(parser, is_action=False)


def run(args: Namespace) -> int:
    """Print the link.

    Raises:
        SidecarError: no sidecar runs, or it has no dashboard.
    """
    from ..client import connect
    from ..home import read_note

    settings = Settings.resolve(home=args.home)
    client = connect(settings)
    note = read_note(settings)
    if client is None or note is None:
        raise SidecarError(f"No sidecar serves {settings.home}; start `trimtab up`, it brings the dashboard with it.")
    if note.dashboard_url is None:
        raise SidecarError(
            f"The sidecar at {note.url} has no dashboard: it was started with --no-dashboard, or the dashboard has not"
            " come up yet or can't; the sidecar's own output says which."
        )
    code = client.post("/v1/login-codes", {"name": args.name} if args.name else {})
    url = f"{note.dashboard_url}/login?code={code['code']}"
    if args.json:
        terminal.print_json({"url": url, "name": code["name"], "expires_ns": code["expires_ns"]})
    else:
        print(url)
    return 0


command = Command(
    "dashboard", "Print a fresh one-time link to the dashboard", add_arguments, run, example="trimtab dashboard"
)
"""Registered in the entry-point group ``trimtab.commands``."""
