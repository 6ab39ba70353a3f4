"""``--explain``: a configured model puts findings into words, and changes nothing of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_analyzer.explain import MAX_FINDINGS, SENT, explain, facts
from trimtab_tracer.errors import SettingsError
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Record
from trimtab_tracer.setting_values import Explainer
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Provider, Scenario

WORDS = "The client gives up at the first 429."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused_runs: Callable[..., list[Record]]) -> Path:
    """A home with findings."""
    for name in [n for n in os.environ if n.startswith("TRIMTAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with Store.open(tmp_path / ".trimtab" / "trimtab.duckdb") as store:
        ingest(store, [record for n in range(2) for record in refused_runs(n)])
    return tmp_path / ".trimtab"


@contextmanager
def _model(*rules: dict[str, Any]) -> Iterator[Provider]:
    with Provider(Scenario.from_dict({"rules": list(rules) or [{"text": WORDS}]})) as provider:
        yield provider


def _configure(home: Path, provider: Provider, **more: str) -> None:
    table = {"endpoint": f"{provider.url}/v1", "model": "house-model"} | more
    lines = "\n".join(f'{name} = "{value}"' for name, value in table.items())
    (home / "trimtab.toml").write_text(f"[explain]\n{lines}\n")


def _findings(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[Any, str]:
    capsys.readouterr()
    assert 0 == main(["findings", "--json", *argv])
    out, err = capsys.readouterr()
    document = json.loads(out)
    del document["generated_ns"]
    return document, err


def test_a_text_stands_beside_and_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configured model is asked only where a person says so; but for its words the document is the same, in order."""
    with _model() as provider:
        _configure(home, provider)
        before, _ = _findings(capsys)
        assert () == provider.log.entries
        after, err = _findings(capsys, "--explain")
    assert [WORDS] * len(before["findings"]) == [one.pop("explanation") for one in after["findings"]]
    assert json.dumps(before) == json.dumps(after)
    asked = f"Asking house-model at {provider.url}/v1 about 2 of 2 findings"
    assert f"trimtab: {asked} (content = redacted: titles, settings and lines).\n" == err


def test_report_carries_it(home: Path, tmp_path: Path) -> None:
    """The report's page shows it."""
    with _model() as provider:
        _configure(home, provider)
        assert 0 == main(["report", "--explain", "--html", str(tmp_path / "r.html")])
    assert WORDS in (tmp_path / "r.html").read_text()


