"""``trimtab doctor``: the table of packages, the checks of the installation, and what the command makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab.doctor import checks, known
from trimtab.doctor.environment import Environment, normal, programs, rows
from trimtab.doctor.known import BESIDE, HAZARD, PARTLY, SEEN, TABLE, UNSEEN
from trimtab_tracer import __version__
from trimtab_tracer.settings import TABLE as SETTINGS

pytestmark = pytest.mark.usefixtures("nowhere")


def verdicts(**packages: str) -> dict[str, str]:
    """Verdict by package for an environment that holds these."""
    names = {normal(name): version for name, version in packages.items()}
    return {row.package: row.verdict for row in rows(Environment("python", (3, 11, 0), names))}


def test_verdicts_follow_the_versions() -> None:
    """A package is judged by its version and by what stands beside it; unknown ones are left out."""
    assert {"openai": SEEN, "httpx2": SEEN} == verdicts(openai="3.57.0", httpx2="2.1")
    assert {"openai": HAZARD} == {k: v for k, v in verdicts(openai="3.57.0", httpx="0.28").items() if k == "openai"}
    assert {"openai": UNSEEN} == verdicts(openai="0.28.1")
    assert {"huggingface-hub": UNSEEN} == verdicts(huggingface_hub="0.36")
    assert {"langchain-google-genai": UNSEEN} == verdicts(langchain_google_genai="3.2.0rc1")
    assert {"langchain-google-genai": SEEN} == verdicts(langchain_google_genai="4.0.0")
    assert {"voyageai": PARTLY, "openinference-instrumentation-crewai": BESIDE} == verdicts(
        voyageai="1", openinference_instrumentation_crewai="0.1", left_pad="1.0"
    )
    old = {"opentelemetry-instrumentation-httpx": "0.64b0"}
    assert {"opentelemetry-instrumentation-httpx": HAZARD, "httpx2": SEEN} == verdicts(**old, httpx2="2.1")
    assert {} == verdicts(**old)


def test_the_table_is_sound() -> None:
    """Names are normalised, what is not seen has an advice, and no row hides behind an earlier one of its package."""
    for place, row in enumerate(TABLE):
        assert row.package == "*".join(map(normal, row.package.split("*"))), row
        assert row.advice or row.verdict == SEEN, row
        assert not row.advice.endswith("."), row
        earlier = [each for each in TABLE[:place] if each.package == row.package]
        assert all(each.since or each.before for each in earlier), row
    assert len({(row.package, row.since, row.before) for row in TABLE}) == len(TABLE)


def test_programs_on_the_path(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is a program of its own is named where it is installed."""
    (nowhere / "codex").write_text("#!/bin/sh\n")
    (nowhere / "codex").chmod(0o755)
    monkeypatch.setenv("PATH", str(nowhere))
    assert [("codex", UNSEEN)] == [(row.package, row.verdict) for row in programs()]


def states(home: Path | None = None, **environ: str) -> dict[str, tuple[str, str]]:
    """State and text by check."""
    found = checks.run_checks(environ, str(home) if home else None)
    return {check.name: (check.state, check.text) for check in found}


def test_a_fresh_folder_is_fine(nowhere: Path) -> None:
    """Without a home, a sidecar or a policy nothing is wrong, and nothing is made."""
    found = states()
    assert {"ok", "note"} == {state for state, _ in found.values()}
    assert f"{nowhere}/.trimtab: will be made." == found["home"][1]
    assert [] == list(nowhere.iterdir())


def test_misspelt_variables_are_named() -> None:
    """A variable of ours that means nothing is a problem, with its neighbour; those that mean something are not."""
    real = {row.env: "1" for row in SETTINGS if row.env} | dict.fromkeys(checks.OTHER_VARIABLES, "1")
    assert "variables" not in states(**real)
    state, text = states(TRIMTAB_CONTNT="off", HOME="/")["variables"]
    assert state == "problem"
    assert text.startswith("TRIMTAB_CONTNT means nothing to trimtab. Did you mean 'TRIMTAB_CONTENT'")


