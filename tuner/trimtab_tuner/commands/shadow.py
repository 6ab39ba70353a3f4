"""``trimtab shadow``: ask another model the same as recorded calls, beside the agent, within a dollar cap.

In: a model, which calls, a cap, and a key in the environment. Out: how its answers compare, as text or JSON; the pairs
are kept, warm up experiments, and become a recommendation where they suffice. No tool is run, whatever a model wants to
call. Needs kept texts (``content`` = redacted or full).
"""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import SettingsError, TrimtabError

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from ..shadow.run import Pair, Summary
    from ..shadow.sample import Recorded


PORTION = 1000
"""Pairs that are kept at once."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = "example: trimtab shadow gpt-5-mini --site 5a1f0c9be2d74433 --calls 100 --usd 0.50"
    parser.add_argument("model", metavar="MODEL", help="who is asked")
    parser.add_argument("--site", metavar="ID", help="only calls of this line, as `trimtab policy` and the API name it")
    parser.add_argument("--of", metavar="MODEL", help="only calls to this model")
    parser.add_argument("--calls", type=int, default=50, metavar="N", help="calls at most (default: %(default)s)")
    parser.add_argument("--usd", type=_usd, default=1.0, metavar="USD", help="what it may cost (default: %(default)s)")
    parser.add_argument("--judge", metavar="MODULE:FUNCTION", help="of a request and an answer, gives 0 to 1")
    parser.add_argument("--base", metavar="URL", help="ask there, such as https://host/v1, instead of where calls went")
    parser.add_argument(
        "--key-env",
        metavar="NAME",
        help="variable that holds the key (needed for all but OpenAI's and Anthropic's hosts)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw of calls (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and cost, and send nothing")
    terminal.add_options(parser)


def _usd(text: str) -> float:
    try:
        usd = float(text)
    except ValueError:
        usd = -1.0
    if not 0 < usd <= 10_000:  # also refuses NaN
        raise ArgumentTypeError(f"{text!r} is no amount from 0 to 10000")
    return usd


def run(args: Namespace) -> int:
    """Do what was asked."""
    from trimtab_tracer.settings import Settings

    from ..shadow import judge
    from ..shadow.sample import sample

    grade = judge.load(args.judge) if args.judge else None
    settings = Settings.resolve(home=args.home)
    with terminal.asking(args) as client:
        calls, left_out = sample(client, args.site, args.of, args.calls, args.seed)
        if not calls:
            raise TrimtabError(_nothing(left_out))
        if args.dry_run:
            _say_plan(args, calls, settings)
            return 0
        pairs: list[Pair] = []
        try:
            with terminal.progress("asking", len(calls), is_quiet=args.json) as advance:

                def keep(pair: Pair) -> None:
                    pairs.append(pair)
                    advance(f"{sum(each.cost_musd or 0 for each in pairs) / 1e6:.4f} USD")

                done = _ask(args, calls, settings, grade, keep)
        finally:  # what was paid for is kept, also when a judge fails or somebody loses patience
            for start in range(0, len(pairs), PORTION):
                portion = [pair._asdict() for pair in pairs[start : start + PORTION]]
                client.post("/v1/shadow", {"pairs": portion})
    done.left_out.update(left_out)
    _say(args, done)
    return 0 if done.pairs else 1


def _nothing(left_out: dict[str, int]) -> str:
    said = "; ".join(f"{n} {why}" for why, n in sorted(left_out.items()))
    reason = f" ({said})" if said else ""
    return (
        f"No recorded call can be asked again{reason}. It takes answered calls with kept texts: setting `content`"
        " = redacted or full. Nothing was sent."
    )


def _ask(args: Namespace, calls: list[Recorded], settings: Any, grade: Any, on_pair: Callable[[Pair], None]) -> Summary:
    import httpx

    from trimtab_tracer.prices import PriceList

    from ..shadow import run as shadow
    from ..shadow.judge import AGREEMENT

    with httpx.Client(follow_redirects=False) as http:
        return shadow.run(
            http,
            calls,
            args.model,
            cap_usd=args.usd,
            key=_key(args, calls),
            prices=PriceList(settings.prices),
            base=args.base,
            by=grade,
            judge_name=args.judge or AGREEMENT,
            on_pair=on_pair,
        )


def _key(args: Namespace, calls: list[Recorded]) -> str:
    from ..shadow.asking import KEYS

    hosts = {call.host for call in calls}
    if args.base is None and len(hosts) > 1:
        raise TrimtabError(
            f"The calls went to {len(hosts)} hosts, and a key belongs to one: choose a line with --site."
        )
    host = calls[0].host
    name = args.key_env or (KEYS.get(host) if args.base is None else None)
    if name is None:
        where = args.base or host
        raise SettingsError(f"Name the variable that holds the key for {where} with --key-env; nothing was sent.")
    key = os.environ.get(name, "").strip()
    if not key:
        raise SettingsError(f"The variable {name} for the key is not set; name another one with --key-env.")
    return key


def _say_plan(args: Namespace, calls: list[Recorded], settings: Any) -> None:
    from trimtab_tracer.prices import PriceList

    from ..shadow.asking import estimate_musd

    prices = PriceList(settings.prices)
    costs = [estimate_musd(call, args.model, prices) for call in calls]
    known = sum(cost for cost in costs if cost is not None)
    plan = {"calls": len(calls), "model": args.model, "expected_usd": None if None in costs else known / 1e6}
    if args.json:
        terminal.print_json(plan)
        return
    cost = "at a price nobody knows" if plan["expected_usd"] is None else f"for about {plan['expected_usd']:.4f} USD"
    terminal.console().print(f"{len(calls)} calls would be asked of {args.model} {cost}; nothing was sent.")


def _say(args: Namespace, done: Summary) -> None:
    found = done.as_json()
    if args.json:
        terminal.print_json(found)
        return
    from rich.markup import escape

    console = terminal.console()
    capped = ", where the cap ended it" if found["is_capped"] else ""
    console.print(f"{found['pairs']} pairs for {found['spent_usd']:.4f} USD{capped}.")
    for name, kinds in (("no answer", found["problems"]), ("not asked", found["left_out"])):
        for why, n in kinds.items():
            console.print(f"  {name}: {n} ({escape(why)})")
    if not found["pairs"]:
        return
    change = found["quality_change"]
    span = f" ({change['low']:+.3f} to {change['high']:+.3f})" if change["low"] is not None else ""
    what = "agreement with the recorded answer" if found["judge"] == "agreement" else found["judge"]
    table = terminal.table("", "the code's own", args.model)
    table.add_row(escape(what), f"{found['own_quality']:.3f}", f"{found['quality']:.3f}")
    for label, key, form in (("USD per call", "cost_usd", ".6f"), ("seconds per call", "latency_s", ".2f")):
        cells = (format(v, form) if v is not None else "–" for v in (found[f"own_{key}"], found[key]))
        table.add_row(label, *cells)
    console.print(table)
    console.print(f"Change: {change['estimate']:+.3f}{span}, 95 %. Agreement is not quality; a --judge of yours is.")


command = Command(
    "shadow",
    "Ask another model the same as recorded calls, within a dollar cap",
    add_arguments,
    run,
    example="trimtab shadow gpt-5-mini --calls 100 --usd 0.50 --judge checks:grade",
)
"""Registered in the entry-point group ``trimtab.commands``."""
