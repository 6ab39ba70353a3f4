"""The command itself: puts table, checks and self-test together and prints them.

In: the arguments. Out: text, or one JSON object, and the exit code: 0 where everything that calls a model is seen and
nothing is wrong, 1 where not. The self-test makes real calls against a scripted provider, which this package may not
know; it is found in the entry-point group :data:`SELFTEST`, and needs the sidecar extra.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict
from importlib import metadata
from typing import Any

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import TrimtabError

from . import checks, environment
from .known import HAZARD, TRANSPORT, UNSEEN

SELFTEST = "trimtab.selftest"
"""Entry-point group: a function that takes an interpreter and its packages and gives one mapping per SDK tried."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--python", metavar="PATH", help="look at this interpreter or virtual environment, not at ours")
    parser.add_argument("--home", help="check this home instead of the one in force here")
    parser.add_argument("--selftest", action="store_true", help="make one call with each SDK against a local script")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(args: Namespace) -> int:
    """Look, print, and say by the exit code whether something is to be done."""
    found = environment.read(args.python)
    rows = [*environment.rows(found), *environment.programs()]
    looked = checks.run_checks(os.environ, args.home)
    looked.insert(0, _python(found))
    tried = _selftest(found) if args.selftest else []
    unseen = [row for row in rows if row.verdict in (UNSEEN, HAZARD) and row.kind not in (TRANSPORT, "program")]
    problems = [check for check in looked if check.state == checks.PROBLEM]
    missed = [one for one in tried if not one["ok"]]
    code = 1 if unseen or problems or missed else 0
    if args.json:
        told = {"python": found.executable, "exit_code": code, "packages": [asdict(row) for row in rows]}
        told |= {"checks": [asdict(check) for check in looked], "selftest": tried if args.selftest else None}
        print(json.dumps(told, indent=2))
        return code
    print("\n".join(_text(found, rows, looked, tried)))
    print(_conclusion(unseen, problems, missed))
    return code


def _python(found: environment.Environment) -> checks.Check:
    version = ".".join(map(str, found.python))
    if found.is_too_old:
        oldest = ".".join(map(str, environment.OLDEST))
        return checks.Check(
            "python", checks.PROBLEM, f"{version}: agents here stay untraced; {oldest} or newer is needed."
        )
    ours = found.packages.get("trimtab")
    where = f"trimtab {ours} is installed" if ours else "trimtab is not installed; `trimtab run` brings it along"
    return checks.Check("python", checks.OK, f"{version}, {where}")


def _selftest(found: environment.Environment) -> list[dict[str, Any]]:
    for point in metadata.entry_points(group=SELFTEST):
        tried: list[dict[str, Any]] = point.load()(found.executable, found.packages)
        return tried
    raise TrimtabError("There is no self-test in this installation; install trimtab again with its sidecar extra.")


def _text(
    found: environment.Environment,
    rows: list[environment.Row],
    looked: Iterable[checks.Check],
    tried: Iterable[dict[str, Any]],
) -> Iterable[str]:
    yield f"{found.executable}\n"
    kinds = list(dict.fromkeys(row.kind for row in rows))
    for kind in kinds:
        only = ", if an agent calls a model with one of them" if kind == TRANSPORT else ""
        yield f"{kind}s{only}:"
        yield from _lines(
            [(row.verdict, f"{row.package} {row.version}".strip(), row) for row in rows if row.kind == kind]
        )
        yield ""
    if not rows:
        yield "No package here is known to call models.\n"
    yield "trimtab:"
    for check in looked:
        yield f"  {check.state:<9} {check.name}: {check.text}"
    yield ""
    for one in tried:
        yield f"  {'ok' if one['ok'] else 'problem':<9} self-test of {one['name']}: {one['text']}"


def _lines(found: list[tuple[str, str, environment.Row]]) -> Iterable[str]:
    width = max(len(name) for _, name, _ in found)
    for verdict, name, row in found:
        said = "; ".join(filter(None, [row.transport, row.advice]))
        yield f"  {verdict:<9} {name:<{width}}  {said}".rstrip()


def _conclusion(unseen: list[environment.Row], problems: list[checks.Check], missed: list[dict[str, Any]]) -> str:
    if not (unseen or problems or missed):
        return "Everything here that is known to call models is seen."
    parts = [f"not seen: {', '.join(row.package for row in unseen)}"] if unseen else []
    parts += [f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}"] if problems else []
    parts += [f"self-test failed: {', '.join(one['name'] for one in missed)}"] if missed else []
    return f"To do: {'; '.join(parts)}."


command = Command(
    "doctor",
    "Say what here is seen, what is not, and what to do about it",
    add_arguments,
    run,
    example="trimtab doctor --selftest",
)
"""Listed among the light commands."""
