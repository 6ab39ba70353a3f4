"""``trimtab run``: real commands started without a line of code, compared with the same commands started bare."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import trimtab_tracer

PROGRAMS = Path(__file__).parent / "programs"
TRIMTAB = [sys.executable, "-m", "trimtab", "run"]
INJECTED = Path(trimtab_tracer.__file__).parent / "injected"
SCENARIO: dict[str, Any] = {"rules": [{"text": "Hello."}]}


class Start:
    """Starts commands bare and through ``trimtab run`` against one provider."""

    def __init__(self, flow: Any) -> None:
        self.flow = flow
        self.provider = flow.provider(SCENARIO)
        self.home = flow.home()
        self.env = flow.environment(self.provider.url, self.home, PYTHONPATH=str(PROGRAMS))

    def bare(self, *command: str, cwd: Path = PROGRAMS, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command as it is."""
        return subprocess.run(
            command, cwd=cwd, env=self.env | env, input="typed", capture_output=True, text=True, timeout=60, check=False
        )

    def run(self, *command: str, cwd: Path = PROGRAMS, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command through ``trimtab run``."""
        return self.bare(*TRIMTAB, "--", *command, cwd=cwd, **env)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the store says after everything was collected."""
        rows: list[dict[str, Any]] = self.flow.records(self.home).rows(sql)
        return rows


@pytest.fixture
def start(flow: Any) -> Start:
    """A provider, a home, and the means to start."""
    return Start(flow)


CALLS = (
    "SELECT file, function, service, is_child FROM calls JOIN sites USING (site_id) JOIN processes USING (process_id)"
)


@pytest.mark.parametrize("how", [["-u", "asks.py"], ["-m", "asks"]], ids=" ".join)
def test_the_command_is_what_it_was(start: Start, how: list[str]) -> None:
    """Output, input, arguments, search path and exit code are those of the bare run; call and line are known."""
    command = [sys.executable, *how, "one", "--two"]
    bare, traced = start.bare(*command), start.run(*command)
    assert (3, bare.stdout, "") == (traced.returncode, traced.stdout, traced.stderr)
    assert bare.returncode == 3
    (call,) = start.rows(CALLS)
    assert ("ask", "asks", False) == (call["function"], call["service"], call["is_child"])
    assert call["file"].endswith("asks.py")


def test_no_process_of_ours_stays(start: Start) -> None:
    """The command runs in the process that was started, and a signal that kills it kills nothing else."""
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [*TRIMTAB, "--", sys.executable, "-c", code], env=start.env, cwd=PROGRAMS, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.pid == int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert -signal.SIGTERM == process.wait(30)


def test_the_next_sitecustomize_still_runs(start: Start, tmp_path: Path) -> None:
    """One that ours stands in front of runs as in the bare command, also when it fails."""
    for text in ("print('theirs', __file__)", "raise OSError('theirs')"):
        lines = [
            "import sys",
            "if sys.argv[:1] == ['-c']:  # not in our own command, which is a Python too",
            f"    {text}",
        ]
        (tmp_path / "sitecustomize.py").write_text("\n".join(lines))
        command = [sys.executable, "-c", "import sitecustomize; print(sitecustomize.__name__)"]
        bare = start.bare(*command, PYTHONPATH=str(tmp_path))
        traced = start.run(*command, PYTHONPATH=str(tmp_path))
        assert (bare.stdout, bare.stderr, bare.returncode) == (traced.stdout, traced.stderr, traced.returncode)


@pytest.fixture
def other(tmp_path: Path) -> tuple[Path, str]:
    """The Python of an environment without trimtab, and a folder with httpx for it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    packages = tmp_path / "site-packages"
    packages.mkdir()
    for name in ("httpx", "httpcore", "h11", "anyio", "certifi", "idna", "sniffio", "typing_extensions"):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            source = Path(spec.origin)
            source = source.parent if source.name == "__init__.py" else source
            (packages / source.name).symlink_to(source)
    return tmp_path / "other" / "bin" / "python", str(packages)


def test_a_python_without_trimtab_is_traced(start: Start, other: tuple[Path, str]) -> None:
    """The tracer comes along by its path, and brings nothing else of its environment."""
    python, packages = other
    code = "import asks, importlib.util as u; asks.ask(); print([u.find_spec(n) for n in ('pytest', 'opentelemetry')])"
    done = start.run(str(python), "-c", code, PYTHONPATH=f"{packages}{os.pathsep}{PROGRAMS}")
    assert (done.stdout, done.stderr) == ("[None, None]\n", "")
    assert ["ask"] == [row["function"] for row in start.rows(CALLS)]


def test_where_the_tracer_can_not_be_had_it_says_so_once(start: Start, other: tuple[Path, str], tmp_path: Path) -> None:
    """The first Python names itself and why; the program and its own children run as they would."""
    shutil.copytree(INJECTED, tmp_path / "alone" / "injected")
    code = "import subprocess, sys; print('ran', flush=True); subprocess.run([sys.executable, '-c', 'print(1)'])"
    env = {"PYTHONPATH": str(tmp_path / "alone" / "injected")}
    done = start.bare(str(other[0]), "-c", code, **env)
    assert done.stdout == "ran\n1\n"
    assert 1 == done.stderr.count("runs untraced")
    assert str(other[0]) in done.stderr


def test_spawned_processes_are_traced_as_children(start: Start) -> None:
    """Each process that calls a model is there, children marked and under the same name; helpers leave nothing."""
    done = start.run(sys.executable, "spawns.py")
    assert (done.returncode, done.stderr) == (0, "")
    rows = start.rows(CALLS)
    assert [False, True, True] == sorted(row["is_child"] for row in rows)
    assert {"spawns"} == {row["service"] for row in rows}
    assert 3 == len(start.rows("SELECT * FROM runs"))


def test_what_the_agent_says_itself_wins(start: Start) -> None:
    """An agent that also instruments itself is traced once, with the settings it names first."""
    assert start.run(sys.executable, "says_itself.py").stderr == ""
    assert ["own-name"] == [row["service"] for row in start.rows(CALLS)]
    assert ["off"] == [row["content_mode"] for row in start.rows("SELECT content_mode FROM processes")]
    assert 1 == len(start.rows("SELECT * FROM runs"))


def test_shells_pass_it_on(start: Start, tmp_path: Path) -> None:
    """A Python that a shell starts in another folder is traced, into the home of where it was typed."""
    env = {"TRIMTAB_HOME": ""}
    done = start.run("sh", "-c", f"cd /; {sys.executable} -m asks; echo $?", cwd=tmp_path, **env)
    assert done.stdout.endswith("\n3\n")
    start.home = tmp_path / ".trimtab"
    assert ["ask"] == [row["function"] for row in start.rows(CALLS)]


def test_a_script_and_its_shebang(start: Start, tmp_path: Path) -> None:
    """A script that names its interpreter is traced; the few lines of a console script are nobody's site."""
    script = tmp_path / "my-agent"
    script.write_text(f"#!{sys.executable} -u\nimport sys\nfrom asks import ask\nsys.exit(ask())\n")
    script.chmod(0o755)
    assert (start.run(str(script)).stderr, start.run("./my-agent", cwd=tmp_path).returncode) == ("", 0)
    assert [("ask", "my-agent")] * 2 == [(row["function"], row["service"]) for row in start.rows(CALLS)]


def test_a_program_that_is_no_python_never_notices(start: Start, tmp_path: Path) -> None:
    """Another program's output is the bare one, and no home appears."""
    done = start.run("sh", "-c", "cat; exit 5", cwd=tmp_path, TRIMTAB_HOME="")
    assert (done.returncode, done.stdout, done.stderr) == (5, "typed", "")
    assert [] == list(tmp_path.iterdir())


def test_disabled_is_stronger(start: Start) -> None:
    """Under ``TRIMTAB_DISABLED=1`` not even the environment is touched."""
    show = [sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ), sort_keys=True))"]
    assert start.bare(*show, TRIMTAB_DISABLED="1").stdout == start.run(*show, TRIMTAB_DISABLED="1").stdout