def test_an_error_is_said_and_nothing_is_lost(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the model fails the findings are printed as they are, with one sentence; what it said before stays."""
    with _model({"fault": {"status": 500}}) as provider:
        _configure(home, provider)
        document, err = _findings(capsys, "--explain")
    assert document["findings"]
    assert not any("explanation" in one for one in document["findings"])
    assert f"explained 0 of {len(document['findings'])} findings, then: HTTPStatusError" in err
    with _model({"text": WORDS, "times": 1}, {"fault": {"status": 500}}) as provider:
        texts, _ = explain([FINDING] * 3, Explainer(f"{provider.url}/v1", "m"))
    assert [WORDS, None, None] == texts


@pytest.mark.parametrize("more", [None, {"key_env": "HOUSE_KEY"}])
def test_what_is_not_configured_is_said(
    home: Path, more: dict[str, str] | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model, or without the key that its table names, the command says what to set and asks nobody."""
    monkeypatch.delenv("HOUSE_KEY", raising=False)
    with _model() as provider:
        if more is not None:
            _configure(home, provider, **more)
        assert 2 == main(["findings", "--explain"])
        assert () == provider.log.entries
    assert "[explain]" in capsys.readouterr().err


def test_key_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is read from the named variable at the moment of asking; settings hold only the name."""
    by = Explainer("http://127.0.0.1:9/v1", "m", "HOUSE_KEY")
    monkeypatch.delenv("HOUSE_KEY", raising=False)
    with pytest.raises(SettingsError, match="HOUSE_KEY"):
        explain([], by)
    monkeypatch.setenv("HOUSE_KEY", "k")
    assert ([], None) == explain([], by)


FINDING: dict[str, Any] = dict.fromkeys(SENT, "x") | {
    "title": "key sk-proj-" + "x1Y2" * 10,
    "value": {"api_key": "secret", "n": 1},
    "site": {"site_id": "s", "file": "agent.py", "function": "f", "line": 3, "source": "ask()"},
    "amounts": {"runs": 1},
    "occurrences": ["private"],
    "runs": ["r1"],
}


def test_only_what_is_shown_is_sent() -> None:
    """Ids and occurrences stay here, and secrets are taken out of what goes."""
    sent = facts(FINDING)
    assert {*SENT, "site", "amounts"} == set(sent)
    assert {"file", "function", "line", "source"} == set(sent["site"])
    text = json.dumps(sent)
    assert not any(secret in text for secret in ("x1Y2", "secret", "private"))


SAID = FINDING | {
    "title": "2 answers were cut before “END of ”it” there”, which the prompt demands; 1 run ended right there",
    "advice": "Take “END of” off the stop list at agent.py:3.",
    "subject": "END of",
    "value": ["END of", "You are a clerk of the house. " * 9],
}


@pytest.mark.parametrize("content", ["off", "redacted", "full"])
def test_what_is_sent_obeys_the_content_mode(content: str) -> None:
    """Where content is off no quoted word, statement or long text leaves; secrets never do."""
    sent, of_other = facts(SAID, content), facts(FINDING, content)
    text = json.dumps([sent, of_other], ensure_ascii=False)
    is_off = content == "off"
    assert [is_off] * 3 == [part not in text for part in ("it” there", "a clerk", "ask()")]
    assert ("“…”" if is_off else "END of") == sent["subject"]
    assert ("x", "agent.py", 3) == (of_other["subject"], sent["site"]["file"], sent["site"]["line"])
    assert sent["title"].startswith("2 answers were cut before “")
    assert sent["title"].endswith("1 run ended right there")
    assert not any(secret in text for secret in ("x1Y2", "secret"))


@pytest.mark.parametrize("command", ["findings", "report"])
def test_commands_ask_by_the_setting(
    home: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With content off the request of either command holds no statement, and stderr says what goes where."""
    monkeypatch.setenv("TRIMTAB_CONTENT", "off")
    with _model() as provider:
        _configure(home, provider)
        assert 0 == main([command, "--json", "--explain"])
        told = json.loads(provider.log.entries[0].body["messages"][1]["content"])
    assert {"file", "function", "line"} == set(told["site"])
    assert "content = off: titles without what they quote, settings and places" in capsys.readouterr().err


def test_few_are_asked_about() -> None:
    """Only the first findings are explained, and what is left out is said."""
    with _model() as provider:
        texts, problem = explain([FINDING] * (MAX_FINDINGS + 2), Explainer(f"{provider.url}/v1", "m"))
        assert MAX_FINDINGS == len(provider.log.entries)
    assert [WORDS] * MAX_FINDINGS + [None] * 2 == texts
    assert problem is not None
    assert "2 are not" in problem


@pytest.mark.parametrize(
    "table",
    [
        "explain = 1",
        '[explain]\nmodel = "m"',
        '[explain]\nendpoint = "http://far.example/v1"\nmodel = "m"',
        '[explain]\nendpoint = "https://h/v1"\nmodel = ""',
        '[explain]\nendpoint = "https://h/v1"\nmodel = "m"\nkey = "no"',
    ],
)
def test_settings_that_can_not_be_used(tmp_path: Path, table: str) -> None:
    """An unsafe address, a missing model, or a key in the file is refused with what was expected."""
    (tmp_path / "trimtab.toml").write_text(table)
    with pytest.raises(SettingsError, match="explain"):
        Settings.resolve(home=tmp_path)
