from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from trimtab_analyzer.compare import (
    ColumnError,
    as_table,
    compare,
    cost_frontier,
    harness_gaps,
    print_text,
    read_file,
)
from trimtab_analyzer.compare.frontier import best_mix, on_frontier

REAL = os.environ.get("TRIMTAB_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="needs real tables: TRIMTAB_REAL_DATA")


def _runs(shares: dict[str, float], n: int = 200, seed: int = 0, **columns) -> pl.DataFrame:
    """``n`` runs of each harness on the same tasks with one model."""
    rng = np.random.default_rng(seed)
    parts = [
        pl.DataFrame({"task": [f"t{i}" for i in range(n)], "success": rng.random(n) < share}).with_columns(
            harness=pl.lit(name), model=pl.lit("m"), **columns
        )
        for name, share in shares.items()
    ]
    return pl.concat(parts)


def test_a_missing_column_is_answered_with_the_nearest_one() -> None:
    """The sentence names the part, the candidates and the option."""
    frame = pl.DataFrame({"resolved": [True], "scaffold": ["a"]})
    with pytest.raises(
        ColumnError, match=r"no column 'resolvd' for success. Did you mean 'resolved'.*--success COLUMN"
    ):
        as_table(frame, {"success": "resolvd"})
    with pytest.raises(ColumnError, match=r"no column 'modl' for by. Did you mean 'model'"):
        as_table(frame, {}, ["modl"])
    with pytest.raises(ColumnError, match=r"a column for model under no name .* resolved, scaffold.*--model COLUMN"):
        as_table(frame, {}, ["harness", "model"])
    odd = pl.DataFrame({"edit_format": ["a"], "pass_rate_1": [0.3], "seconds_per_case": [1.0]})
    with pytest.raises(ColumnError, match="--success pass_rate_1 or --cost COLUMN or --latency seconds_per_case"):
        as_table(odd, {})
    with pytest.raises(ColumnError, match="success, cost and latency under no name"):
        as_table(frame.drop("resolved"), {})


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (["true", "False", ""], [1.0, 0.0, np.nan], "1 of 3 rows have no"),
        ([62.5, 0.0, 100.0], [0.625, 0.0, 1.0], "per cent"),
        ([True, None, False], [1.0, np.nan, 0.0], "1 of 3"),
    ],
)
def test_success_is_read_from_words_shares_and_per_cent(column, values, expected: str) -> None:
    """What was assumed, and what was left out, is told."""
    table = as_table(pl.DataFrame({"success": column, "model": ["a", "b", "c"]}), {})
    assert np.array_equal(values, table.measures["success"], equal_nan=True)
    assert expected in " ".join(table.notes)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"success": "words"}, "holds 'maybe'"),
        ({"success": "big"}, "holds -1 to 500"),
        ({"cost": "words", "success": None}, "it holds 'maybe', 'no', expected numbers alone"),
        ({"n": "big", "success": None}, "numbers below 1"),
    ],
)
def test_a_column_of_another_kind_is_refused(named: dict[str, str], says: str) -> None:
    """The values that it holds stand in the sentence."""
    frame = pl.DataFrame({"words": ["maybe", "no"], "big": [-1.0, 500], "model": ["a", "b"], "correct": [0, 1]})
    with pytest.raises(ColumnError, match=says):
        as_table(frame, named)


def test_runs_without_any_outcome_are_compared_in_the_rest() -> None:
    """A column of success that was only guessed and is empty is told and left out; one that was named is an error."""
    frame = pl.DataFrame({"success": [None] * 4, "cost": [1.0, 2, 3, 4], "model": ["a", "a", "b", "b"]})
    table = as_table(frame, {})
    assert (["cost"], ["No row has a success, so success is not compared."]) == (list(table.measures), table.notes)
    with pytest.raises(ColumnError, match="nothing but empty cells"):
        as_table(frame, {"success": "success"})


