"""``trimtab policy``: what agents are told, and rules put by hand, with a running sidecar and without one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.policy import parse, to_document
from trimtab_tracer.records import Decision, Site
from trimtab_tracer.settings import Settings
from trimtab_tuner import client
from trimtab_tuner.sidecar import Sidecar

Run = Callable[..., str]


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``trimtab policy …`` on the home in this process; its output."""

    def policy(*arguments: str) -> str:
        assert 0 == main(["policy", *arguments, "--home", str(settings.home)])
        return capsys.readouterr().out

    return policy


@pytest.fixture(params=[True, False], ids=["sidecar", "no sidecar"])
def home(request: pytest.FixtureRequest, settings: Settings) -> Any:
    """A home that a sidecar serves, or has served."""
    sidecar = Sidecar(settings)
    with sidecar:
        if request.param:
            yield settings
    if not request.param:
        yield settings


def published(path: Path) -> list[tuple[str, Any, str | None]]:
    """Rules in the file: knob, value, site."""
    rules = parse(path.read_bytes(), 2**62).rules
    return [(rule.knob, rule.arms[0].value, rule.match.site) for rule in rules]


def test_rules_by_hand(home: Settings, run: Run) -> None:
    """A rule is added, shown, replaced, taken back with the policy and removed; the file says the same each time."""
    said = run("rule", "add", "max_retries", "2", "--site", "ab12", "--why", "try it")
    rule_id = re.search(r"Rule (\S+) is in the policy\.\nAgents obey policy version 2 within 2 s\.\n", said)
    assert rule_id is not None, said
    assert [("max_retries", 2, "ab12")] == published(home.policy_path)
    shown = run()
    assert re.search(rf"{rule_id[1]} +max_retries +2 +site ab12 +human", shown)
    run("rule", "add", "model", "gpt-5")
    assert ("model", "gpt-5", None) in published(home.policy_path)
    run("rollback")
    assert [("max_retries", 2, "ab12")] == published(home.policy_path)
    assert "is out of the policy" in run("rule", "remove", rule_id[1])
    assert [] == published(home.policy_path)
    assert "It has no rules" in run("show")
    run("rollback", "3")
    assert 2 == len(published(home.policy_path))
    versions = json.loads(run("versions", "--json"))
    assert [2, 0, 1, 2, 1, 0] == [row["rules"] for row in versions]
    assert "rolled back to version 3" in run("versions")


def test_a_knob_that_nobody_reads_is_told(settings: Settings, run: Run) -> None:
    """A misspelt knob, one that is only observed and a value that the code does not offer each get a sentence."""
    declared = Site("plan", "shop.py", "main", 9, 9, 'trimtab.knob("depth", 3, choices=[3, 5])')
    decisions = [
        Decision("d1", "r", "depth", 3, "default", "plan", 5, site_role="knob", choices=(3, 5)),
        Decision("d2", "r", "stop", "x", "code", "plan", 5),
    ]
    with Sidecar(settings):
        api = client.connect(settings)
        assert api is not None
        api.post_records([declared, *decisions])
        idle = "No agent obeys this so far:"
        assert idle not in run("rule", "add", "timeout_s", "9")
        assert idle not in run("rule", "add", "depth", "5")
        assert f"{idle} 4 is none of the choices that the code gives depth: 3, 5." in run("rule", "add", "depth", "4")
        assert f"{idle} trimtab only observes a knob stop" in run("rule", "add", "stop", "1")
        assert f"{idle} trimtab has never seen a knob timeout; it sets model" in run("rule", "add", "timeout", "9")


def test_json_is_the_document_or_the_state(home: Settings, run: Run) -> None:
    """``--json`` prints the published document for reads and the policy afterwards for decisions."""
    state = json.loads(
        run("rule", "add", "backoff", '{"initial_s": 1, "factor": 2, "max_s": 9, "jitter": 0}', "--json")
    )
    assert (2, 1, False) == (state["policy_version"], state["rules"], state["frozen"])
    assert state["document"]["rules"] == json.loads(run("--json"))["rules"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("rule", "add", "max_retries", "99"), 1, "expected a whole number"),
        (("rule", "add", "model", "http://evil"), 1, "nothing was changed"),
        (("rule", "remove", "nope"), 1, 'There is no rule "nope"'),
        (("rollback", "77"), 1, "There is no policy version 77"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """A refusal is one line on stderr and the exit code of a failure, and the policy stays as it was."""
    with Sidecar(settings):
        before = json.loads(settings.policy_path.read_bytes())["version"]
        assert code == main(["policy", *arguments, "--home", str(settings.home)])
    said = capsys.readouterr()
    assert ("", 1) == (said.out, said.err.count("\n"))
    assert sentence in said.err
    assert before == json.loads(settings.policy_path.read_bytes())["version"]


def test_no_json_is_wrong_usage(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that begins like JSON and is none is told before anyone is asked."""
    with pytest.raises(SystemExit) as left:
        main(["policy", "rule", "add", "backoff", "{initial_s: 1}", "--home", str(settings.home)])
    assert 2 == left.value.code
    assert "is no JSON" in capsys.readouterr().err


def test_without_a_sidecar_it_says_how_long_it_holds(settings: Settings, run: Run) -> None:
    """The file's own lifetime is told: until when, since when no longer, or that there is none that can be read."""
    with Sidecar(settings):
        assert "as long as the sidecar runs" in run()
    assert "No sidecar runs, so agents obey it until" in run()
    old = parse(settings.policy_path.read_bytes(), 2**62)
    settings.policy_path.write_text(json.dumps(to_document(replace(old, issued_ns=10**18))))
    assert "so agents obeyed it until 2001-09-09" in run()
    settings.policy_path.write_text("{")
    assert "agents do what their code says" in run()
    assert "{" == settings.policy_path.read_text()  # a look changes nothing


def test_rules_for_some_runs_and_for_what_they_came_to(home: Settings, run: Run) -> None:
    """A name, attributes and conditions go into the file as agents read them, and are shown."""
    run("rule", "add", "model", "gpt-5", "--name", "triage", "--context", "tier=gold", "--context", "team=a=b",
        "--when", "previous_failed=true", "--when", "min_step=3")  # fmt: skip
    (rule,) = json.loads(home.policy_path.read_bytes())["rules"]
    assert rule["match"] == {"name": "triage", "context": {"tier": "gold", "team": "a=b"}}
    assert rule["when"] == {"previous_failed": True, "min_step": 3}
    shown = " ".join(run().split())
    assert "tier=gold of the run" in shown
    assert "min_step=3" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--when", "min_step"], "expected KEY=VALUE"),
        (["--when", "weather=true"], "weather"),
        (["--when", "min_step=-1"], "min_step"),
    ],
)
def test_conditions_that_cant_be_asked_for(
    settings: Settings, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Named on standard error; the policy stays as it was."""
    with Sidecar(settings):
        code: object = 0
        try:
            code = main(["policy", "rule", "add", "model", "x", *arguments, "--home", str(settings.home)])
        except SystemExit as stop:
            code = stop.code
        assert code not in (0, None)
        assert said in capsys.readouterr().err
        assert json.loads(settings.policy_path.read_bytes())["rules"] == []
