"""Scripts that complete our command line in bash, zsh and fish.

In: the parsers of all commands. Out: the text of a script. It holds what the parsers say at the time it is printed, so
that completing starts no Python; after an upgrade it is printed anew. zsh runs the script of bash through its own
``bashcompinit``. Apart from the dispatcher because nothing else walks through parsers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Level:
    """What may come after some words."""

    path: str
    """The words behind ``trimtab``, joined by blanks: ``policy rule``."""
    children: tuple[str, ...]
    """Words that go deeper."""
    words: tuple[str, ...]
    """Options, and values of a positional argument."""
    values: dict[str, tuple[str, ...]]
    """Of options that take one of a few."""
    helps: dict[str, str]
    """One line for each of these words, as far as there is one."""


def script(shell: str, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for ``shell`` (:data:`SHELLS`)."""
    root = Level("", tuple(parsers), ("--help", "--version"), {}, {n: p.description or "" for n, p in parsers.items()})
    levels = [root, *(level for name, parser in parsers.items() for level in _levels(name, parser))]
    if shell == "fish":
        return _fish(levels)
    head = "autoload -Uz bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return head + _bash(levels)


def _levels(path: str, parser: argparse.ArgumentParser) -> Iterator[Level]:
    options: list[str] = []
    words: list[str] = []
    helps: dict[str, str] = {}
    values: dict[str, tuple[str, ...]] = {}
    below: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below |= action.choices
            helps |= {choice.dest: choice.help or "" for choice in action._choices_actions}
            continue
        if action.help == argparse.SUPPRESS:
            continue
        choices = tuple(str(choice) for choice in action.choices or ())
        if action.option_strings:
            options += action.option_strings
            helps |= dict.fromkeys(action.option_strings, action.help or "")
            values |= dict.fromkeys(action.option_strings, choices) if choices else {}
        else:
            words += choices
    yield Level(path, tuple(below), (*words, *options), values, helps)
    for name, child in below.items():
        yield from _levels(f"{path} {name}", child)


def _bash(levels: list[Level]) -> str:
    """Completes the last word by what stands before it; where we know nothing, files."""
    deeper = [
        f"{_quoted(f'{level.path} {child}'.strip())}) path=$next ;;" for level in levels for child in level.children
    ]
    after = [
        f"{_quoted(f'{level.path} {option}'.strip())}) words={_quoted(' '.join(choices))} ;;"
        for level in levels
        for option, choices in level.values.items()
    ]
    here = [f"{_quoted(level.path)}) words={_quoted(' '.join((*level.children, *level.words)))} ;;" for level in levels]

    def cases(lines: list[str], pad: str) -> str:
        return "".join(f"{pad}{line}\n" for line in lines)

    return (
        "# Completion of trimtab; printed by `trimtab completion`.\n"
        "_trimtab() {\n"
        "    local path='' next words='' i\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        '        next="${path:+$path }${COMP_WORDS[i]}"\n'
        '        case "$next" in\n'
        f"{cases(deeper, '            ')}"
        "        esac\n"
        "    done\n"
        '    case "${path:+$path }${COMP_WORDS[COMP_CWORD-1]}" in\n'
        f"{cases(after, '        ')}"
        "    esac\n"
        '    if [ -z "$words" ]; then\n'
        '        case "$path" in\n'
        f"{cases(here, '            ')}"
        "        esac\n"
        "    fi\n"
        '    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))\n'
        "}\n"
        "complete -o default -F _trimtab trimtab\n"
    )


def _fish(levels: list[Level]) -> str:
    """One line a word, each where the words before it are those of its level."""
    lines = [
        "# Completion of trimtab; printed by `trimtab completion`.",
        "function __trimtab_at",
        "    set -l words (string match -v -- '-*' (commandline -opc)[2..])",
        "    set -l wanted (string split -n ' ' -- $argv[1])",
        "    test (count $words) -ge (count $wanted); or return 1",
        '    test (count $wanted) -eq 0; or test "$words[1..(count $wanted)]" = "$wanted"; or return 1',
        "    contains -- \"$words[(math (count $wanted) + 1)]\" (string split -n ' ' -- $argv[2]); and return 1",
        "    return 0",
        "end",
    ]
    for level in levels:
        at = f"__trimtab_at {_quoted(level.path)} {_quoted(' '.join(level.children))}"
        for word in (*level.children, *level.words):
            lines.append(_fish_line(level, word, at))
    return "\n".join(lines) + "\n"


def _fish_line(level: Level, word: str, at: str) -> str:
    said = f" -d {_quoted(level.helps[word].partition(chr(10))[0])}" if level.helps.get(word) else ""
    if not word.startswith("-"):
        return f"complete -c trimtab -n {_quoted(at)} -a {_quoted(word)}{said}"
    name = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
    choices = f" -xa {_quoted(' '.join(level.values[word]))}" if word in level.values else ""
    return f"complete -c trimtab -n {_quoted(at)} {name}{choices}{said}"


def _quoted(text: str) -> str:
    """In single quotes, for any of the shells."""
    return "'" + text.replace("\\", "\\\\").replace("'", "'\\''") + "'"
