"""``trimtab demo`` as a newcomer runs it: the installed entry point, real processes, and what is left afterwards."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trimtab_tuner.demo.processes import Children
from trimtab_tuner.demo.run import TICKETS, Result, Ticket
from trimtab_tuner.demo.show import show

TRIMTAB = Path(sys.executable).with_name("trimtab")
CONSTRUCTOR = "client = OpenAI(max_retries=0, timeout=2.0)"
pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="lists processes through /proc")


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes that work in ``folder`` or were told its name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (line := (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()):
                cwd = os.readlink(entry / "cwd")
                if (str(folder) in line or cwd.startswith(str(folder))) and int(entry.name) != os.getpid():
                    found.append(line)
        except OSError:  # it ended meanwhile, or belongs to someone else
            continue
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration's home, named so that no other process's command line holds it."""
    return tmp_path_factory.mktemp("demo-home").resolve() / "it"


@pytest.fixture(scope="module")
def shown(home: Path) -> tuple[dict[str, Any], float]:
    """What ``trimtab demo --json`` printed, and how long it took in seconds."""
    started = time.monotonic()
    done = subprocess.run([TRIMTAB, "demo", "--json", "--home", home], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), time.monotonic() - started


def screen_of(result: dict[str, Any]) -> str:
    """The text of the demonstration for the result that it gave as JSON."""
    told = {k: v for k, v in result.items() if k != "synthetic"}
    told |= {k: Path(told[k]) for k in ("home", "agent", "html")}
    told["tickets"] = tuple(Ticket(**t) for t in told["tickets"])
    screen = io.StringIO()
    show(Result(**told), Console(file=screen, width=120, highlight=False))
    return screen.getvalue()


def test_the_demo_takes_less_than_a_minute_and_leaves_no_process(
    shown: tuple[dict[str, Any], float], home: Path
) -> None:
    """It ends by itself in time, and neither provider, sidecar nor agent lives on."""
    assert shown[1] < 60
    assert processes_of(home) == []


def test_the_demo_captures_every_request(shown: tuple[dict[str, Any], float]) -> None:
    """The provider's own log and the store count the same requests; the ledger's classes sum to the total."""
    result = shown[0]
    assert result["requests"] == result["attempts"] > 20
    report = result["report"]
    assert report["totals"]["cost_musd"] == sum(line["cost_musd"] for line in report["ledger"]) > 0
    assert result["synthetic"] is True
    assert 0 < report["scripted"] <= result["attempts"]


def test_the_demo_agent_fails_where_it_was_made_to(shown: tuple[dict[str, Any], float]) -> None:
    """Half of the tickets fail, each with the exception that an untraced agent would have shown."""
    failed = {t["text"]: t["said"].partition(":")[0] for t in shown[0]["tickets"] if t["exit_code"]}
    assert failed == {
        TICKETS[2]: "json.decoder.JSONDecodeError",
        TICKETS[3]: "openai.RateLimitError",
        TICKETS[4]: "openai.RateLimitError",
        TICKETS[7]: "openai.APITimeoutError",
    }


@pytest.mark.parametrize(
    ("rule", "knob", "value", "source"),
    [
        ("rate_limit", "max_retries", 0, CONSTRUCTOR),
        ("timeout", "timeout_s", 2.0, CONSTRUCTOR),
        ("truncation", "max_tokens", 120, "client.chat.completions.create("),
    ],
)
def test_the_demo_blames_the_line(
    shown: tuple[dict[str, Any], float], home: Path, rule: str, knob: str, value: object, source: str
) -> None:
    """Each planted setting is found at the line of the agent's file that really holds it."""
    findings = [f for f in shown[0]["report"]["findings"] if f["rule"] == rule]
    assert [(f["knob"], f["value"], f["place"]["file"]) for f in findings] == [(knob, value, "support_desk.py")]
    lines = (home / "demo" / "support_desk.py").read_text().splitlines()
    assert source in lines[findings[0]["place"]["line"] - 1]
    assert source in findings[0]["place"]["source"]