def test_an_isolated_python_runs_untraced_and_is_named(start: Start) -> None:
    """Python options that keep everything out keep us out too; one line says so, and nothing else changes."""
    done = start.run(sys.executable, "-uI", "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "trimtab: Python's option -I ignores PYTHONPATH; it runs untraced.\n" == done.stderr


def test_broken_settings_do_not_stop_the_command(start: Start, tmp_path: Path) -> None:
    """A settings file with a mistake costs the recording, and is named; the agent runs."""
    (tmp_path / "trimtab.toml").write_text("prot = 1\n")
    done = start.run(sys.executable, "-c", "print('ran')", TRIMTAB_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "no setting 'prot'. Did you mean 'port'?" in done.stderr


def test_a_console_script_of_the_environment(start: Start) -> None:
    """A command that an installer wrote is traced like any other."""
    script = Path(sysconfig.get_path("scripts")) / "pytest"
    done = start.run(str(script), "-p", "no:cacheprovider", "--version", cwd=start.home)
    assert done.returncode == 0
    assert ["pytest"] == [row["service"] for row in start.rows("SELECT service FROM processes")]


def test_beside_the_launcher_of_opentelemetry(start: Start) -> None:
    """Put outside of ours, another launcher that works by ``sitecustomize`` sees the agent as well as we do."""
    launcher = Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"
    code = "import asks, sys; asks.ask(); print('opentelemetry.instrumentation.auto_instrumentation' in sys.modules)"
    quiet = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    done = start.bare(str(launcher), *TRIMTAB, "--", sys.executable, "-c", code, **quiet)
    assert done.stdout == "True\n", done.stderr
    assert ["ask"] == [row["function"] for row in start.rows(CALLS)]
