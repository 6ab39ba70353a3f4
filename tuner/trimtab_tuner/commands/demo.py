"""``trimtab demo``: an agent with mistakes, and what trimtab says about it, in less than a minute.

In: nothing but this machine. Out: text, or one JSON object, and a folder with everything that was made. The work is
done by :mod:`trimtab_tuner.demo`; this module reads options and prints.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import MissingExtra

PIPE_COLUMNS = 120
"""Width of the text where stdout is no terminal."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", type=Path, help="folder to work in, without a store yet (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _run(args: argparse.Namespace) -> int:
    if find_spec("openai") is None:  # only the agent imports it, in a process of its own
        raise MissingExtra.for_command("demo", "demo", "openai")
    from rich.console import Console

    from ..demo.run import run
    from ..demo.show import show

    home = (args.home or Path(tempfile.mkdtemp(prefix="trimtab-demo-"))).resolve()
    try:
        with Console(stderr=True).status("") as status:
            result = run(home, say=lambda text: status.update(f"{text} …"))
    except KeyboardInterrupt:
        if args.home is None:
            shutil.rmtree(home, ignore_errors=True)
        raise
    if args.json:
        json.dump(result.as_json(), sys.stdout, indent=2)
        print()
    else:
        show(result, Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS))
    return 0


command = Command(
    "demo", "Show in a minute what trimtab finds, with a scripted provider and no key", _add_arguments, _run
)