def test_the_demo_finds_the_faulty_tool_and_the_waste(shown: tuple[dict[str, Any], float]) -> None:
    """The tool that never worked, the arguments that were no JSON and the repeated question are findings too."""
    subjects = {f["rule"]: f["subject"] for f in shown[0]["report"]["findings"]}
    assert {"broken_tool", "malformed_tool_args", "repeated_call"} <= set(subjects)
    assert "delivery_status" in subjects["broken_tool"]


def test_the_demo_writes_a_report(shown: tuple[dict[str, Any], float]) -> None:
    """The page is one file that names the constructor's line and loads nothing from anywhere."""
    page = Path(shown[0]["html"]).read_text()
    assert "OpenAI(max_retries=0" in page
    assert 'src="http' not in page


def test_the_demo_says_that_it_is_synthetic(shown: tuple[dict[str, Any], float]) -> None:
    """The text shows total, failures, file:line with the quoted source, and that the provider is a script."""
    told, text = shown[0], screen_of(shown[0])
    line = next(f["place"]["line"] for f in told["report"]["findings"] if f["rule"] == "rate_limit")
    for words in ("Synthetic", f"support_desk.py:{line}", CONSTRUCTOR, "max_retries = 0", "8 runs", "4 failed"):
        assert words in text


def test_the_readme_shows_what_the_demo_prints(shown: tuple[dict[str, Any], float]) -> None:
    """Each line of the README's sample output is one that the demonstration prints."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    sample = readme.partition("<!-- shown: trimtab demo -->\n```text\n")[2].partition("```")[0].splitlines()
    told = screen_of(shown[0]).splitlines()
    assert len(sample) > 4
    assert [line for line in sample if line not in [shown_line.rstrip() for shown_line in told]] == []
    amounts = re.findall(r"\$\d+\.\d+", readme)
    assert [amount for amount in amounts if amount not in " ".join(told)] == []


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "demo/agent-1.log"), (signal.SIGTERM, "demo/provider.log")]
)
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    """Ctrl-C while agents work and SIGTERM while things start end every child; exit code 130, no traceback."""
    home = tmp_path / "interrupted"
    pipe = subprocess.PIPE
    demo = subprocess.Popen([TRIMTAB, "demo", "--home", home], stderr=pipe, stdout=pipe, text=True)
    wait_until((home / moment).exists)
    wait_until(lambda: len(processes_of(home / "demo")) >= 2)
    demo.send_signal(number)
    assert "Traceback" not in "".join(demo.communicate(timeout=120))
    assert demo.returncode == 130
    assert processes_of(home) == []


def test_a_demo_that_fails_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    """A home whose agents' folder can't be used gives one sentence, exit code 1, and nothing runs on."""
    home = tmp_path / "failing"
    (home / "demo" / "requests.jsonl").mkdir(parents=True)
    done = subprocess.run([TRIMTAB, "demo", "--home", home], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the provider" in done.stderr
    assert processes_of(home) == []


def test_the_demo_refuses_a_used_home(tmp_path: Path) -> None:
    """It does not mix its made-up runs into a store that is there already."""
    (tmp_path / "trimtab.duckdb").touch()
    done = subprocess.run([TRIMTAB, "demo", "--home", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "already holds a store" in done.stderr


def test_a_child_that_ignores_being_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM is gone when the block is left through an exception."""
    monkeypatch.setattr("trimtab_tuner.demo.processes.GRACE_S", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    output = tmp_path / "output"
    with suppress(ZeroDivisionError), Children() as children:
        child = children.start([sys.executable, "-c", deaf], cwd=tmp_path, env=dict(os.environ), output=output)
        wait_until(lambda: output.read_text() == "deaf\n")
        _ = 1 / 0
    assert child.returncode == -signal.SIGKILL


def wait_until(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    """Return as soon as ``holds()`` is true; fail after ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
