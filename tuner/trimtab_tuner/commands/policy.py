"""``trimtab policy``: what agents are told now, how it came about, and rules put by hand.

In: the control API's policy and its versions. Out: text, or JSON. A change carries the version of the policy that was
read just before. Without a sidecar the home's own store is asked (:mod:`trimtab_tuner.local`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..client import Client


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    terminal.add_options(parser, is_action=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    terminal.add_options(actions.add_parser("show", help="the policy in force (also without an action)"))
    terminal.add_options(actions.add_parser("versions", help="every policy that was ever in force, newest first"))
    rollback = actions.add_parser("rollback", help="return to the rules of an earlier version")
    rollback.add_argument(
        "version", type=int, nargs="?", metavar="VERSION", help="which one (default: the newest one with other rules)"
    )
    terminal.add_options(rollback, decides=True)
    rules = actions.add_parser("rule", help="put or remove one rule by hand")
    of_rule = rules.add_subparsers(dest="rule_action", metavar="ACTION", required=True)
    add = of_rule.add_parser("add", help="set a knob to a fixed value, for every call or for those that match")
    add.add_argument("knob", metavar="KNOB", help="name of the knob, such as max_retries")
    add.add_argument("value", metavar="JSON", type=terminal.json_value, help="what to set it to")
    add.add_argument("--id", dest="rule_id", metavar="ID", help="of the rule; one with this id is replaced")
    terminal.add_match(add)
    terminal.add_run_match(add)
    add.epilog = "example: trimtab policy rule add model gpt-5 --context tier=gold --when previous_failed=true"
    terminal.add_options(add, decides=True)
    remove = of_rule.add_parser("remove", help="take a rule out of the policy")
    remove.add_argument("rule_id", metavar="ID", help="as `trimtab policy` shows it")
    terminal.add_options(remove, decides=True)


def run(args: Namespace) -> int:
    """Do what was asked."""
    with terminal.asking(args) as client:
        if args.action in (None, "show"):
            _show(args, client)
        elif args.action == "versions":
            _versions(args, client)
        else:
            _change(args, client)
    return 0


def _show(args: Namespace, client: Client) -> None:
    document = client.get("/v1/policy")
    if args.json:
        terminal.print_json(document)
        return
    from rich.markup import escape

    console = terminal.console()
    console.print(f"[bold]Policy version {document['version']}[/]. {_standing(args, client)}", soft_wrap=True)
    if document["frozen"]:
        console.print("[red]Frozen:[/] no rule is active, agents do what their code says. `trimtab unfreeze` ends it.")
    if not document["rules"]:
        console.print("It has no rules: agents do what their code says.")
        return
    table = terminal.table("rule", "knob", "value", "for", "source")
    for rule in document["rules"]:
        cells = (rule["rule_id"], rule["knob"], _value(rule), _where(rule), rule["source"])
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)


def _standing(args: Namespace, client: Client) -> str:
    """How long agents obey what is published."""
    from ..local import HomeClient

    if not isinstance(client, HomeClient):
        return "The sidecar issues it again and again, so that agents obey it as long as the sidecar runs."
    path = Settings.resolve(home=args.home).policy_path
    try:
        policy = parse(path.read_bytes(), time.time_ns())
    except (OSError, PolicyError):
        return f"No sidecar runs and {path} can't be read: agents do what their code says until `trimtab up`."
    until = f"{terminal.when(policy.issued_ns + policy.lifetime_s * 10**9)} UTC"
    if not policy.holds_at(time.time_ns()):
        return f"No sidecar runs, so agents obeyed it until {until}; `trimtab up` publishes it again."
    return f"No sidecar runs, so agents obey it until {until}."


def _where(rule: dict[str, Any]) -> str:
    """``service shop, once min_step=3``."""
    conditions = ", ".join(f"{key}={terminal.value(asked)}" for key, asked in (rule.get("when") or {}).items())
    return terminal.match(rule["match"]) + (f", once {conditions}" if conditions else "")


def _value(rule: dict[str, Any]) -> str:
    return terminal.arms(rule["arms"]) if "arms" in rule else terminal.value(rule["value"])


def _versions(args: Namespace, client: Client) -> None:
    rows = list(client.pages("/v1/policy/versions"))
    if args.json:
        terminal.print_json(rows)
        return
    from rich.markup import escape

    table = terminal.table("version", "since (UTC)", "rules", "", "what made it", "who")
    for row in rows:
        frozen = "frozen" if row["frozen"] else ""
        who = f"{row['actor']} ({row['via']})"
        cells = (str(row["version"]), terminal.when(row["issued_ns"]), str(row["rules"]), frozen, row["reason"], who)
        table.add_row(*(escape(cell) for cell in cells))
    terminal.console().print(table)


def _change(args: Namespace, client: Client) -> None:
    before = client.get("/v1/policy")
    said: dict[str, Any] = {"seen": before["version"], "why": args.why}
    if args.action == "rollback":
        state = client.post("/v1/policy/rollback", {**said, "to": args.version})
        told = "Rolled back"
    elif args.rule_action == "add":
        rule: dict[str, Any] = {"knob": args.knob, "value": args.value, "match": terminal.match_of(args)}
        if args.when:
            rule["when"] = terminal.when_of(args)
        if args.rule_id is not None:
            rule["rule_id"] = args.rule_id
        state = client.post("/v1/policy/rules", {**said, "rule": rule})
        told = f"Rule {_new(before, state['document'])} is in the policy"
    else:
        state = client.post(f"/v1/policy/rules/{terminal.quoted(args.rule_id)}/remove", said)
        told = f"Rule {args.rule_id} is out of the policy"
    if args.json:
        terminal.print_json(state)
        return
    from rich.markup import escape

    console = terminal.console()
    console.print(f"{escape(told)}.", soft_wrap=True)
    terminal.say_what_follows(client, console)
    if args.action == "rule" and args.rule_action == "add":
        terminal.say_if_idle(client, args.knob, [args.value], console)
    console.print(f"To undo it: trimtab policy rollback {before['version']}")


def _new(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Id of the rule that was put."""
    return next((str(rule["rule_id"]) for rule in after["rules"] if rule not in before["rules"]), "(as it was)")


command = Command(
    "policy",
    "Show what agents are told, put rules by hand, and roll back",
    add_arguments,
    run,
    example="trimtab policy rule add timeout_s 20 --service shop --why 'answers take 4 s'",
)
"""Registered in the entry-point group ``trimtab.commands``."""
