"""``trimtab demo`` as a newcomer runs it: the installed entry point, real processes, and what is left afterwards."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console

from trimtab_tuner.demo.moments import TURNS, with_moments
from trimtab_tuner.demo.processes import Children
from trimtab_tuner.demo.run import Day, Result
from trimtab_tuner.demo.show import show
from trimtab_tuner.demo.tickets import TICKETS, Ticket

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


class Shown(NamedTuple):
    """What a demonstration that was kept did."""

    told: dict[str, Any]
    """What it printed."""
    served: tuple[int, bool]
    """Status and content of its dashboard's page while it was kept."""
    returncode: int


@pytest.fixture(scope="module")
def kept(home: Path) -> Shown:
    """``trimtab demo --keep --json``: its page was looked at, then came Ctrl-C."""
    command = [TRIMTAB, "demo", "--keep", "--json", "--home", home]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        lines = []
        for line in demo.stdout or ():
            lines.append(line)
            if line == "}\n":  # it goes on until Ctrl-C
                break
        assert lines, demo.communicate()[1]
        told = json.loads("".join(lines))
        with urllib.request.urlopen(told["dashboard"], timeout=30) as page:
            served = (page.status, "Signed in" in page.read().decode())
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    return Shown(told, served, demo.returncode)


@pytest.fixture(scope="module")
def shown(kept: Shown) -> dict[str, Any]:
    """What ``trimtab demo --json`` printed."""
    return kept.told


def screen_of(result: dict[str, Any]) -> str:
    """The text of the demonstration for the result that it gave as JSON."""
    told = {k: v for k, v in result.items() if k != "synthetic"}
    told |= {k: Path(told[k]) for k in ("home", "agent", "html")}
    for day in ("before", "after"):
        told[day] = Day(**told[day] | {"tickets": tuple(Ticket(**t) for t in told[day]["tickets"])})
    screen = io.StringIO()
    show(Result(**told), Console(file=screen, width=120, highlight=False))
    return screen.getvalue()


def test_the_demo_leaves_no_process(shown: dict[str, Any], home: Path) -> None:
    """It ends by itself, and neither provider, sidecar, dashboard nor agent lives on."""
    assert shown["synthetic"] is True
    assert processes_of(home) == []


def test_the_demo_captures_every_request(shown: dict[str, Any]) -> None:
    """The provider's own logs and the store count the same requests; the ledger's classes sum to the total."""
    assert shown["before"]["requests"] + shown["after"]["requests"] == shown["attempts"] > 40
    report = shown["report"]
    assert report["totals"]["cost_musd"] == sum(line["cost_musd"] for line in report["ledger"]) > 0
    assert 0 < report["scripted"] <= shown["before"]["requests"]


def failures(day: dict[str, Any]) -> dict[str, str]:
    """Tickets that failed, with the exception that their agent showed."""
    return {t["text"]: t["said"].partition(":")[0] for t in day["tickets"] if t["exit_code"]}


def test_the_demo_agent_fails_where_it_was_made_to(shown: dict[str, Any]) -> None:
    """Before the change half of the tickets fail, each with the exception that an untraced agent would have shown."""
    assert failures(shown["before"]) == {
        TICKETS[0]: "openai.RateLimitError",
        TICKETS[2]: "json.decoder.JSONDecodeError",
        TICKETS[3]: "openai.RateLimitError",
        TICKETS[7]: "openai.APITimeoutError",
    }


def test_what_was_accepted_heals_what_it_is_about_and_nothing_else(shown: dict[str, Any]) -> None:
    """With other seeds, and as many bad moments, only the answer that is cut by its token limit fails afterwards."""
    assert failures(shown["after"]) == {TICKETS[2]: "json.decoder.JSONDecodeError"}
    accepted = shown["recommendation"]
    assert ("max_retries", 0, "active") == (accepted["knob"], accepted["from_value"], accepted["status"])
    assert shown["before"]["seed"] != shown["after"]["seed"]


def test_before_and_after_come_from_the_store(shown: dict[str, Any]) -> None:
    """Runs, failures and requests of both sides are those that the processes and the provider's logs tell."""
    for name in ("before", "after"):
        side, day = shown["comparison"][name], shown[name]
        assert (len(TICKETS), len(failures(day))) == (side["runs"], side["failed_runs"])
        assert day["requests"] == round(side["attempts_per_call"] * side["calls"])
    assert shown["comparison"]["after"]["lost_calls"] == 0
    assert "not an effect" in shown["comparison"]["kind"]


