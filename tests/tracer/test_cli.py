"""The command line: finds commands, stays light, and says in one sentence what went wrong."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab.__main__ import LIGHT, main
from trimtab_tracer.errors import SidecarError, StoreError
from trimtab_tracer.store import Store

HEAVY = [
    "duckdb",
    "polars",
    "pyarrow",
    "fastapi",
    "uvicorn",
    "pydantic",
    "streamlit",
    "numpy",
    "scipy",
    "river",
    "openai",
    "httpx",
    "rich",
    "jinja2",
]


pytestmark = pytest.mark.usefixtures("nowhere")


def fresh(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def blocked(*modules: str) -> str:
    """Code that makes importing these modules fail as if they were not installed."""
    return f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from trimtab.__main__ import main
"""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the installed version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "trimtab 0.1.0\n"


@pytest.mark.parametrize("argv", [["config"], ["config", "--json"], ["--help"]])
def test_light_commands_load_nothing_heavy(nowhere: Path, argv: list[str]) -> None:
    """``config`` and even ``--help``, which names every command, import no database and no web server."""
    result = fresh(
        f"""
        import sys
        from trimtab.__main__ import main
        code = main({argv!r})
        sys.exit(code or sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r})) or 0)
        """,
        nowhere,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "config" in result.stdout or "home" in result.stdout


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Light and registered commands stand in the help with a line each."""
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("config", "up", "import", "report", "provider", "demo"):
        assert f"\n  {name} " in shown
    assert "broken" not in shown


def test_config_says_where_each_value_came_from(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``config`` prints value and source of each setting, as text and as JSON."""
    monkeypatch.setenv("TRIMTAB_PORT", "7")
    (nowhere / "pyproject.toml").write_text("[tool.trimtab]\nservice = 'shop'\n")
    assert main(["config", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert (rows["port"]["value"], rows["port"]["source"]) == (7, "TRIMTAB_PORT")
    assert (rows["service"]["value"], rows["service"]["source"]) == ("shop", "pyproject.toml [tool.trimtab]")
    assert main(["config"]) == 0
    assert "port = 7\n    from TRIMTAB_PORT" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt command exits 2 and names its neighbour; so does no command at all, with the help."""
    assert main(["confg"]) == 2
    assert "no command 'confg'. Did you mean 'config'?" in capsys.readouterr().err
    assert main([]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["config", "--nope"])
    assert caught.value.code == 2


def test_an_expected_error_is_one_sentence(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of ours print their message and give their exit code; ``TRIMTAB_DEBUG`` shows the traceback."""
    (nowhere / "file").write_text("")
    argv = ["up", "--port", "0", "--home", str(nowhere / "file")]
    assert main(argv) == SidecarError.exit_code == 3
    error = capsys.readouterr().err
    assert error.startswith("trimtab: The home ")
    assert error.count("\n") == 1
    monkeypatch.setenv("TRIMTAB_DEBUG", "1")
    with pytest.raises(SidecarError):
        main(argv)


def test_an_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in any command is the usual exit code, without a traceback."""

    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(LIGHT, "config", replace(LIGHT["config"], run=interrupted))
    assert main(["config"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_traceback(nowhere: Path) -> None:
    """``trimtab ... | head`` ends quietly when the reader has seen enough."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "trimtab", "config", "--json"]
    result = subprocess.run(command, cwd=nowhere, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.parametrize("module", ["duckdb", "fastapi", "uvicorn"])
def test_a_missing_extra_is_named(nowhere: Path, module: str) -> None:
    """A command whose packages are not installed says which extra brings them and exits 1, without a traceback."""
    result = fresh(blocked(module) + "sys.exit(main(['up', '--port', '0']))", nowhere)
    assert result.returncode == 1
    expected = f"trimtab: trimtab up needs the sidecar extra: pip install 'trimtab[sidecar]' (the module {module!r}"
    assert result.stderr.startswith(expected), result.stderr
    assert result.stderr.count("\n") == 1


def test_help_works_without_any_extra(nowhere: Path) -> None:
    """With none of the extras' packages, the help is still there and every command is in it."""
    result = fresh(blocked(*HEAVY) + "sys.exit(main(['--help']))", nowhere)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\n  up " in result.stdout


def test_a_bug_keeps_its_traceback(nowhere: Path) -> None:
    """A module that is missing for no reason of an extra is a bug and is not dressed up as one."""
    result = fresh(blocked("trimtab_tuner") + "sys.exit(main(['up']))", nowhere)
    assert result.returncode == 1
    assert "ModuleNotFoundError: No module named 'trimtab_tuner" in result.stderr


DEV_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")


@DEV_FULL
def test_a_full_disk_under_the_output_is_one_sentence(nowhere: Path) -> None:
    """``trimtab ... > file`` on a full disk says so and exits 1, without a traceback."""
    command = [sys.executable, "-m", "trimtab", "config", "--json"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, cwd=nowhere, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("trimtab: There is no space left on ")
    assert "Traceback" not in result.stderr


def test_an_error_of_the_file_system_is_one_sentence(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever file is in the way is named in one sentence, and ``TRIMTAB_DEBUG`` shows where it happened."""

    def reads_a_folder(args: object) -> int:
        return len(nowhere.read_bytes())

    monkeypatch.setitem(LIGHT, "config", replace(LIGHT["config"], run=reads_a_folder))
    assert main(["config"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"trimtab: {nowhere}: Is a directory. ")
    assert error.count("\n") == 1
    monkeypatch.setenv("TRIMTAB_DEBUG", "1")
    with pytest.raises(IsADirectoryError):
        main(["config"])


@pytest.mark.parametrize("argv", [["report"], ["import", "runs.json"], ["demo"], ["up", "--port", "0"]])
@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_home_that_is_a_file_is_one_sentence(
    nowhere: Path, argv: list[str], home: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that needs a home says that it is no folder, and exits 3."""
    (nowhere / "file").write_text("mine")
    (nowhere / "runs.json").write_text('[{"role": "user", "content": "hi"}]')
    assert main([*argv, "--home", home]) == 3
    error = capsys.readouterr().err
    assert error.startswith("trimtab: The home ")
    assert "is no folder; move that file" in error
    assert (nowhere / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
@pytest.mark.parametrize(
    ("argv", "inside"),
    [
        (["config"], ""),
        (["report"], ""),
        (["import", "x.json"], ""),
        (["up", "--port", "0"], ""),
        (["report"], "token"),
    ],
)
def test_a_home_of_someone_else_is_one_sentence(
    nowhere: Path, argv: list[str], inside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A home that this user may not enter is named with its owner and mode, not its settings file; exit code 3."""
    home = nowhere / "locked"
    home.mkdir(mode=0o700)
    if inside:  # a home one may enter, with a token one may not read
        (home / inside).touch()
        (home / inside).chmod(0o000)
    home.chmod(0o755 if inside else 0o000)
    if os.geteuid() == 0:
        for folder in home.parents:  # temporary folders, which may be this user's alone
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        for module in ("trimtab_analyzer.report", "trimtab_analyzer.importers", "trimtab_tuner.sidecar"):
            importlib.import_module(module)  # another user may not be able to read where they are installed
        os.seteuid(65534)
    try:
        code = main([*argv, "--home", str(home)])
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        home.chmod(0o700)
    error = capsys.readouterr().err
    assert code == 3
    assert f"can't be read: {home / inside} belongs to " in error
    assert "with mode 0000" in error
    assert "Correct the file" not in error


FILL_AND_FREE = """
mkdir "$1" && mount -t tmpfs -o size=300k none "$1" || exit 77
mkdir -p "$1/h/spool"
head -c "$2"k /dev/zero > "$1/fill" 2>/dev/null
for command in report "up --port 0"; do "$0" -m trimtab $command --home "$1/h"; echo "full: $?" >&2; done
rm "$1/fill"
"$0" -m trimtab report --home "$1/h" >&2; echo "freed: $?" >&2
"""


@pytest.mark.parametrize("kilobytes", [300, 296], ids=["full", "one-block-left"])
def test_a_full_disk_leaves_a_home_that_works_again(nowhere: Path, kilobytes: int) -> None:
    """A store that could not be begun for want of space is told as that, and begun as soon as there is some."""
    command = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        FILL_AND_FREE,
        sys.executable,
        "disk",
        str(kilobytes),
    ]
    try:
        done = subprocess.run(command, cwd=nowhere, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare, to mount a small disk that is gone with the test")
    if done.returncode in (1, 77) and "full:" not in done.stderr:
        pytest.skip("needs the right to mount")
    sentence = "There is no space left on .*; free some and try again: nothing in the spool is lost.\n"
    seen = re.fullmatch(rf"(trimtab: {sentence}full: 3\n){{2}}(?s:.*)freed: 0\n", done.stderr)
    assert seen, done.stderr


@pytest.mark.parametrize("size", [0, 4096, 8192])
def test_a_store_that_was_never_begun_is_begun_anew(nowhere: Path, size: int) -> None:
    """A file that ends within DuckDB's headers holds nothing and is replaced; a short file of any other kind stays."""
    path = nowhere / "trimtab.duckdb"
    with Store.open(path):
        pass
    headers = path.read_bytes()[:size]
    path.with_name("trimtab.duckdb.wal").unlink(missing_ok=True)
    path.write_bytes(headers)
    with Store.open(path) as store, closing(store.cursor()) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
    other = nowhere / "other.duckdb"
    other.write_text("my notes")
    with pytest.raises(StoreError, match="can't be opened"):
        Store.open(other)
    assert other.read_text() == "my notes"