def test_unusable_settings_are_a_problem(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings' own sentence is shown; a disabled tracer is worth a note."""
    monkeypatch.setenv("TRIMTAB_PORT", "x")
    assert "problem" == states()["settings"][0]
    monkeypatch.delenv("TRIMTAB_PORT")
    monkeypatch.setenv("TRIMTAB_DISABLED", "1")
    assert "note" == states()["settings"][0]


def test_a_home_that_can_not_be(nowhere: Path) -> None:
    """A file in the home's place is a problem; a home in memory is worth a note."""
    (nowhere / "file").write_text("")
    assert ("problem", f"{nowhere}/file is a file; move it, or set TRIMTAB_HOME to another place.") == states(
        nowhere / "file" / "home"
    )["home"]
    (nowhere / "home").mkdir()
    assert "ok" == states(nowhere / "home")["home"][0]
    assert [] == list((nowhere / "home").iterdir())


def test_spool_and_clock(nowhere: Path) -> None:
    """A spool that nears its bound and a file from the future are problems."""
    spool = nowhere / ".trimtab" / "spool"
    spool.mkdir(parents=True)
    segment = spool / f"{'0' * 32}-000001.seg"
    segment.write_bytes(b"x" * 60_000)
    (nowhere / ".trimtab" / "trimtab.toml").write_text("spool_max_bytes = 65536\n")
    found = states()
    assert "problem" == found["spool"][0]
    assert "start `trimtab up`" in found["spool"][1]
    assert "ok" == found["clock"][0]
    later = time.time() + 9000
    os.utime(segment, (later, later))
    assert "problem" == states()["clock"][0]


def test_the_sidecar(nowhere: Path) -> None:
    """A killed one is a note; one of another version, one that does not answer and a broken note are problems."""
    home = nowhere / ".trimtab"
    home.mkdir()
    note = {"pid": 2**22 + 1, "url": "http://127.0.0.1:1", "version": __version__}
    for change, state in (
        ({}, "note"),
        ({"pid": os.getpid(), "version": "9"}, "problem"),
        ({"pid": os.getpid()}, "problem"),
    ):
        (home / "sidecar.json").write_text(json.dumps(note | change))
        assert state == states()["sidecar"][0], change
    (home / "sidecar.json").write_text("{")
    assert "problem" == states()["sidecar"][0]


def test_the_policy(nowhere: Path) -> None:
    """What is in force is named; frozen and outlived ones are notes, a broken one is a problem."""
    home = nowhere / ".trimtab"
    home.mkdir()
    document: dict[str, Any] = {
        "schema": 1, "version": 7, "issued_ns": time.time_ns(), "lifetime_s": 60, "frozen": False, "rules": [],
    }  # fmt: skip
    for change, state in (
        ({}, "ok"),
        ({"frozen": True}, "note"),
        ({"issued_ns": 1}, "note"),
        ({"rules": 1}, "problem"),
    ):
        (home / "policy.json").write_text(json.dumps(document | change))
        assert state == states()["policy"][0], change
    assert "not obeyed" in states()["policy"][1]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A virtual environment that holds two packages by name only."""
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name, version in (("cohere", "7.3.0"), ("openai", "2.54.0")):
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def test_another_environment(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Packages are those of the interpreter that was named; something not seen gives exit code 1, as text and JSON."""
    assert 1 == main(["doctor", "--python", str(other), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [("openai", "2.54.0", SEEN), ("cohere", "7.3.0", UNSEEN)] == [
        (row["package"], row["version"], row["verdict"]) for row in told["packages"] if row["kind"] != "program"
    ]
    assert (1, None) == (told["exit_code"], told["selftest"])
    assert 1 == main(["doctor", "--python", str(other / "bin" / "python")])
    out = capsys.readouterr().out
    assert "  not seen  cohere 7.3.0   httpx; its own wire format is not read;" in out
    assert out.endswith("To do: not seen: cohere.\n")


def test_where_all_is_seen_the_exit_code_is_0(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Transports that no agent need use, and notes, do not count."""
    (cohere,) = other.glob("lib/python*/site-packages/cohere-*")
    cohere.rename(cohere.with_name("requests-2.34.2.dist-info"))
    (cohere.with_name("requests-2.34.2.dist-info") / "METADATA").write_text("Name: requests\nVersion: 2.34.2\n")
    assert 0 == main(["doctor", "--python", str(other)])
    out = capsys.readouterr().out
    assert "not seen  requests 2.34.2" in out
    assert out.endswith("Everything here that is known to call models is seen.\n")


@pytest.mark.parametrize(("python", "code"), [("no-such-python", 2), (".", 2), ("false", 1)])
def test_an_interpreter_that_can_not_be_asked(python: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no interpreter is named in one sentence."""
    assert code == main(["doctor", "--python", python])
    assert capsys.readouterr().err.startswith("trimtab: ")


def test_versions_are_read_by_their_numbers() -> None:
    """Whatever follows the numbers does not count."""
    assert [(0, 65), (3,), ()] == [known.version_of(text) for text in ("0.65b0", "3", "main")]
