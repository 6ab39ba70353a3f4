"""``trimtab run -- CMD ...``: starts any command so that every Python below it is traced, without a line of code.

In: a command and settings. Out: the command itself, in this very process (``exec``): exit code, signals, terminal and
pipes are its own, and nothing of ours waits beside it. What makes it traced is its environment: a folder with a
``sitecustomize`` leads PYTHONPATH (:mod:`trimtab_tracer.injected.sitecustomize`), so shells, ``uv run`` and launchers
pass it on and programs that are no Python never notice. Settings travel as the ``TRIMTAB_*`` variables that everyone
knows, so that what the agent's own ``instrument(...)`` says still wins. An option that can't be used stops before the
command starts; trouble with settings found elsewhere does not: the command then runs untraced and says so.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import trimtab_tracer
from trimtab_tracer.commands import Command
from trimtab_tracer.errors import SettingsError, TrimtabError
from trimtab_tracer.instrument.switch import ORIGIN
from trimtab_tracer.setting_values import Unusable
from trimtab_tracer.settings import RUN_SERVICE, TABLE, Settings

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes as shells give them."""
FOLDER = Path(trimtab_tracer.__file__).parent / "injected"
"""What leads PYTHONPATH."""
DEAF = {"I": "ignores PYTHONPATH", "E": "ignores PYTHONPATH", "S": "does not read sitecustomize"}
"""Interpreter options under which nothing can be injected."""
COMMON = ("home", "service", "content", "harness")
"""Settings that have an option of their own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.usage = "trimtab run [options] -- COMMAND ..."
    meanings = {row.name: row.sentence.rstrip(".") for row in TABLE}
    for name in COMMON:
        parser.add_argument(f"--{name}", help=_lower(meanings[name]))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, as `trimtab config` lists them; can be given again",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run, with its arguments")


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def run(args: argparse.Namespace) -> int:
    """Become the command; returns only where it can't be started."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise SettingsError("There is nothing to run. Say what after two dashes: `trimtab run -- python agent.py`.")
    path = shutil.which(command[0])
    if path is None:
        return _cannot_start(command[0])
    env = environment(os.environ, _chosen(args))
    is_traced = str(FOLDER) in env.get("PYTHONPATH", "")
    for reason in deafness(command, Path(path)) if is_traced else ():
        print(f"trimtab: {reason}; it runs untraced.", file=sys.stderr, flush=True)
    sys.stdout.flush()
    try:
        if os.name == "nt":  # exec does not keep the process there
            return subprocess.run(command, executable=path, env=env, check=False).returncode
        os.execve(path, command, env)
    except OSError as error:
        print(f"trimtab: {path}: can't be started: {error.strerror or error}.", file=sys.stderr)
        return NOT_EXECUTABLE


def environment(base: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Variables of the command.

    The home is settled here, for programs below may work in other folders: one start is one recording. Nothing is
    added where tracing is off.

    Args:
        base: Variables of this process, all or some of them.
        chosen: Settings by their variables' names, which win over those of this process.
    """
    env = {**base, **chosen}
    try:
        settings = Settings.resolve(**{row.name: chosen[row.env] for row in TABLE if row.env and row.env in chosen})
    except TrimtabError as error:
        print(f"trimtab: {error} The command runs untraced.", file=sys.stderr, flush=True)
        return dict(base)
    if settings.disabled:
        return dict(base)
    env["TRIMTAB_HOME"] = str(settings.home.absolute())
    others = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != str(FOLDER)]
    env["PYTHONPATH"] = os.pathsep.join([str(FOLDER), *others])
    for name in (ORIGIN, RUN_SERVICE):  # this start begins a family of its own
        env.pop(name, None)
    return env


def _chosen(args: argparse.Namespace) -> dict[str, str]:
    """What the options set, checked, by the variables' names."""
    rows = {row.name: row for row in TABLE}
    pairs = [(f"--{name}", name, getattr(args, name)) for name in COMMON if getattr(args, name) is not None]
    for given in args.set:
        name, equals, value = given.partition("=")
        if not equals:
            raise SettingsError(f"--set {given}: expected NAME=VALUE, such as `--set content=off`.")
        pairs.append(("--set", name.strip(), value))
    chosen: dict[str, str] = {}
    for option, name, value in pairs:
        row = rows.get(name)
        if row is None:
            raise SettingsError.unknown_key(name, option, rows)
        if row.env is None or row.is_secret:
            place = row.env if row.is_secret else "trimtab.toml"
            raise SettingsError(f"{option}: setting {name!r} can't be given on a command line; set it with {place}.")
        try:
            row.read(value)
        except Unusable as error:
            raise SettingsError.bad_value(name, value, str(error), option) from None
        chosen[row.env] = value
    return chosen


def _cannot_start(name: str) -> int:
    """Say why nothing can be executed under this name; the exit code that a shell would give."""
    beside = Path(sys.executable).parent / name
    if os.path.exists(name):
        hint = f"Run it with its interpreter: `trimtab run -- python {shlex.quote(name)}`."
        print(f"trimtab: {name} is no executable file. {hint}", file=sys.stderr)
        return NOT_EXECUTABLE
    there = os.sep not in name and beside.exists()
    hint = f" There is {beside}; activate its environment, or name it in full." if there else ""
    print(f"trimtab: there is no command {name!r} in PATH.{hint}", file=sys.stderr)
    return NOT_FOUND


def deafness(command: Sequence[str], path: Path) -> Iterator[str]:
    """Why the Python that the command starts with would not find us, as far as that can be seen from here.

    Args:
        command: The words as typed.
        path: The file that they start.
    """
    words = list(command) if path.name.startswith(("python", "pypy")) else _shebang(path)
    skip = False
    for word in words[1:]:
        if skip:
            skip = False
            continue
        if not word.startswith("-") or word.startswith("--") or word == "-":
            return
        for place, letter in enumerate(word[1:], 1):
            if letter in DEAF:
                yield f"Python's option -{letter} {DEAF[letter]}"
                return
            if letter in "cm":
                return
            if letter in "WX":  # what follows is its value, in this word or the next
                skip = place == len(word) - 1
                break


def _shebang(path: Path) -> list[str]:
    """The words of a script's first line if it names a Python."""
    try:
        with path.open("rb") as file:
            first = file.readline(512)
    except OSError:
        return []
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    return words if words and Path(words[0]).name.startswith(("python", "pypy")) else []


command = Command(
    "run",
    "Run any command with every Python below it traced, without a line of code",
    add_arguments,
    run,
    example="trimtab run -- python agent.py",
)
"""Listed among the light commands."""