def test_files_of_every_form_give_the_same_comparison(tmp_path: Path) -> None:
    """CSV, TSV, Parquet and JSON lines; another form, a broken one and an empty one are named."""
    frame = _runs({"a": 0.5, "b": 0.8})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ndjson(tmp_path / "t.jsonl")
    found = [harness_gaps(as_table(read_file(path), {})) for path in sorted(tmp_path.iterdir())]
    assert 4 == len(found)
    assert all(one == found[0] for one in found)
    (tmp_path / "t.xlsx").write_text("x")
    (tmp_path / "broken.parquet").write_text("x")
    (tmp_path / "empty.csv").write_text("a,b\n")
    for name, says in (("t.xlsx", "ends in .csv"), ("broken.parquet", "can't be read"), ("empty.csv", "no rows")):
        with pytest.raises(ColumnError, match=says):
            read_file(tmp_path / name)


def test_the_gap_on_one_model_has_an_interval_for_all_pairs() -> None:
    """Best and worst of three harnesses, the truth within, on the tasks that all of them ran."""
    (gap,) = harness_gaps(as_table(_runs({"a": 0.4, "b": 0.5, "c": 0.7}), {}))
    assert ("c", "a", 3, 200) == (gap.best, gap.worst, gap.harnesses, gap.shared_tasks)
    assert gap.low < 0.3 < gap.high
    assert gap.corrected == pytest.approx(0.3, abs=0.08)
    assert gap.ratio == pytest.approx(gap.best_mean / gap.worst_mean)
    assert gap.never_started is None


@pytest.mark.parametrize(
    "frame",
    [
        _runs({"a": 1.0, "b": 1.0}, 20),
        pl.concat([_runs({"a": 1.0, "b": 1.0}, 20), _runs({"a": 0.0, "b": 0.0}, 20)]),
        pl.DataFrame({"harness": ["a", "b"], "model": "m", "success": [1.0, 1.0], "n": [40, 40]}),
    ],
)
def test_equal_harnesses_are_not_known_to_be_equal(frame: pl.DataFrame) -> None:
    """All runs succeeded, each task came out alike, or the same rate: the interval has a width, and stays in range."""
    (gap,) = harness_gaps(as_table(frame, {"n": "n"} if "n" in frame.columns else {}))
    assert gap.best != gap.worst
    assert 0 == gap.difference
    assert -1 <= gap.low < -0.02 < 0.02 < gap.high <= 1


@pytest.mark.parametrize("shares", [{"a": 0.98, "b": 0.9}, {"a": 0.5, "b": 0.3}, {"a": 0.95, "b": 0.95, "c": 0.95}])
@pytest.mark.parametrize("is_paired", [True, False])
def test_the_interval_of_a_gap_covers(shares: dict[str, float], is_paired: bool) -> None:
    """20 tasks, shared or not: the truth lies within in 95 % of 150 tables, as far as chance goes in 1 of 1,000."""
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        luck = rng.random((len(shares), 20))
        if is_paired:  # a task that is hard for one harness is so for the others: a third of them come out together
            luck = np.where(rng.random(20) < 1 / 3, luck[0], luck)
        frame = pl.concat(
            [
                pl.DataFrame({"task": [f"t{i}" for i in range(20)], "success": row < share, "harness": name})
                for row, (name, share) in zip(luck, shares.items(), strict=True)
            ]
        )
        (gap,) = harness_gaps(as_table(frame, {}, None if is_paired else ["harness"]), np.random.default_rng(seed))
        held += gap.low <= shares[gap.best] - shares[gap.worst] <= gap.high
    assert held >= 133


def test_the_winners_curse_is_taken_off() -> None:
    """Ten equal harnesses seem apart; the corrected gap is 0 on average, and the interval holds 0 mostly."""
    gaps = [harness_gaps(as_table(_runs({str(i): 0.5 for i in range(10)}, 60, seed), {}))[0] for seed in range(40)]
    assert np.mean([gap.difference for gap in gaps]) > 0.15
    assert abs(np.mean([gap.corrected for gap in gaps])) < 0.025
    assert sum(gap.low <= 0 <= gap.high for gap in gaps) >= 34


