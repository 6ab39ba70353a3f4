"""``trimtab reprice``: costs of all that was recorded, by the prices of today's list and of the settings.

In: the store, which no sidecar may have open: it would go on with the prices it started with. Out: the store with new
costs, and one sentence about what they were and are.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

from trimtab_tracer.commands import Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trimtab_tracer.reprice import Repriced


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")
    parser.add_argument("--home", help="reprice this home instead of the one in force here")


def run(args: Namespace) -> int:
    """Take in what lies in the spool, then price everything."""
    from trimtab_tracer.prices import PriceList
    from trimtab_tracer.reprice import BATCH, reprice
    from trimtab_tracer.settings import Settings

    from .. import terminal
    from ..unserved import unserved_store

    settings = Settings.resolve(home=args.home)
    with unserved_store(settings, "price") as store:
        with closing(store.cursor()) as con:
            ((calls,),) = con.execute("SELECT count(DISTINCT call_id) FROM attempts").fetchall()
        batches = -(-calls // BATCH)
        with terminal.progress("pricing", batches, is_quiet=args.json) as advance:
            done = reprice(store, PriceList(settings.prices), lambda calls: advance(f"{calls:,} calls"))
    print(json.dumps(done._asdict()) if args.json else _said(done))
    return 0


def _said(done: Repriced) -> str:
    from trimtab_analyzer.report.words import usd
    from trimtab_analyzer.wording import count

    text = f"{count(done.attempts, 'request')} looked at, {done.changed:,} with another cost than before"
    if done.changed:
        text += f": {usd(done.before_musd)} in all became {usd(done.after_musd)}"
    text += f". The cost of {done.unpriced_after:,} is not known"
    if done.unpriced_after != done.unpriced_before:
        text += f" (before: {done.unpriced_before:,})"
    return text + "."


command = Command(
    "reprice",
    "Compute the cost of all that was recorded by the prices in force now",
    add_arguments,
    run,
    example="trimtab reprice",
)
"""Registered in the entry-point group ``trimtab.commands``."""
