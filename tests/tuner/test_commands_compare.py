"""``trimtab compare``: a table, a store's file, and a home while its sidecar runs."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import trimtab_analyzer as analyzer_queries
from trimtab.__main__ import main
from trimtab_tracer.collect import Collector
from trimtab_tracer.records import Process, Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tracer.store import Store, migrations
from trimtab_tuner.commands.compare import TABLES
from trimtab_tuner.sidecar import Sidecar

Records = Callable[..., list[Record]]

READ = (
    *("effect_runs", "effect_units", "effect_policies", "sites", "scorecard"),
    *("attempts", "retry_loops", "decided_runs", "cache_misses", "carrying_calls", "attempts_priced"),
    *("tool_calls", "tool_health", "decisions_of_calls", "decisions_of_runs"),
)
"""Questions of a comparison: its own, and those of the ledger."""


@pytest.fixture
def table(tmp_path: Path, no_variables: None) -> Path:
    """Forty runs of two scaffolds with two models."""
    rows = [
        {"scaffold": "ab"[n % 2], "llm": "xy"[n // 2 % 2], "ok": n % 3 > 0, "usd": 0.1 + n % 2, "spot": n % 5}
        for n in range(40)
    ]
    path = tmp_path / "runs.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


def _json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert 0 == main(["compare", *argv, "--json"])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def _spooled(spool: SpoolWriter, process: Process, some_run: Records, n: int = 8) -> None:
    for record in (process, *(record for number in range(n) for record in some_run(number, success=number % 2 > 0))):
        assert spool.write(record)
    spool.close()


def _stored(settings: Settings) -> str:
    """The store's file, with what lay in the spool."""
    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
    return str(settings.store_path)


def test_a_table_needs_no_store(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns from the command line, and a guess for the harness; no home is made."""
    found = _json(capsys, str(table), "--by", "harness,model", "--model", "llm", "--success", "ok", "--cost", "usd")
    assert {"harness": 2, "model": 2} == found["levels"]
    assert {"success", "cost"} == found["shares"].keys()
    assert (2, None, []) == (len(found["gaps"]), found["knobs"], found["scorecard"])
    assert [] == [path for path in table.parent.iterdir() if path != table]


def test_the_text_says_the_same(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part has its heading."""
    assert 0 == main(
        ["compare", str(table), "--success", "ok", "--model", "llm", "--cost", "usd", "--by", "model,spot"]
    )
    said = capsys.readouterr().out
    assert "runs.csv: 40 runs in 40 rows; 2 of model, 5 of spot" in said
    assert "80% of the quality at 30% of the cost" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--success", "okk"], "Did you mean 'ok'"),
        (["--success", "ok", "--by", "harness,modell"], "no column 'modell' for by. Did you mean 'model'"),
        (["--success", "ok", "--quality-share", "80"], "--quality-share 80: expected a share"),
        (["--success", "ok", "--scorecard"], "a scorecard is made of a store"),
        (["--success", "ok", "--by", "scaffold,llm,usd,spot,ok"], "At most 4 factors"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    table: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    """Wrong usage, exit code 2, and the next step."""
    assert 2 == main(["compare", str(table), *more])
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(no_variables: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a table nor a store."""
    assert 1 == main(["compare", "gone.csv"])
    assert 1 == main(["compare", "gone.duckdb"])
    said = capsys.readouterr().err
    assert "there is no such file" in said
    assert "there is no such store" in said


def test_a_home_is_compared_through_its_sidecar_and_without(
    settings: Settings, process: Process, spool: SpoolWriter, some_run: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same runs, scorecard and outcomes, whether a sidecar has the store open, the home is read, or the file."""
    _spooled(spool, process, some_run)
    asked = ["--by", "model", "--latency", "duration_s"]
    alone = _json(capsys, str(settings.home), *asked)
    assert 8 == alone["runs"]
    assert 5 == len(alone["scorecard"])
    assert 8 == alone["knobs"]["outcomes"]["by_source"]["explicit"]
    with Sidecar(settings):
        beside = _json(capsys, str(settings.home), *asked)
    of_file = _json(capsys, str(settings.store_path), *asked)
    assert alone == beside == of_file | {"source": alone["source"]}


def test_a_scorecard_says_the_same_whichever_way_the_store_is_reached(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through a sidecar, of the home and of the file: tool results, conversations and own prices count in each."""
    settings.home.mkdir()
    speed = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "analyzer_speed.py"))
    speed["make"](settings.store_path, 300)
    with Store.open(settings.store_path) as store, store.transaction() as con:
        con.execute("UPDATE attempts SET model = 'gpt-4o', host = 'api.openai.com'")
        # Prompts that change and miss the cache, and a long result that is carried along.
        con.execute("UPDATE attempts SET cache_read_tokens = 0, prompt_digest = call_id WHERE hash(call_id) % 5 = 0")
        con.execute("UPDATE attempts SET input_tokens = input_tokens + 20000 WHERE message_count > 20")
        con.execute("UPDATE tool_results SET result_chars = 80000")
    asked = ["--scorecard", "--outcomes", "explicit,inferred"]
    bundled = _json(capsys, *asked, str(settings.home))
    prices = "input = 5.0\ncache_read = 0.1\noutput = 9.0\n"
    (settings.home / "trimtab.toml").write_text(f'[prices."gpt-4o"]\n{prices}')
    alone = _json(capsys, *asked, str(settings.home))
    of_file = _json(capsys, *asked, str(settings.store_path))
    with Sidecar(settings):
        beside = _json(capsys, *asked, str(settings.home))
    assert alone == beside == of_file
    assert bundled["scorecard"][:-1] == alone["scorecard"][:-1]
    assert bundled["scorecard"][-1] != alone["scorecard"][-1]


def test_all_tables_that_a_comparison_reads_are_copied() -> None:
    """Every table of the store that a query of the comparison names comes through the sidecar."""
    queries = Path(analyzer_queries.__file__).parent / "queries"
    text = "".join((queries / f"{name}.sql").read_text(encoding="utf-8") for name in READ)
    named = set(re.findall(r"(?:FROM|JOIN)\s+([a-z_]+)", text))
    stored = {name for _, sql in migrations() for name in re.findall(r"CREATE TABLE ([a-z_]+)", sql)}
    assert set(TABLES) == named & stored


def test_a_knob_may_be_the_harness(
    settings: Settings, process: Process, spool: SpoolWriter, some_run: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs by the value that they got; a source of outcomes that is none is refused."""
    _spooled(spool, process, some_run)
    path = _stored(settings)
    found = _json(capsys, path, "--by", "harness", "--harness", "knob:model")
    assert "knob:model" == found["columns"]["harness"]
    assert 2 == main(["compare", path, "--outcomes", "guessed"])
    assert "explicit, evaluator, inferred, got guessed" in capsys.readouterr().err


def test_the_scorecard_can_be_had_alone(
    settings: Settings, process: Process, spool: SpoolWriter, some_run: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its five dimensions with their formulas, and nothing else."""
    _spooled(spool, process, some_run)
    path = _stored(settings)
    assert 0 == main(["compare", "--scorecard", path])
    said = capsys.readouterr().out
    assert "error recovery: runs with success, of those in which" in said
    assert "How much varies" not in said
    assert ["scorecard"] == list(_json(capsys, "--scorecard", path))