def test_runs_that_never_started_are_told_apart() -> None:
    """Two harnesses that are equally good once they run, one of which does not start half the time."""
    frame = _runs({"a": 0.6, "b": 0.6}, 400).with_columns(
        calls=pl.when((pl.col("harness") == "b") & (pl.int_range(pl.len()) % 2 == 0)).then(0).otherwise(7)
    )
    frame = frame.with_columns(success=pl.col("success") & (pl.col("calls") > 0))
    (gap,) = harness_gaps(as_table(frame, {}))
    assert gap.never_started == pytest.approx(0.3, abs=0.05)
    assert gap.difference == pytest.approx(gap.never_started, abs=0.08)


def test_rates_with_their_counts_are_enough_for_a_gap() -> None:
    """Two rows of 200 runs each, as leaderboards have them."""
    frame = pl.DataFrame({"harness": ["a", "b"], "model": ["m", "m"], "pass_rate": [40.0, 60.0], "cases": [200, 200]})
    (gap,) = harness_gaps(as_table(frame, {"n": "cases"}))
    assert (0.2, 200) == (pytest.approx(gap.difference), gap.best_runs)
    assert gap.low == pytest.approx(0.2 - 1.96 * np.sqrt(2 * 0.24 / 200), abs=0.005)
    assert gap.corrected == pytest.approx(0.2, abs=0.02)


def test_the_frontier_is_what_no_other_beats() -> None:
    """Equal in one and worse in the other is beaten; equal in both is not."""
    quality, costs = np.array([0.9, 0.8, 0.8, 0.5, 0.5]), np.array([10.0, 5, 6, 1, 1])
    assert [True, True, False, True, True] == on_frontier(quality, costs).tolist()


def test_so_much_quality_at_so_little_cost_is_answered() -> None:
    """One that does it is named; where none does, the cheapest that keeps the quality and the best mix are."""
    frame = pl.concat(
        [
            _runs({"big": 0.9}, cost_usd=pl.lit(1.0)),
            _runs({"small": 0.3}, cost_usd=pl.lit(0.1)),
            _runs({"middle": 0.8}, cost_usd=pl.lit(0.5)),
        ]
    )
    asked = cost_frontier(as_table(frame, {}), 0.8, 0.3)
    assert asked is not None
    assert ("big / m", "middle / m") == (asked.reference, asked.cheapest)
    assert asked.cheapest_cost_share == pytest.approx(0.5)
    assert asked.mix == pytest.approx({"middle / m": 0.5, "small / m": 0.5})
    assert (
        "none does by itself; sending 50% of the runs to middle / m and 50% of the runs to small / m reaches"
        in asked.answer
    )
    easy = cost_frontier(as_table(frame, {}), 0.8, 0.6)
    assert easy is not None
    assert easy.answer.startswith("80% of the quality at 60% of the cost of big / m: middle / m (")
    assert ({}, 0.0) == best_mix(np.array([0.5]), np.array([2.0]), 1.0)


def test_costs_of_nothing_are_unknown_unless_nothing_ran() -> None:
    """A run that made calls costs something; one that never started costs nothing, said or not; both are told."""
    columns = {"model": ["a"] * 6, "success": [1, 1, 0, 0, 0, 1], "cost": [0.0, 2, 0, 4, None, None]}
    table = as_table(pl.DataFrame(columns | {"calls": [3, 3, 0, 3, 0, 0]}), {})
    assert np.array_equal([np.nan, 2, 0, 4, 0, np.nan], table.measures["cost"], equal_nan=True)
    told = " ".join(table.notes)
    for said in ("2 rows are of runs that never started", "1 rows have a cost of 0", "1 of 6 rows have no cost"):
        assert said in told
    silent = as_table(pl.DataFrame(columns), {})
    assert np.array_equal([np.nan, 2, 0, 4, np.nan, np.nan], silent.measures["cost"], equal_nan=True)
    assert "--started" in silent.notes[0]


