"""The command line: finds the command that was typed and turns what goes wrong into one sentence.

In: ``sys.argv``. Out: an exit code (``docs/cli.md``): 0 done, 1 failed, 2 wrong usage or unknown format, 3 the
sidecar, its port or the store is in the way, 130 interrupted. Light commands live here; heavier ones register
in the entry-point group ``trimtab.commands`` and only the typed one is imported, so that ``trimtab config``
starts without a database. A command that needs packages which are not installed says which extra brings them.
A file system that is in the way is never worth a traceback. Other unexpected errors keep theirs: they are bugs, and
``TRIMTAB_DEBUG=1`` shows it for the expected ones too.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from trimtab_tracer import __version__
from trimtab_tracer.commands import GROUP, Command
from trimtab_tracer.errors import MissingExtra, TrimtabError, is_full, near, no_space

from .completion import SHELLS, script
from .doctor.command import command as _doctor_command
from .launch import command as _run_command

EXTRAS = ("sidecar", "demo", "dev")
"""Extras in the order in which they are offered for a missing module: each one brings those before it."""
SHOW = "TRIMTAB_DEBUG=1 shows where it happened."
USAGE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (``sys.argv`` by default) and return the exit code."""
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a reader that has gone away is handled, and not when the interpreter ends
        return code
    except TrimtabError as error:
        if os.environ.get("TRIMTAB_DEBUG"):
            raise
        print(f"trimtab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader went away (`trimtab report | head`): not worth a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("TRIMTAB_DEBUG") or not (isinstance(error, OSError) or is_full(error)):
            raise
        print(f"trimtab: {_environment(error)}", file=sys.stderr)
        return 1


def _environment(error: Exception) -> str:
    """One sentence on a file system that is in the way, where no command has one of its own."""
    named = getattr(error, "filename", None)
    if is_full(error):
        return f"{no_space(named or 'the disk')} {SHOW}"
    what = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{named}: {what}. Mend that and try again. {SHOW}" if named else f"{what}. {SHOW}"


def _dispatch(argv: list[str]) -> int:
    if argv[:1] in (["--version"], ["-V"]):
        print(f"trimtab {__version__}")
        return 0
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(_help())
        return 0 if argv else USAGE
    name = argv[0]
    try:
        command = _load(name)
        if command is None:
            known = [*LIGHT, *(point.name for point in _registered())]
            print(f"trimtab: there is no command {name!r}.{near(name, known)} See `trimtab --help`.", file=sys.stderr)
            return USAGE
        parser = parser_of(name, command)
        return command.run(parser.parse_args(argv[1:]))
    except ModuleNotFoundError as error:
        extra = _extra_with(error.name)
        if extra is None:
            raise
        raise MissingExtra.for_command(name, extra, str(error.name)) from error


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    """The parser of a command, whose help ends with an example."""
    parser = argparse.ArgumentParser(prog=f"trimtab {name}", description=f"{command.help}.")
    parser.epilog = f"example: {command.example}"
    command.add_arguments(parser)
    _give_examples(parser)
    return parser


def _give_examples(parser: argparse.ArgumentParser) -> None:
    """An example for each action below that has none of its own: the action with what it needs."""
    for action in parser._actions:
        for child in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            needs = [each for each in child._actions if not each.option_strings and each.nargs not in ("?", "*")]
            words = [str(next(iter(each.choices)) if each.choices else each.metavar or each.dest) for each in needs]
            child.epilog = child.epilog or f"example: {' '.join([child.prog, *words])}"
            _give_examples(child)


def _load(name: str) -> Command | None:
    if name in LIGHT:
        return LIGHT[name]
    for point in _registered():
        if point.name == name:
            command: Command = point.load()
            return command
    return None


def commands() -> dict[str, Command]:
    """Every command that can be loaded here, by name; those whose extra is not installed are left out."""
    found = dict(LIGHT)
    for point in _registered():
        try:
            found[point.name] = point.load()
        except ModuleNotFoundError:
            continue
    return dict(sorted(found.items()))


def _registered() -> Iterator[metadata.EntryPoint]:
    """Commands of the installed packages, each name once."""
    seen = set(LIGHT)
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name):
        if point.name not in seen:
            seen.add(point.name)
            yield point


def _extra_with(module: str | None) -> str | None:
    """The first of our extras that installs ``module``, or None if none does."""
    wanted = (module or "").partition(".")[0].replace("_", "-").lower()
    brought: dict[str, str] = {}
    for requirement in metadata.requires("trimtab") or ():
        package = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", requirement)
        if package and extra and package[0].replace("_", "-").lower() == wanted:
            brought[extra[1]] = requirement
    return next((extra for extra in EXTRAS if extra in brought), None)


def _help() -> str:
    lines = {name: command.help for name, command in LIGHT.items()}
    for point in _registered():
        try:
            lines[point.name] = point.load().help
        except ModuleNotFoundError as error:
            extra = _extra_with(error.name)
            lines[point.name] = (
                f"needs the {extra} extra: pip install 'trimtab[{extra}]'" if extra else f"broken: {error}"
            )
    width = max(map(len, lines))
    commands = "\n".join(f"  {name:<{width}}  {lines[name]}" for name in sorted(lines))
    return (
        "usage: trimtab [--version] [--help] COMMAND ...\n\n"
        "Watches the LLM agents you already run and pins every failure and dollar to a line of code.\n\n"
        f"commands:\n{commands}\n\n"
        "`trimtab COMMAND --help` shows a command's options."
    )


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", help="look at this home instead of the one in force here")
    parser.add_argument("--json", action="store_true", help="print one JSON object: {name: {value, source, meaning}}")


def _config(args: argparse.Namespace) -> int:
    """Print each setting's value, where it came from and what it means."""
    from trimtab_tracer.settings import TABLE, provenance

    found = provenance(home=args.home)
    if args.json:
        import json

        rows = {
            row.name: {"value": found[row.name].value, "source": found[row.name].source, "meaning": row.sentence}
            for row in TABLE
        }
        print(json.dumps(rows, indent=2, default=_plain))
        return 0
    for row in TABLE:
        value, source = found[row.name]
        shown = "(none)" if value in (None, ()) else value
        print(f"{row.name} = {shown}\n    from {source}" + (f"; set it with {row.env}" if row.env else ""))
        print(f"    {row.sentence}")
    return 0


def _plain(value: object) -> object:
    """A path or a price override as JSON has it."""
    from dataclasses import asdict, is_dataclass

    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="whose script; docs/cli.md says where it belongs")


def _completion(args: argparse.Namespace) -> int:
    parsers = {name: parser_of(name, command) for name, command in commands().items()}
    print(script(args.shell, parsers), end="")
    return 0


LIGHT: dict[str, Command] = {
    "config": Command(
        "config",
        "Show every setting, its value and where it came from",
        _config_arguments,
        _config,
        example="trimtab config --json",
    ),
    "completion": Command(
        "completion",
        "Print a script that completes commands and options in a shell",
        _completion_arguments,
        _completion,
        example="trimtab completion fish > ~/.config/fish/completions/trimtab.fish",
    ),
    "doctor": _doctor_command,
    "run": _run_command,
}
"""Commands that need nothing beyond the base install."""

if __name__ == "__main__":
    sys.exit(main())
