"""The replay benchmark on tables it makes itself: what it reads, what its figures mean, what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tune_replay
from tuning import figures, gated, policies, replay
from tuning.scenarios import SCENARIOS, stream
from tuning.tables import Table, load, synthetic


def small(questions: int = 400, seed: int = 0) -> Table:
    """Three models: dear and good, cheap and nearly as good, cheap and bad."""
    rng = np.random.default_rng(seed)
    quality = (rng.random((questions, 3)) < np.array([0.9, 0.88, 0.4])).astype(float)
    cost = np.tile([0.02, 0.002, 0.001], (questions, 1))
    return Table(("dear", "cheap", "bad"), quality, cost, None, rng.integers(0, 2, questions), ("a", "b"))


def written(folder: Path, table: Table) -> Path:
    rows = [
        {"qid": f"q{q:04}", "model": model, "correct": bool(table.quality[q, m]), "cost_usd": table.cost_usd[q, m]}
        | {"task": table.contexts[table.context[q]]}
        for q in range(len(table.quality))
        for m, model in enumerate(table.models)
    ]
    pl.DataFrame(rows).write_parquet(folder / "outcomes.parquet")
    return folder


def test_a_folder_is_read_as_it_is(tmp_path: Path) -> None:
    """Models may be named by a part; qualities, costs and contexts are in place; what is missing is named."""
    table = small(30)
    read = load(written(tmp_path, table), ["dear", "chea"], "task")
    assert ("dear", "cheap") == read.models
    assert np.array_equal(table.quality[:, :2], read.quality)
    assert [table.contexts[c] for c in table.context] == [read.contexts[c] for c in read.context]
    with pytest.raises(ValueError, match="nobody"):
        load(tmp_path, ["nobody"], None)
    with pytest.raises(ValueError, match="lacks"):
        load(tmp_path, None, "no_column")


def test_captured_is_0_at_random_and_1_for_the_best_single() -> None:
    """The anchors of the scale are what they are called, and an oracle lies above."""
    made = stream(small(), 0.1, "stationary", 0)
    known = policies.fixed(made, 0.1)
    random, best = figures.anchors(made, 0.1, known["best single"])
    assert pytest.approx(1.0) == figures.captured(made, 0.1, known["best single"], random, best)
    assert figures.captured(made, 0.1, known["oracle"], random, best) > 1
    shares = [figures.captured(made, 0.1, policies.play(made, 0.1, "random", s), random, best) for s in range(30)]
    assert abs(np.mean(shares)) < 0.1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_learner_and_all_baselines_play_every_scenario(scenario: str) -> None:
    """Each unit gets a model that is there; the learner captures more than half on an easy table."""
    made = stream(small(), 0.1, scenario, 1)
    known = policies.fixed(made, 0.1)
    anchors = figures.anchors(made, 0.1, known["best single"])
    names = [name for name in policies.POLICIES if scenario == "stationary" or name in ("UCB1", "track-and-stop")]
    chosen = {"trimtab": replay.bare(made, 0.1, 1)} | {name: policies.play(made, 0.1, name, 1) for name in names}
    for choice in chosen.values():
        assert set(np.unique(choice)) <= {0, 1, 2}
        if made.added:
            assert made.added[1] not in choice[: made.added[0]]
    assert figures.captured(made, 0.1, chosen["trimtab"], *anchors) > (0.3 if scenario == "sparse" else 0.5)


def test_a_stream_is_what_its_scenario_says() -> None:
    """Halved, cheaper, dearer, added, late, sparse and errors change exactly what they are called after."""
    table = small()
    half = len(table.quality) // 2
    halved = stream(table, 0.1, "halved", 0)
    leader = int((table.quality - table.cost_usd / 0.1).mean(axis=0).argmax())
    ratio = halved.quality[half:, leader].mean() / halved.quality[:half, leader].mean()
    assert pytest.approx(0.5, abs=0.1) == ratio
    dearer = stream(table, 0.1, "dearer", 0)
    assert dearer.repriced is not None
    assert pytest.approx(10.0) == dearer.cost_usd[-1, leader] / dearer.cost_usd[0, leader]
    assert pytest.approx(0.2, abs=0.07) == stream(table, 0.1, "sparse", 0).is_shown.mean()
    assert pytest.approx(0.05, abs=0.03) == stream(table, 0.1, "errors", 0).failed.mean()
    assert 50 == stream(table, 0.1, "late", 0).delay
    with pytest.raises(ValueError, match="nonsense"):
        stream(table, 0.1, "nonsense", 0)


def test_a_gated_campaign_saves_and_a_placebo_is_worse_or_equal() -> None:
    """Money is saved at little loss; placebos are made of the incumbent, the worse one by twice the margin."""
    table = small(800)
    made = stream(table, 0.1, "stationary", 0)
    found = figures.saving(made, 0, gated.play(made, 0, 0))
    assert found["usd_saved"] > 0
    assert found["expected_loss"] < 0.03
    copies = gated.placebos(table, 0, 0)
    mean = copies.quality.mean(axis=0)
    assert pytest.approx(mean[0]) == mean[1]
    assert pytest.approx(mean[0] - 2 * gated.MARGIN, abs=0.015) == mean[2]


def test_the_command_prints_its_keys_and_pieces_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON with the documented keys, files beside it, and two pieces merged are one run."""
    written(tmp_path, small(60))
    base = ["--data", str(tmp_path), "--context", "task", "--value-usd", "0.1", "--policies", "trimtab"]
    pieces = []
    for seed in ("0", "1"):
        assert 0 == tune_replay.main([*base, "--seeds", "1", "--first-seed", seed, "--out", str(tmp_path / "out")])
        pieces.append(tmp_path / f"{seed}.json")
        pieces[-1].write_text(capsys.readouterr().out)
    assert 0 == tune_replay.main(["--merge", *map(str, pieces)])
    merged = json.loads(capsys.readouterr().out)
    assert {"scenario", "models", "questions", "contexts", "value_usd", "seeds", "summary", "cpu_seconds"} == set(
        merged
    )
    assert [0, 1] == [row["seed"] for row in merged["seeds"]]
    assert 2 == merged["summary"]["trimtab"]["captured"]["n"]
    assert {".csv", ".md", ".svg"} == {path.suffix for path in (tmp_path / "out").iterdir()}


def test_synthetic_tables_are_the_same_again() -> None:
    """A seed is a table: shares in [0, 1], costs above 0."""
    (table, value), (again, _) = synthetic(3), synthetic(3)
    assert np.array_equal(table.quality, again.quality)
    assert value > 0
    assert 0 <= table.quality.min() <= table.quality.max() <= 1
    assert table.cost_usd.min() > 0
