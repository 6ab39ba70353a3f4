"""What the commands that decide have in common: options, who is asked, values as one types them, and how they print.

In: arguments, rows of the API. Out: text through rich, or one JSON value. Apart from the commands because each of them
is about one thing, and they must look alike. What a person or an agent wrote is escaped before it is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trimtab_tracer.errors import SettingsError
from trimtab_tracer.policy import STEERABLE
from trimtab_tracer.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .client import Client

PIPE_COLUMNS = 120
"""Width of the text where stdout is no terminal."""
VALUE_CHARS = 60
"""Longest value in a line."""
MANY = 5
"""Items shown of a list."""
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
"""Seconds of the units in which a time is typed."""


def add_options(parser: argparse.ArgumentParser, *, decides: bool = False, is_action: bool = True) -> None:
    """``--home``, ``--json`` and, for what decides, ``--why``.

    Args:
        parser: The command's, or one of its actions'.
        decides: Whether a reason is kept.
        is_action: An action's options leave those alone that stood before it.
    """
    default = argparse.SUPPRESS if is_action else None
    if decides:
        parser.add_argument("--why", metavar="TEXT", default=None, help="reason, kept in the audit")
    parser.add_argument("--home", default=default, help="use this home instead of the one in force here")
    parser.add_argument(
        "--json", action="store_true", default=default or False, help="print one JSON value instead of text"
    )


def add_match(parser: argparse.ArgumentParser) -> None:
    """Which calls a rule is for."""
    for name, help in (
        ("site", "only at this site, by its id, as /v1/knobs has it"),
        ("service", "only in this agent"),
        ("model", "only where this model is asked for"),
    ):
        parser.add_argument(f"--{name}", metavar=name.upper(), help=help)


def add_run_match(parser: argparse.ArgumentParser) -> None:
    """Which runs a rule is for, and what they must have come to."""
    parser.add_argument("--name", metavar="NAME", help="only in runs of this name")
    parser.add_argument(
        "--context",
        metavar="KEY=TEXT",
        type=_pair,
        action="append",
        help="only in runs with this attribute; several must all hold",
    )
    parser.add_argument(
        "--when",
        metavar="KEY=JSON",
        type=_pair,
        action="append",
        help="only once the run has come to this, as in previous_failed=true or min_step=3; several must all hold",
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def match_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the options of :func:`add_match` and :func:`add_run_match` say."""
    given = {name: getattr(args, name, None) for name in ("site", "service", "model", "name")}
    found: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    if "when" in args and args.context:
        found["context"] = dict(args.context)
    return found


