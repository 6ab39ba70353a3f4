"""``trimtab demo``: an agent with mistakes, what trimtab says about it, and the agent after one of them was accepted.

In: nothing but this machine. Out: text, or one JSON object, and a folder with everything that was made. The work is
done by :mod:`trimtab_tuner.demo`; this module reads options, prints, and with ``--keep`` waits.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import MissingExtra

if TYPE_CHECKING:
    from rich.console import Console

    from ..demo.run import Result

PIPE_COLUMNS = 120
"""Width of the text where stdout is no terminal."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", type=Path, help="folder to work in, without a store yet (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--keep", action="store_true", help="leave dashboard and provider running until Ctrl-C")


def _run(args: argparse.Namespace) -> int:
    if find_spec("openai") is None:  # only the agent imports it, in a process of its own
        raise MissingExtra.for_command("demo", "demo", "openai")
    from rich.console import Console

    from ..demo.run import demonstration

    home = (args.home or Path(tempfile.mkdtemp(prefix="trimtab-demo-"))).resolve()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    is_done = False
    try:
        with (
            Console(stderr=True).status("") as status,
            demonstration(home, say=lambda text: status.update(f"{text} …")) as result,
        ):
            status.stop()
            is_done = True
            _print(args, result, console)
            if args.keep:
                _keep(result, None if args.json else console)
    except KeyboardInterrupt:
        if is_done:
            return 0
        if args.home is None:
            shutil.rmtree(home, ignore_errors=True)
        raise
    if not args.json and not args.keep:
        console.print(f"To look around:       trimtab up --home {home}", soft_wrap=True)
        console.print(f"Every process of the demo has ended. It took {result.seconds:.0f} s.")
    return 0


def _print(args: argparse.Namespace, result: Result, console: Console) -> None:
    if args.json:
        json.dump(result.as_json(), sys.stdout, indent=2)
        print(flush=True)
        return
    from ..demo.show import show

    show(result, console)


def _keep(result: Result, console: Console | None) -> None:
    """Wait for Ctrl-C, with everything running; say how to go on where text is wanted."""
    if console is not None:
        from ..demo.tickets import environment

        variables = {**environment(result.provider), "TRIMTAB_HOME": str(result.home)}
        setting = " ".join(f"{name}={value}" for name, value in variables.items())
        console.print(f"\nThe dashboard, opened once with this link: {result.dashboard}", soft_wrap=True)
        console.print(f"The agent once more: {setting} {sys.executable} {result.agent} 'Do you ship to Norway?'",
                      soft_wrap=True)  # fmt: skip
        console.print("Everything goes on until Ctrl-C.")
        if sys.stdout.isatty():
            with suppress(webbrowser.Error):
                webbrowser.open(result.dashboard)
    while True:  # one long wait can't be interrupted once polars has run
        time.sleep(0.25)


command = Command(
    "demo",
    "Show the whole turn in a minute, with a scripted provider and no key: fail, find, change, fail less",
    _add_arguments,
    _run,
    example="trimtab demo --keep",
)
