"""Completion of our command line in a real shell, and an example at the end of each help."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.__main__ import commands, main, parser_of
from trimtab.completion import SHELLS, script


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Those of all commands."""
    return {name: parser_of(name, command) for name, command in commands().items()}


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all that are below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from below(child)


def test_every_help_ends_with_an_example(parsers: dict[str, argparse.ArgumentParser]) -> None:
    """Of each command and each action; the example begins with what it is an example of."""
    for name, parser in parsers.items():
        for each in below(parser):
            said = each.format_help().rstrip().splitlines()
            assert any(line.startswith(f"example: trimtab {name}") for line in said[-3:]), each.prog


def test_every_command_that_prints_data_prints_it_as_json(parsers: dict[str, argparse.ArgumentParser]) -> None:
    """All but those that run until they are stopped, or print a script."""
    without = {
        name for name, parser in parsers.items() if not any("--json" in a.option_strings for a in parser._actions)
    }
    assert without == {"completion", "provider", "run", "up"}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory, parsers: dict[str, argparse.ArgumentParser]) -> Path:
    """A folder with the script of each shell."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        (folder / f"trimtab.{shell}").write_text(script(shell, parsers))
    return folder


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("re", {"recs", "report", "reprice"}),
        ("tune s", {"start", "stop", "status"}),
        ("tune start --objective ", {"best_within", "cheapest", "fastest", "value"}),
        ("policy rule ", {"add", "remove", "--help", "-h"}),
        ("policy rule add --wh", {"--when", "--why"}),
        ("completion z", {"zsh"}),
        ("nonsense ", {"--help", "--version"}),
    ],
)
def test_bash_offers_what_may_come(scripts: Path, typed: str, offered: set[str]) -> None:
    """In a bash that has no more than our script."""
    words = ["trimtab", *typed.split(" ")]
    line = " ".join(f"'{word}'" for word in words)
    program = f"source {scripts}/trimtab.bash; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _trimtab;"
    done = subprocess.run(
        ["bash", "--norc", "-c", program + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(done.stdout.split())
    assert offered <= found
    if typed.startswith("nonsense"):
        assert "report" in found
    elif typed != "policy rule ":
        assert offered == found


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script(scripts: Path, shell: str) -> None:
    """Where the shell is installed it reads the script without a word."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    done = subprocess.run(
        [program, "-n", str(scripts / f"trimtab.{shell}")], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_fish_offers_the_words_of_a_level(scripts: Path) -> None:
    """Each word once, under the words that come before it."""
    lines = (scripts / "trimtab.fish").read_text().splitlines()
    mode = [line for line in lines if "'\\''tune'\\''" in line and "-a 'mode'" in line]
    assert len(mode) == 1


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, alone on standard output."""
    assert 0 == main(["completion", "zsh"])
    assert capsys.readouterr().out.startswith("autoload -Uz bashcompinit")