def when_of(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--when`` says; the control tells what of it can't be asked for."""
    return {key: json_value(text) for key, text in args.when or ()}


@contextmanager
def asking(args: argparse.Namespace) -> Iterator[Client]:
    """Whoever answers for the home in force; see :func:`.local.sidecar_or_home` for what this raises."""
    from .local import sidecar_or_home

    with sidecar_or_home(Settings.resolve(home=args.home)) as client:
        yield client


def json_value(text: str) -> Any:
    """A value as typed: JSON, or the text itself where it is none (``gpt-5``).

    Raises:
        ArgumentTypeError: it begins like JSON and is none.
    """

    def number(digits: str) -> float:
        if not math.isfinite(found := float(digits)):  # NaN, Infinity, 1e999
            raise ValueError(f"{digits} is no number of JSON")
        return found

    try:
        return json.loads(text, parse_constant=number, parse_float=number)
    except (ValueError, RecursionError) as error:
        if text.startswith(("{", "[", '"')):
            raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from None
        return text


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def progress(label: str, total: int | None, *, is_quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A bar on standard error for work that may take long; nothing where that is no terminal.

    Args:
        label: What is being done.
        total: Parts of the work; None where nobody knows how many, then it only shows that it goes on.
        is_quiet: Whether nothing is shown anyway.

    Yields:
        To be called with a part's name when that is done.
    """
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Terminal(stderr=True)
    known = (MofNCompleteColumn(), TimeRemainingColumn()) if total is not None else ()
    columns = (TextColumn(label), BarColumn(), *known, TextColumn("{task.fields[name]}"))
    with Progress(*columns, console=screen, disable=is_quiet or not screen.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=total, name="")
        yield lambda name: bar.update(task, advance=1, name=name)


def console() -> Console:
    """Where text goes."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def table(*columns: str) -> Table:
    """An empty table without lines."""
    from rich.table import Table

    made = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def value(of: Any, most: int = VALUE_CHARS) -> str:
    """A knob's value in one line; None is what the code leaves to the library."""
    text = "(not set)" if of is None else json.dumps(of, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def when(ns: int | None) -> str:
    """A point in time, UTC."""
    return "–" if ns is None else f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}"


def moment(option: str, text: str | None, now_ns: int) -> int | None:
    """A time as typed, in nanoseconds: so long ago, or a date and time, which is local where it names no zone.

    Raises:
        SettingsError: it is neither.
    """
    if text is None:
        return None
    ago = re.fullmatch(r"(\d+)([smhdw])", text)
    if ago:
        return max(0, now_ns - int(ago[1]) * UNITS_S[ago[2]] * 10**9)
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 10**9
    except (ValueError, OverflowError, OSError):
        raise SettingsError(
            f"--{option} {text}: expected a span such as 2h or 7d, or a date such as 2026-11-30."
        ) from None


def plain(of: Any) -> str:
    """A JSON value as words: ``runs 12; calls c1, c2 and 7 more``."""
    if isinstance(of, dict):
        parts = [f"{key.replace('_', ' ')} {plain(inner)}" for key, inner in of.items() if inner not in (None, [], {})]
        return "; ".join(parts)
    if isinstance(of, list):
        more = f" and {len(of) - MANY} more" if len(of) > MANY else ""
        return ", ".join(plain(inner) for inner in of[:MANY]) + more
    if isinstance(of, float):
        return f"{of:.3g}"
    return of if isinstance(of, str) else json.dumps(of)


def place(row: dict[str, Any]) -> str:
    """File and line of a row that may have none."""
    return f"{row['file']}:{row['line']}" if row.get("file") else "(no line)"


def arms(of: list[dict[str, Any]]) -> str:
    """Values of an experiment with their shares."""
    return ", ".join(f"{value(arm['value']) if 'value' in arm else 'incumbent'} {arm['weight']:.0%}" for arm in of)


def quoted(identity: str) -> str:
    """An id as part of a path."""
    return quote(identity, safe="")


def say_what_follows(client: Client, to: Console) -> None:
    """When agents obey the policy as it is now, and, where no sidecar issues it again and again, for how long."""
    from .local import HomeClient

    policy = client.get("/v1/policy")
    if policy["frozen"]:
        to.print("Steering is frozen, so agents do what their code says until `trimtab unfreeze`.")
        return
    to.print(f"Agents obey policy version {policy['version']} within 2 s.")
    if isinstance(client, HomeClient):
        lifetime_s = policy["lifetime_s"]
        lifetime = f"{lifetime_s / 60:.0f} min" if lifetime_s >= 120 else f"{lifetime_s} s"
        to.print(f"No sidecar runs: they obey it for {lifetime}, and longer only while `trimtab up` runs.")


def say_if_idle(client: Client, knob: str, values: Iterable[Any], to: Console) -> None:
    """Tell where no recorded agent can obey: a knob is easily misspelt, and nothing else would say so."""
    from rich.markup import escape

    if knob in STEERABLE:
        return
    seen = list(client.pages("/v1/knobs", knob=knob))
    choices = [choice for row in seen if row["steerable"] for choice in row["choices"]]
    odd = [each for each in values if json.dumps(each) not in map(json.dumps, choices)]
    if choices and not odd:
        return
    if choices:
        known = ", ".join(value(choice) for choice in choices)
        why = f"{value(odd[0])} is none of the choices that the code gives {knob}: {known}"
    else:
        declared = "only observes" if seen else "has never seen"
        why = (
            f"trimtab {declared} a knob {knob}; it sets {', '.join(STEERABLE)}, and what code reads with trimtab.knob()"
        )
    to.print(f"[yellow]No agent obeys this so far:[/] {escape(why)}.", soft_wrap=True)


def match(of: dict[str, Any]) -> str:
    """Which calls a rule is for: ``site ab12, tier=gold of the run``."""
    given = [f"{key} {name}" for key, name in of.items() if name is not None and key != "context"]
    given += [f"{key}={text} of the run" for key, text in (of.get("context") or {}).items()]
    return ", ".join(given) or "every call"
