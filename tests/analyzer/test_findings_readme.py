from __future__ import annotations

import re
from pathlib import Path

import pytest

import trimtab_analyzer
from trimtab_analyzer.cost import CLASSES
from trimtab_analyzer.failures import RULES
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, RunStart, Site
from trimtab_tracer.store import Store

README = (Path(trimtab_analyzer.__file__).parent.parent / "README.md").read_text()


def test_the_readme_lists_every_rule_and_class() -> None:
    """The two tables are those of the code, in its order."""
    rules = [f"| `{r.id}` | {r.question} | `{r.knob}` | {r.taxonomy} |" for r in RULES]
    classes = [f"| `{c.id}` | {c.sentence} | {f'`{c.knob}`' if c.knob else '–'} |" for c in CLASSES]
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row in rules + classes] == classes + rules


def test_the_readme_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example prints the ledger and a finding with its line, from a store that the collector filled."""
    with Store.open(tmp_path / ".trimtab" / "trimtab.duckdb") as store:
        limited = Attempt(
            *("a", "c", "r", "p", 1, 10, 5, "openai.chat", "POST", "llm", "/v1/chat/completions", "s", "complete"),
            http_status=429,
        )
        site = Site("s", "agent.py", "main", 14, 14, "ask()")
        ingest(store, [RunStart("r", "p", 1, "shop", "explicit"), site, limited])
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.+?)^```", README, re.MULTILINE | re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "failed_attempt" in printed
    assert "agent.py:14" in printed
