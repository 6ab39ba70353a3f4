from __future__ import annotations

import re
from pathlib import Path

import pytest

import trimtab_analyzer
from trimtab_analyzer.cost import CLASSES
from trimtab_analyzer.failures import NOT_DECIDED, RULES, Rule
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, RunStart, Site
from trimtab_tracer.store import Store

README = (Path(trimtab_analyzer.__file__).parent.parent / "README.md").read_text()


def _row(rule: Rule) -> str:
    how = "P" if rule.is_candidate else "Y/P" if rule.condition else "Y"
    cells = (
        rule.mode or "–",
        f"`{rule.id}`",
        how,
        rule.question,
        f"`{rule.knob}`",
        rule.taxonomy,
        rule.condition or "–",
    )
    return f"| {' | '.join(map(str, cells))} |"


def test_the_readme_lists_every_class() -> None:
    """The table of the ledger is that of the code, in its order."""
    classes = [f"| `{c.id}` | {c.sentence} | {f'`{c.knob}`' if c.knob else '–'} |" for c in CLASSES]
    assert [line for line in README.splitlines() if line in classes] == classes


def test_the_readme_lists_every_mode() -> None:
    """The table of the rules has a row for each rule and each mode without one, in the order of the modes."""
    lines = README.splitlines()
    table = lines[lines.index("| mode | rule | | question | knob | known elsewhere as | condition |") + 2 :]
    table = table[: table.index("")]
    modes = sorted({rule.mode or 99 for rule in RULES} | set(NOT_DECIDED))
    wanted = [
        row for mode in modes for row in [_row(r) for r in RULES if (r.mode or 99) == mode] or [f"| {mode} | – | N |"]
    ]
    assert len(table) == len(wanted)
    assert all(line.startswith(row) for line, row in zip(table, wanted, strict=True))


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
