"""``trimtab recs``: what trimtab proposes to change, and the decision about it.

In: recommendations of the control API, and what a person says to one of them. Out: text, or JSON with the rows as the
API gives them. A decision carries the version that was read just before, so of two people who decide at once one is
told who was quicker, and nothing changes twice. Without a sidecar the home's own store is asked
(:mod:`trimtab_tuner.local`).
"""

from __future__ import annotations

from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rich.console import Console

    from ..client import Client

STATUSES = ("proposed", "accepted", "active", "promoted", "rejected", "rolled_back", "expired")
DECISIONS = {
    "accept": ("accept", "publish the change; agents obey it within 2 s"),
    "reject": ("reject", "turn it down; it is not proposed again"),
    "rollback": ("rollback", "take an accepted change back: the code's own value holds again"),
    "promote": ("promote", "say that it has proven itself; it stays"),
}
"""Action, its path in the API, and what it does."""
DONE = {"accept": "Accepted", "reject": "Rejected", "rollback": "Taken back", "promote": "Promoted"}


NOTHING = (
    "Nothing is recommended so far: trimtab recommends a change where the knob behind a finding can be set while agents"
    " run. `trimtab report` has all findings."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    terminal.add_options(parser, is_action=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list them, undecided ones first (also without an action)")
    listing.add_argument("--status", choices=STATUSES, help="only those in this state")
    terminal.add_options(listing)
    show = actions.add_parser("show", help="explain one: why, evidence, what to expect, and who decided what")
    show.add_argument("id", metavar="ID", help="as `trimtab recs` lists it")
    terminal.add_options(show)
    for action, (_, sentence) in DECISIONS.items():
        decide = actions.add_parser(action, help=sentence)
        decide.add_argument("id", metavar="ID", help="as `trimtab recs` lists it")
        if action == "accept":
            decide.add_argument(
                "--value",
                type=terminal.json_value,
                metavar="JSON",
                default=SUPPRESS,  # null is a value
                help="set this value instead of the recommended one",
            )
        terminal.add_options(decide, decides=True)


def run(args: Namespace) -> int:
    """Do what was asked."""
    with terminal.asking(args) as client:
        if args.action in (None, "list"):
            _list(args, client)
        elif args.action == "show":
            _show(args, client)
        else:
            _decide(args, client)
    return 0


def _list(args: Namespace, client: Client) -> None:
    status = getattr(args, "status", None)
    rows = list(client.pages("/v1/recommendations", status=status))
    if args.json:
        terminal.print_json(rows)
        return
    console = terminal.console()
    rules = client.get("/v1/policy")["rules"]
    if not rows:
        console.print(f"No recommendation is {status.replace('_', ' ')}." if status else NOTHING)
    for row in rows:
        _print_line(row, console, _set_to(row, rules))


def _print_line(row: dict[str, Any], console: Console, set_to: Any) -> None:
    from rich.markup import escape

    state = row["status"].replace("_", " ")
    colour = {"proposed": "yellow", "rejected": "dim", "expired": "dim", "rolled_back": "dim"}.get(
        row["status"], "green"
    )
    console.print(
        f"[bold]{escape(row['recommendation_id'])}[/]  [{colour}]{state}[/]  [cyan]{escape(_change(row, set_to))}[/]"
        f"  {escape(terminal.place(row))}",
        soft_wrap=True,
    )
    console.print(f"    {escape(row['title'])}", soft_wrap=True)
    console.print(f"    [dim]expected: {escape(_expected(row))}[/]", soft_wrap=True)


def _change(row: dict[str, Any], set_to: Any) -> str:
    proposed = "" if set_to == row["to_value"] else f" ({terminal.value(row['to_value'])} was recommended)"
    return f"{row['knob']} {terminal.value(row['from_value'])} → {terminal.value(set_to)}{proposed}"


def _set_to(row: dict[str, Any], rules: list[dict[str, Any]]) -> Any:
    """What the rule of a recommendation sets, which need not be what was recommended; that where it has no rule."""
    return next((rule["value"] for rule in rules if rule["rule_id"] == row["rule_id"]), row["to_value"])


def _once_set_to(row: dict[str, Any], client: Client) -> Any:
    """The same, also of one that was taken back."""
    if row["rule_id"] is None:
        return row["to_value"]
    return _set_to(row, client.get(f"/v1/policy/versions/{row['policy_version']}")["document"]["rules"])


def _expected(row: dict[str, Any]) -> str:
    """What may be expected to change: estimates, or bounds where no data speaks for a value."""
    parts = [f"{metric} {_figures(found)}" for metric, found in row["expected"].items() if found is not None]
    return "; ".join(parts) or "nothing is known"


def _figures(found: dict[str, Any]) -> str:
    """The change of one metric: ``+38% of calls (0 to +75%)``."""
    unit = found["unit"]
    low, high, estimate = (_figure(found[key], unit) for key in ("low", "high", "estimate"))
    words = unit.removeprefix("share ")
    bounds = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    if estimate is None:
        return f"{bounds or 'unknown'} {words}"
    return f"{estimate} {words}" + (f" ({bounds})" if bounds else "")


def _figure(change: float | None, unit: str) -> str | None:
    if not change:
        return None if change is None else "0"
    return f"{change:+.0%}" if unit.startswith("share") else f"{change:+,.3g}"


def _show(args: Namespace, client: Client) -> None:
    row = client.get(f"/v1/recommendations/{terminal.quoted(args.id)}")
    if args.json:
        terminal.print_json(row)
        return
    from rich.markup import escape

    console = terminal.console()
    _print_line(row, console, _once_set_to(row, client))
    facts = {
        "why": row["why"],
        "holds for": terminal.match(row["match"]),
        "basis": "; ".join(found["basis"] for found in row["expected"].values() if found is not None),
        "risk": row["risk"],
        "evidence": terminal.plain(row["evidence"]),
        "finding": f"{row['finding_id']} ({row['rule']})",
        "proposed": f"{terminal.when(row['proposed_ns'])} UTC",
    }
    if row["decided_ns"] is not None:
        reason = f": {row['decided_why']}" if row["decided_why"] else ""
        by = f"{row['decided_by']} (from {row['decided_via']})"
        facts["decided"] = f"{terminal.when(row['decided_ns'])} UTC by {by}{reason}"
    if row["rule_id"] is not None:
        facts["policy"] = f"rule {row['rule_id']}, version {row['policy_version']}"
    if row["obeyed_ns"] is not None:
        facts["first obeyed"] = f"{terminal.when(row['obeyed_ns'])} UTC"
    for name, text in facts.items():
        if text:
            console.print(f"    [dim]{name}:[/] {escape(text)}", soft_wrap=True)
    for hint in _next_steps(row):
        console.print(f"    [green]→[/] {escape(hint)}", soft_wrap=True)


def _next_steps(row: dict[str, Any]) -> list[str]:
    """What may be decided now, as one types it."""
    identity = row["recommendation_id"]
    may = {"proposed": ("accept", "reject"), "accepted": ("rollback",), "active": ("promote", "rollback")}
    may |= {"promoted": ("rollback",)}
    return [f"trimtab recs {action} {identity}" for action in may.get(row["status"], ())]


def _decide(args: Namespace, client: Client) -> None:
    path, _ = DECISIONS[args.action]
    target = f"/v1/recommendations/{terminal.quoted(args.id)}"
    body: dict[str, Any] = {"version": client.get(target)["version"], "why": args.why}
    if args.action == "accept" and "value" in args:
        body["value"] = args.value
    row = client.post(f"{target}/{path}", body)
    if args.json:
        terminal.print_json(row)
        return
    from rich.markup import escape

    console = terminal.console()
    change = _change(row, _once_set_to(row, client))
    console.print(f"{DONE[args.action]}: {escape(change)} at {escape(terminal.place(row))}.", soft_wrap=True)
    if args.action in ("accept", "rollback"):
        terminal.say_what_follows(client, console)
    for hint in _next_steps(row):
        if "rollback" in hint:
            console.print(f"To undo it: {escape(hint)}", soft_wrap=True)


command = Command(
    "recs",
    "List what trimtab recommends, and accept, reject, roll back or promote it",
    add_arguments,
    run,
    example="trimtab recs accept ID --why 'the line times out'",
)
"""Registered in the entry-point group ``trimtab.commands``."""
