"""Recordings that are not as they should be, through every command: analysed, or named with what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.__main__ import main

Typed = Callable[..., str]

ASK = {"role": "user", "content": "Where is my order?"}
MARKUP = "[/b]<img src=x>"
CALL = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini"}


def _run(name: str, model: str, *answers: dict[str, Any], **facts: Any) -> dict[str, Any]:
    messages = [part for said in answers for part in (ASK, {"role": "assistant", "content": "On its way."} | said)]
    return {"run_id": name, "name": name, "model": model, "messages": messages} | facts


def _used(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion}} | more


def _span(n: int, start: str | None, end: str | None) -> dict[str, Any]:
    ids = {"trace_id": "b" * 32, "span_id": f"{n:016x}"}
    return {"name": "llm", "context": ids, "start_time": start, "end_time": end, "attributes": CALL}


TOOL = {"tool_calls": [{"id": "t", "type": "function", "function": {"name": MARKUP, "arguments": "{"}}]}
FILES: dict[str, Any] = {
    "unjudged": _run("unjudged", "gpt-5-mini", _used(90, 10)),
    "new model": _run("new model", "no-such-model", _used(90, 10), success=False),
    "no tokens": _run("no tokens", "gpt-5-mini", {}, success=True),
    "backward": [
        _span(1, "2026-11-20T10:00:05Z", "2026-11-20T10:00:01Z"),
        _span(2, "2026-11-20T10:00:06Z", "2026-11-20T10:00:07Z"),
    ],
    "no times": [_span(1, None, None) | {"context": {"trace_id": "c" * 32, "span_id": "1" * 16}}],
    "odd numbers": _run(
        "odd numbers",
        "gpt-5-mini",
        *(_used(-90, -10), _used(10**30, 3), _used("many", None), _used(9, 3, cost=float("nan"))),
        *(_used(9, 3, cost=-5.0), _used(9, 3, cost=float("inf")), {"timestamp": 10**20}),
    ),
    "markup": _run(MARKUP, MARKUP, _used(90, 10) | TOOL, success=False, error=f"{MARKUP} “x”", service=MARKUP),
    "surrogate": _run("surrogate", "m", {"content": "\udfff y \x00 z"}),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A home into which all of them were imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in FILES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    assert 0 == main(["import", *(str(tmp_path / f"{name}.json") for name in FILES)])
    assert "The cost of 11 calls is not known" in capsys.readouterr().out
    return tmp_path / "home"


@pytest.fixture
def typed(home: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run a command on that home; what it printed, its lines joined."""

    def do(*argv: str) -> str:
        assert 0 == main(list(argv))
        out, err = capsys.readouterr()
        assert "" == err
        return out if "--json" in argv else " ".join(out.split())

    return do


def test_what_is_missing_is_named(typed: Typed) -> None:
    """Prices, tokens, outcomes and times that are not there are counted by reason, and no call is lost."""
    found = json.loads(typed("waste", "--json"))
    said = {(row["what"], row["reason"], row["subject"]): row["n"] for row in found["not_analysable"]}
    assert 1 == said["cost", "no price is known for no-such-model at unknown", "attempt"]
    assert 1 == said["seconds", "ends before it begins", "attempt"]
    assert 5 == said["outcome", "nobody said what came of it", "run"]
    assert 8 == said["tokens", "answered without token counts, which count as 0", "attempt"]
    assert 15 == sum(row["attempts"] for row in found["money"])
    assert 2 * 10**9 == found["total"]["ns"]


def test_no_unknown_is_a_zero(typed: Typed, home: Path) -> None:
    """The report calls costs that it does not know so, and shows what names hold as it stands."""
    said = typed("report")
    assert "What 11 of 15 requests cost is not known" in said
    assert "5 of 8 runs were not judged" in said
    runs = {run["name"]: run for run in json.loads(typed("report", "--json"))["runs"]}
    assert 1 == runs["new model"]["unpriced"]
    assert MARKUP in said
    typed("report", "--html", str(home / "r.html"))
    assert "<img" not in (home / "r.html").read_text()


def test_findings_and_comparison_go_on(typed: Typed) -> None:
    """Failed runs are blamed and runs compared; what could not be is said."""
    document = json.loads(typed("findings", "--json"))
    assert (8, 2) == (document["totals"]["runs"], document["totals"]["failed_runs"])
    assert ["malformed_tool_args"] == [one["mode"] for one in document["findings"]]
    assert all(1 == pytest.approx(sum(step["share"] for step in run["blame"])) for run in document["failed_runs"])
    assert MARKUP in typed("findings")
    said = typed("compare", "--by", "harness,model")
    assert "5 of 8 rows have no success; they are left out" in said
    assert "7 of 8 rows have no cost" in said
