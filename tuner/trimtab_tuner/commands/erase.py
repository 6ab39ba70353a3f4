"""``trimtab erase``: take kept prompts and answers out of the store, for good.

In: which texts, and ``--yes``. Out: the home without them, and one sentence. Tokens, times, costs, settings and lines
stay, and so do the short texts that findings quote: errors, names and tasks. No sidecar may have the store open.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import UsageError

from .. import terminal
from ..time_spans import point

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trimtab_tracer.content import Chosen
    from trimtab_tracer.store import Store


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--before", metavar="TIME", help="texts recorded before then: 30d, 36h, 2026-11-01")
    parser.add_argument(
        "--run", metavar="ID", action="append", help="texts of this run and those inside it; may be repeated"
    )
    parser.add_argument("--service", metavar="NAME", help="texts of this agent")
    parser.add_argument("--all", action="store_true", help="all texts")
    parser.add_argument("--yes", action="store_true", help="erase them; without it they are only counted")
    terminal.add_options(parser, is_action=False)


def run(args: Namespace) -> int:
    """Take in what lies in the spool, then count or erase."""
    from trimtab_tracer import content
    from trimtab_tracer.settings import Settings

    from ..unserved import unserved_store

    chosen = _chosen(args)
    with unserved_store(Settings.resolve(home=args.home), "erase") as store:
        _refuse_unknown(store, chosen)
        found = content.erase(store, chosen) if args.yes else content.count(store, chosen)
    print(json.dumps({"texts": found, "erased": args.yes}) if args.json else _said(found, is_done=args.yes))
    return 0


def _chosen(args: Namespace) -> Chosen:
    from trimtab_tracer.content import Chosen

    if args.all == bool(args.before or args.run or args.service):
        raise UsageError("Say which texts: --before, --run, --service or several of them, or --all alone.")
    try:
        before_ns = point(args.before, time.time_ns()) if args.before else None
    except ArgumentTypeError as error:
        raise UsageError(f"--before: {error}.") from None
    return Chosen(before_ns, tuple(args.run) if args.run else None, args.service)


def _refuse_unknown(store: Store, chosen: Chosen) -> None:
    """A name with a slip of the pen must not look like texts that are gone."""
    with store.transaction() as con:
        for run_id in chosen.run_ids or ():
            if not con.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchall():
                raise UsageError(f"There is no run {run_id}; `trimtab report --json` lists them.")
        names = [name for (name,) in con.execute("SELECT DISTINCT service FROM runs ORDER BY 1").fetchall()]
    if chosen.service is not None and chosen.service not in names:
        raise UsageError(f"There is no agent {chosen.service!r}; there are: {', '.join(names) or 'none'}.")


def _said(found: int, *, is_done: bool) -> str:
    from trimtab_analyzer.wording import count

    if is_done:
        return f"{count(found, 'text')} erased; tokens, times, costs and lines are kept."
    return f"{count(found, 'text')} would be erased. Nothing was; the same with --yes erases them."


command = Command(
    "erase",
    "Erase kept prompts and answers; numbers stay",
    add_arguments,
    run,
    example="trimtab erase --before 30d --yes",
)
"""Registered in the entry-point group ``trimtab.commands``."""