@pytest.mark.parametrize("cost_of_failures", [0.0, None])
def test_failures_that_cost_nothing_stay_in_the_frontier(cost_of_failures: float | None) -> None:
    """A harness of which half of the runs never start has half of the success, at half of the cost where that is 0."""
    frame = _runs({"a": 1.0, "b": 1.0}, 40).with_columns(cost_usd=pl.lit(1.0))
    breaks = (pl.col("harness") == "b") & (pl.int_range(pl.len()) % 2 == 0)
    frame = frame.with_columns(
        success=pl.col("success") & ~breaks,
        cost_usd=pl.when(breaks).then(pl.lit(cost_of_failures)).otherwise("cost_usd"),
    )
    found = cost_frontier(as_table(frame, {}))
    assert found is not None
    quality = {one.name: (one.quality, one.runs, one.cost, one.unknown_cost) for one in found.configurations}
    known = (0.5, 40, 0.5, 0) if cost_of_failures == 0 else (0.5, 40, 1.0, 20)
    assert {"a / m": (1.0, 40, 1.0, 0), "b / m": known} == quality


def test_a_configuration_without_known_cost_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """It can't be on the frontier, and the text says which one that is."""
    frame = pl.concat([_runs({"a": 0.5, "b": 0.6}, cost_usd=pl.lit(1.0)), _runs({"c": 0.9}, cost_usd=pl.lit(None))])
    found = cost_frontier(as_table(frame, {}))
    assert found is not None
    assert ("c / m",) == found.left_out
    print_text(compare(as_table(frame, {})), Console(width=200))
    assert "known cost: c / m (1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (_runs({"a": 0.5}, 20), "All rows have the same harness (a), model (m)"),
        (_runs({"a": 0.5}, 20).select("task", "success"), "Only tasks differ here; name the column"),
        (_runs({"a": 0.5, "b": 0.5}, 3), "No harness gap: no model has 5 runs"),
        (_runs({"a": 0.5, "b": 0.5}, 3, cost_usd=pl.lit(1.0)), "No frontier: it takes two configurations"),
    ],
)
def test_what_can_not_be_compared_is_said(frame: pl.DataFrame, says: str) -> None:
    """One harness only, tasks only, too few runs: the part that is missing and what it would take."""
    found = compare(as_table(frame, {}))
    assert says in " ".join(found.notes)
    assert frame.height == found.means["success"]["runs"]


def test_the_whole_comparison_has_the_documented_keys() -> None:
    """JSON as docs/compare.md tells it, and a text with each part."""
    frame = _runs({"a": 0.4, "b": 0.7}, 50).with_columns(cost_usd=pl.int_range(pl.len()) / 100 + 0.1)
    found = compare(as_table(frame, {}, source="t.csv"))
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    keys = {
        "source",
        "rows",
        "runs",
        "columns",
        "levels",
        "means",
        "shares",
        "gaps",
        "frontier",
        "scorecard",
        "knobs",
        "notes",
    }
    assert keys == said.keys()
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
    nested = {
        *said["gaps"][0],
        *said["frontier"],
        *said["shares"]["success"],
        *said["shares"]["success"]["components"][0],
    }
    assert [] == sorted(key for key in keys | nested if f"`{key}`" not in page)
    console = Console(file=StringIO(), width=140)
    print_text(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("100 runs in 100 rows", "How much varies with what", "Best and worst harness", "Cost and quality"):
        assert part in text


@real
def test_the_leaderboards_are_compared() -> None:
    """Real pass rates: most of them varies with the model, and the edit format of one model is worth 45 points."""
    frame = read_file(Path(REAL or "") / "aider_leaderboards" / "runs.csv")
    named = {"harness": "edit_format", "success": "pass_rate_1", "total_cost": "total_cost", "n": "test_cases"}
    found = compare(as_table(frame, named, ["harness", "model"]))
    assert 324 == found.rows
    shares = {one.name: one.share for one in found.shares[0].components}
    assert shares["model"] > shares["harness"]
    gap = next(gap for gap in found.gaps if gap.model == "gemini-2.0-flash-exp")
    assert ("diff", "whole", 0.45) == (gap.best, gap.worst, round(gap.difference, 2))


@real
@pytest.mark.parametrize("name", ["routellm/outcomes.parquet", "mini_swe_agent/runs.parquet"])
def test_other_real_tables_are_compared(name: str) -> None:
    """Columns are found by their names; each measure's shares add up to 1."""
    found = compare(as_table(read_file(Path(REAL or "") / name), {}))
    assert {"success", "cost"} == {one.measure for one in found.shares}
    for one in found.shares:
        assert 1 == pytest.approx(sum(component.share for component in one.components))
