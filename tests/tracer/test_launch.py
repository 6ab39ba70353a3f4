"""``trimtab run``: what is refused before anything starts, and the environment that a command gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trimtab.__main__ import main
from trimtab.launch import FOLDER, deafness, environment

pytestmark = pytest.mark.usefixtures("nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "prot=1"], "--set: there is no setting 'prot'. Did you mean 'port'?"),
        (["--set", "port=x"], "--set: setting 'port' is 'x', expected a whole number"),
        (["--set", "port"], "--set port: expected NAME=VALUE"),
        (["--content", "some"], "--content: setting 'content' is 'some'"),
        (["--set", "policy_key=k"], "can't be given on a command line; set it with TRIMTAB_POLICY_KEY"),
        (["--set", "prices=1"], "can't be given on a command line; set it with trimtab.toml"),
        ([], "There is nothing to run."),
    ],
)
def test_unusable_options_stop_before_the_start(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that can't be used, or nothing to run, is a usage error; the command is not started."""
    assert 2 == main(["run", *options, *(["--", "false"] if options else [])])
    assert said in capsys.readouterr().err


def test_a_command_that_is_not_there(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit codes are a shell's: 127 where there is none, 126 where it is no program; the next step is named."""
    (nowhere / "agent.py").write_text("")
    assert 127 == main(["run", "--", "no-such-command"])
    assert "no command 'no-such-command' in PATH" in capsys.readouterr().err
    assert 126 == main(["run", "--", "./agent.py"])
    assert "`trimtab run -- python ./agent.py`" in capsys.readouterr().err


def test_the_environment_of_a_command(nowhere: Path) -> None:
    """Our folder leads PYTHONPATH once, what was there follows, options are variables, and the home is settled."""
    base = {"PYTHONPATH": os.pathsep.join([str(FOLDER), "mine"]), "TRIMTAB_RUN_ORIGIN": "1", "X": "kept"}
    env = environment(base, {"TRIMTAB_CONTENT": "off", "TRIMTAB_HOME": "there"})
    assert {
        "PYTHONPATH": os.pathsep.join([str(FOLDER), "mine"]),
        "TRIMTAB_CONTENT": "off",
        "TRIMTAB_HOME": str(nowhere / "there"),
        "X": "kept",
    } == env


@pytest.mark.parametrize(
    ("words", "deaf"),
    [
        ("python -E a.py", ["-E"]),
        ("python3.12 -u -sS a.py", ["-S"]),
        ("python -W error -I -m app", ["-I"]),
        ("python -X importtime a.py -I", []),
        ("python -WE a.py", []),
        ("python -c pass -E", []),
        ("python -m app -S", []),
        ("python - -I", []),
        ("bash -E script", []),
    ],
)
def test_options_of_python_that_shut_us_out(words: str, deaf: list[str]) -> None:
    """Only the interpreter's own options count, alone or bundled, and not those of the program."""
    command = words.split()
    assert deaf == [reason.split()[2] for reason in deafness(command, Path(command[0]))]


def test_a_shebang_that_shuts_us_out(nowhere: Path) -> None:
    """The first line of a script is read as a command."""
    script = nowhere / "tool"
    script.write_text("#!/usr/bin/python3 -I\n")
    assert ["Python's option -I ignores PYTHONPATH"] == list(deafness(["tool"], script))