def test_bad_moments_are_drawn_for_different_tickets_and_strike_once() -> None:
    """Each seed turns two tickets away and lets a third hang, once each, at a turn that the ticket has."""
    draws = [with_moments({"rules": []}, seed)["rules"] for seed in range(50)]
    for rules in draws:
        assert 3 == len({rule["contains"] for rule in rules})
        assert [1, 1, 1] == [rule.get("times", rule.get("fault", {}).get("times")) for rule in rules]
        assert all(rule["step"] < TURNS[rule["contains"]] for rule in rules)
    assert len({json.dumps(rules) for rules in draws}) > 40


@pytest.mark.parametrize(
    ("rule", "knob", "value", "source"),
    [
        ("rate_limit", "max_retries", 0, CONSTRUCTOR),
        ("timeout", "timeout_s", 2.0, CONSTRUCTOR),
        ("truncation", "max_tokens", 120, "client.chat.completions.create("),
    ],
)
def test_the_demo_blames_the_line(
    shown: dict[str, Any], home: Path, rule: str, knob: str, value: object, source: str
) -> None:
    """Each planted setting is found at the line of the agent's file that really holds it."""
    findings = [f for f in shown["report"]["findings"] if f["rule"] == rule]
    assert [(f["knob"], f["value"], f["place"]["file"]) for f in findings] == [(knob, value, "support_desk.py")]
    lines = (home / "demo" / "support_desk.py").read_text().splitlines()
    assert source in lines[findings[0]["place"]["line"] - 1]
    assert source in findings[0]["place"]["source"]


def test_the_demo_finds_the_faulty_tool_and_the_waste(shown: dict[str, Any]) -> None:
    """The tool that never worked, the arguments that were no JSON and the repeated question are findings too."""
    subjects = {f["rule"]: f["subject"] for f in shown["report"]["findings"]}
    assert {"broken_tool", "malformed_tool_args", "repeated_call"} <= set(subjects)
    assert "delivery_status" in subjects["broken_tool"]


def test_the_demo_writes_a_report(shown: dict[str, Any]) -> None:
    """The page is one file that names the constructor's line and loads nothing from anywhere."""
    page = Path(shown["html"]).read_text()
    assert "OpenAI(max_retries=0" in page
    assert 'src="http' not in page


def test_the_demo_says_that_it_is_synthetic(shown: dict[str, Any]) -> None:
    """The text shows total, failures, file:line with the quoted source, and that the provider is a script."""
    told, text = shown, screen_of(shown)
    line = next(f["place"]["line"] for f in told["report"]["findings"] if f["rule"] == "rate_limit")
    for words in ("Synthetic", f"support_desk.py:{line}", CONSTRUCTOR, "max_retries = 0", "8 runs", "4 failed"):
        assert words in text


def test_the_readme_shows_what_the_demo_prints(shown: dict[str, Any]) -> None:
    """Each line of the README's samples, and each amount in it, is one that the demonstration prints."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    blocks = re.findall(r"^ *<!-- shown: trimtab demo -->\n *```text\n(.*?)^ *```$", readme, re.MULTILINE | re.DOTALL)
    sample = [line for block in blocks for line in textwrap.dedent(block).splitlines()]
    told = screen_of(shown)
    printed = {line.strip() for line in told.splitlines()}
    assert 2 == len(blocks)
    assert [] == [line for line in sample if line.strip() not in printed]
    assert [] == [amount for amount in re.findall(r"\$\d+\.\d+", readme) if amount not in told]


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "demo/agent-1-1.log"), (signal.SIGTERM, "demo/provider-56.log")]
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


def test_a_kept_demo_serves_its_dashboard_until_ctrl_c(kept: Shown) -> None:
    """With --keep the link that it prints opens the dashboard; Ctrl-C ends everything, with exit code 0."""
    assert ((200, True), 0) == (kept.served, kept.returncode)


def test_a_demo_that_fails_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    """A home whose agents' folder can't be used gives one sentence, exit code 1, and nothing runs on."""
    home = tmp_path / "failing"
    (home / "demo" / "requests-56.jsonl").mkdir(parents=True)
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
