"""``trimtab recs``: what is recommended, and the decision about it, with a running sidecar and without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.policy import parse
from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tuner import client
from trimtab_tuner.sidecar import Sidecar

Json = dict[str, Any]
Refused = Callable[..., list[Record]]
Run = Callable[..., str]


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``trimtab recs …`` on the home in this process; its output."""

    def recs(*arguments: str) -> str:
        assert 0 == main(["recs", *arguments, "--home", str(settings.home)])
        return capsys.readouterr().out

    return recs


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, refused_runs: Refused) -> Path:
    """A home in which two agents were turned away, analysed by a sidecar that has stopped."""
    settings = Settings(home=tmp_path_factory.mktemp("recs") / "home", port=0, analyze_interval_s=3600)
    with Sidecar(settings):
        found = client.connect(settings)
        assert found is not None
        found.post_records([*refused_runs(0), *refused_runs(1)])
    return settings.home


@pytest.fixture
def analysed(settings: Settings, prepared: Path) -> Settings:
    """A copy of that home for one test."""
    shutil.copytree(prepared, settings.home)
    return settings


def rows(run: Run, *arguments: str) -> list[Json]:
    """The recommendations as JSON."""
    found: list[Json] = json.loads(run("list", "--json", *arguments))
    return found


def test_they_are_listed_and_explained(analysed: Settings, run: Run) -> None:
    """The list has id, state, change and line of each; ``show`` adds why, evidence, risk and what may be done."""
    text = run()
    found = rows(run)
    assert 2 == len(found)
    for row in found:
        assert row["recommendation_id"] in text
        assert f"max_retries 0 → 3  {row['file']}:3" in text
    assert 2 == text.count("proposed") == text.count("expected: success")
    row = found[0]
    shown = run("show", row["recommendation_id"])
    for part in (row["title"], row["why"], row["risk"], "basis: association", f"site {row['site_id']}"):
        assert part in shown
    assert f"→ trimtab recs accept {row['recommendation_id']}" in shown
    assert row == json.loads(run("show", row["recommendation_id"], "--json"))


def test_nothing_to_recommend_is_said(settings: Settings, run: Run) -> None:
    """A home without recommendations gets a sentence, and as JSON an empty list."""
    with Sidecar(settings):
        assert "Nothing is recommended so far" in run()
        assert "No recommendation is rolled back." in run("list", "--status", "rolled_back")
        assert [] == rows(run)


def test_decisions_without_a_sidecar(analysed: Settings, run: Run) -> None:
    """On the home itself one is accepted, obeyed from the file, rolled back; another is rejected; it is all audited."""
    first, second = (row["recommendation_id"] for row in rows(run))
    said = run("accept", first, "--why", "calls are lost")
    assert "Accepted: max_retries 0 → 3 at shop" in said
    assert "they obey it for 60 min" in said
    assert f"To undo it: trimtab recs rollback {first}" in said
    policy = parse(analysed.policy_path.read_bytes(), 2**62)
    assert [("max_retries", 3)] == [(rule.knob, rule.arms[0].value) for rule in policy.rules]
    assert "decided: " in run("show", first)
    assert "calls are lost" in run("show", first)
    assert "Rejected" in run("reject", second)
    assert "Taken back: max_retries 0 → 3 at shop" in run("rollback", first)
    assert () == parse(analysed.policy_path.read_bytes(), 2**62).rules
    assert {first: "rolled_back", second: "rejected"} == {r["recommendation_id"]: r["status"] for r in rows(run)}
    with Sidecar(analysed):
        api = client.connect(analysed)
        assert api is not None
        entries = [entry for entry in api.pages("/v1/audit") if entry["via"] == "cli"]
    assert ["roll_back", "reject", "accept"] == [entry["action"] for entry in entries]
    assert {client.user_name()} == {entry["actor"] for entry in entries}


def test_another_value_is_published_and_printed(analysed: Settings, run: Run) -> None:
    """``--value`` sets that value, JSON or a bare word; null is a value too, and no knob takes it."""
    first = rows(run)[0]["recommendation_id"]
    with pytest.raises(client.Declined, match=r"null, expected"):
        _direct("recs", "accept", first, "--value", "null", "--home", str(analysed.home))
    said = "max_retries 0 → 1 (3 was recommended)"
    assert f"{said} at" in run("accept", first, "--value", "1")
    assert said in run()
    assert [1] == [rule.arms[0].value for rule in parse(analysed.policy_path.read_bytes(), 2**62).rules]
    assert f"{said} at" in run("rollback", first)
    assert said in run("show", first)


def _direct(*arguments: str) -> None:
    """Run a command without the net that turns errors into sentences."""
    os.environ["TRIMTAB_DEBUG"] = "1"
    try:
        main(list(arguments))
    finally:
        del os.environ["TRIMTAB_DEBUG"]


def test_a_decision_that_was_taken_already_is_one_sentence(
    analysed: Settings, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who comes second is told who was first and when; nothing is printed as done and the exit code is 1."""
    first = rows(run)[0]["recommendation_id"]
    run("reject", first)
    with Sidecar(analysed):
        assert 1 == main(["recs", "accept", first, "--home", str(analysed.home)])
    said = capsys.readouterr()
    assert ("", 1) == (said.out, said.err.count("\n"))
    assert f"{client.user_name()} rejected this recommendation at " in said.err


@pytest.mark.parametrize("is_served", [True, False])
def test_as_a_user_types_it(analysed: Settings, run: Run, is_served: bool) -> None:
    """Through the installed command, with a sidecar and without: accept, a misspelt id, a home that is none."""
    first = rows(run)[0]["recommendation_id"]

    def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "trimtab", "recs", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def decide() -> None:
        done = typed("accept", first, "--home", str(analysed.home), "--json")
        assert (0, "") == (done.returncode, done.stderr)
        assert ("accepted", "cli") == tuple(json.loads(done.stdout)[key] for key in ("status", "decided_via"))
        missing = typed("reject", "nope", "--home", str(analysed.home))
        assert (1, "", 1) == (missing.returncode, missing.stdout, missing.stderr.count("\n"))
        assert "There is no recommendation 'nope'; `trimtab recs` lists" in missing.stderr

    if is_served:
        with Sidecar(analysed):
            decide()
    else:
        decide()
        nowhere = typed("--home", str(analysed.home / "none"))
        assert (1, "") == (nowhere.returncode, nowhere.stdout)
        assert "holds no recording" in nowhere.stderr
        assert not (analysed.home / "none").exists()
