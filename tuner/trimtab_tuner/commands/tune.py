"""``trimtab tune``: what may be done without asking, and experiments that are learned from.

In: a knob and values to try, or a mode. Out: text, or JSON with the rows as the API gives them. Without a sidecar the
home's own store is asked and decided about (:mod:`trimtab_tuner.local`); learning itself needs a running one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rich.console import Console

    from ..client import Client

OBJECTIVES = ("cheapest", "best_within", "fastest", "value")
MODES = ("observe", "recommend", "auto", "default")


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    terminal.add_options(parser, is_action=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    terminal.add_options(actions.add_parser("status", help="modes and experiments (also without an action)"))
    _add_start(actions.add_parser("start", help="try values against what the code does, and learn which is better"))
    stop = actions.add_parser("stop", help="end one; the code's own value holds again")
    stop.add_argument("id", metavar="ID", help="as `trimtab tune` lists it")
    terminal.add_options(stop, decides=True)
    _add_values(actions)
    mode = actions.add_parser("mode", help="say what may be done about a knob without asking")
    mode.add_argument("knob", metavar="KNOB", help="name of the knob, or `all` for those without a mode of their own")
    mode.add_argument("mode", choices=MODES, help="`default` takes the knob's own mode away")
    terminal.add_options(mode, decides=True)
    events = actions.add_parser("events", help="what happened, oldest first")
    events.add_argument("id", metavar="ID", nargs="?", help="of one experiment; all without it")
    terminal.add_options(events)


def _add_start(start: ArgumentParser) -> None:
    start.epilog = "example: trimtab tune start model '\"gpt-5-mini\"' --margin 0.02 --why 'is the big one needed?'"
    start.add_argument("knob", metavar="KNOB", help="name of the knob, such as model")
    start.add_argument("values", metavar="JSON", nargs="*", type=terminal.json_value, help="what to try")
    start.add_argument("--objective", choices=OBJECTIVES, default="cheapest", help="what is wanted (%(default)s)")
    start.add_argument("--margin", type=float, default=0.02, help="success that may be lost, as a share (%(default)s)")
    start.add_argument("--usd-per-day", type=float, help="what all runs together may cost in a day")
    start.add_argument("--value-usd", type=float, help="what a successful run is worth, in USD")
    start.add_argument("--max-share", type=float, help="share of runs that get other values (setting tune_max_share)")
    start.add_argument(
        "--explore-usd-per-day",
        type=float,
        help="what runs with other values may cost in a day (setting tune_max_usd_per_day)",
    )
    start.add_argument("--context", metavar="NAME", help="attribute of runs by which the best value may differ")
    start.add_argument("--after", metavar="ID", help="also learn from the runs of this earlier experiment")
    terminal.add_match(start)
    terminal.add_options(start, decides=True)


def _add_values(actions: Any) -> None:
    add = actions.add_parser("add", help="try another value too, in a running experiment")
    add.epilog = "example: trimtab tune add ID '\"gpt-5-nano\"' --price-usd 0.002"
    remove = actions.add_parser("remove", help="try a value no more")
    reprice = actions.add_parser("reprice", help="say what a run with a value costs from now on")
    reprice.epilog = "example: trimtab tune reprice ID '\"gpt-5-mini\"' --factor 0.5"
    for action in (add, remove, reprice):
        action.add_argument("id", metavar="ID", help="as `trimtab tune` lists it")
        what = "the value, as JSON" + ("; null is the code's own" if action is reprice else "")
        action.add_argument("value", metavar="JSON", type=terminal.json_value, help=what)
    for action in (add, reprice):
        action.add_argument("--price-usd", type=float, help="what a run with it costs, in USD")
    reprice.add_argument("--factor", type=float, default=1.0, help="how many times as much it costs as it did")
    for action in (add, remove, reprice):
        terminal.add_options(action, decides=True)


def run(args: Namespace) -> int:
    """Do what was asked."""
    actions = {"start": _start, "stop": _stop, "mode": _mode, "events": _events}
    actions |= {"add": _value, "remove": _value, "reprice": _value}
    with terminal.asking(args) as client:
        actions.get(args.action or "", _status)(args, client)
    return 0


def _status(args: Namespace, client: Client) -> None:
    found = client.get("/v1/tuning")
    if args.json:
        terminal.print_json(found)
        return
    from rich.markup import escape

    console = terminal.console()
    modes = ", ".join(f"{'all others' if row['knob'] == '*' else row['knob']}: {row['mode']}" for row in found["modes"])
    console.print(f"Modes: {escape(modes)}", soft_wrap=True)
    if not found["campaigns"]:
        console.print("Nothing is being learned; `trimtab tune start KNOB JSON` begins an experiment.")
    for row in found["campaigns"]:
        _print_campaign(row, console)


def _print_campaign(row: dict[str, Any], console: Console) -> None:
    from rich.markup import escape

    state = row["phase"] if row["status"] == "running" else "stopped"
    spec = row["spec"]
    goal = f"{spec['objective']}, margin {100 * spec['margin']:g} points"
    head = f"{row['knob']} for {terminal.match(row['match'])}, {goal}, {row['units']} runs"
    console.print(f"[bold]{row['experiment_id']}[/]  [cyan]{state}[/]  {escape(head)}", soft_wrap=True)
    table = terminal.table("value", "share now", "runs", "success", "cost, USD", "latency, s", "change of success")
    shares = row["weights"].get("", {})
    for arm in row["verdict"].get("arms", ()):
        cells = (
            "the code's own" if arm["arm"] == "incumbent" else arm["arm"],
            f"{shares.get(arm['arm'], 0.0):.0%}",
            str(arm["units"]),
            *(_bounds(arm[name]) for name in ("quality", "cost_usd", "latency_s", "quality_change")),
        )
        table.add_row(*(escape(cell) for cell in cells))
    if row["verdict"]:
        console.print(table)


def _bounds(found: dict[str, float | None]) -> str:
    """``0.91 (0.88 to 0.94)``; a dash where nothing is known."""
    if found["estimate"] is None:
        return "–"
    if found["low"] is None or found["high"] is None:
        return f"{found['estimate']:.4g}"
    return f"{found['estimate']:.4g} ({found['low']:.4g} to {found['high']:.4g})"


def _start(args: Namespace, client: Client) -> None:
    goal = {
        "objective": args.objective,
        "margin": args.margin,
        "usd_per_day": args.usd_per_day,
        "value_usd": args.value_usd,
        "max_share": args.max_share,
        "explore_usd_per_day": args.explore_usd_per_day,
        "context_key": args.context,
    }
    match = terminal.match_of(args)
    body = {"seen": client.get("/v1/policy")["version"], "knob": args.knob, "values": args.values, "goal": goal}
    body |= {"match": match or None, "after": args.after, "why": args.why}
    row = client.post("/v1/tuning", body)
    if args.json:
        terminal.print_json(row)
        return
    from rich.markup import escape

    console = terminal.console()
    tried = [arm["value"] for arm in row["arms"] if "value" in arm]
    told = f"Started: {row['knob']} is drawn by run: {terminal.arms(row['arms'])}."
    console.print(escape(told), soft_wrap=True)
    terminal.say_what_follows(client, console)
    terminal.say_if_idle(client, row["knob"], tried, console)
    console.print(f"To see it: trimtab tune. To end it: trimtab tune stop {row['experiment_id']}")


def _stop(args: Namespace, client: Client) -> None:
    target = f"/v1/experiments/{terminal.quoted(args.id)}"
    row = client.post(f"{target}/stop", {"version": client.get(target)["version"], "why": args.why})
    if args.json:
        terminal.print_json(row)
        return
    from rich.markup import escape

    console = terminal.console()
    console.print(escape(f"Stopped: {row['knob']} is what the code says again."), soft_wrap=True)
    terminal.say_what_follows(client, console)


def _value(args: Namespace, client: Client) -> None:
    target = f"/v1/tuning/{terminal.quoted(args.id)}"
    body = {"version": client.get(target)["version"], "value": args.value, "why": args.why}
    if args.action != "remove":
        body["price_usd"] = args.price_usd
    if args.action == "reprice":
        body["factor"] = args.factor
    row = client.post(f"{target}/values" + ("" if args.action == "add" else f"/{args.action}"), body)
    if args.json:
        terminal.print_json(row)
        return
    from rich.markup import escape

    console = terminal.console()
    shares = row["weights"].get("", {})
    names = {arm: "the code's own" if arm == "incumbent" else arm for arm in shares}
    said = ", ".join(f"{names[arm]} {share:.0%}" for arm, share in shares.items())
    if row["status"] != "running":
        said = "no value is left to try, so the experiment ended and the code's own value holds"
    console.print(escape(f"{row['knob']} is drawn by run now: {said}."), soft_wrap=True)
    terminal.say_what_follows(client, console)


def _mode(args: Namespace, client: Client) -> None:
    knob = "*" if args.knob == "all" else args.knob
    seen = client.get("/v1/policy")["version"]
    body = {"seen": seen, "mode": None if args.mode == "default" else args.mode, "why": args.why}
    found = client.post(f"/v1/tuning/modes/{terminal.quoted(knob)}", body)
    if args.json:
        terminal.print_json(found)
        return
    from rich.markup import escape

    console = terminal.console()
    console.print(escape(f"{args.knob}: {_MEANING[args.mode]}"), soft_wrap=True)


_MEANING = {
    "observe": "nothing is proposed and nothing is tried.",
    "recommend": "what is found is proposed, and a person decides.",
    "auto": "what is proposed is also tried, and promoted when it is proven.",
    "default": "what holds for all knobs.",
}


def _events(args: Namespace, client: Client) -> None:
    rows: list[dict[str, Any]] = []
    after = 0
    while True:
        query = f"/v1/tuning/events?after={after}&limit=1000"
        page = client.get(query + (f"&experiment={terminal.quoted(args.id)}" if args.id else ""))
        rows += page["items"]
        if not page["items"]:
            break
        after = page["after"]
    if args.json:
        terminal.print_json(rows)
        return
    from rich.markup import escape

    console = terminal.console()
    if not rows:
        console.print("Nothing has happened yet.")
    for row in rows:
        console.print(f"{terminal.when(row['at_ns'])}  {row['experiment_id']}  {escape(row['told'])}", soft_wrap=True)


command = Command(
    "tune",
    "Learn which values are better while agents run: status, start, add, remove, reprice, stop, mode, events",
    add_arguments,
    run,
    example="trimtab tune start model '\"gpt-5-mini\"' --margin 0.02",
)
"""Registered in the entry-point group ``trimtab.commands``."""
