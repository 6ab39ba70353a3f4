"""Thompson weights, contexts that borrow from each other, prices, and the escalation threshold."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_tuner.learn import Objective, Observation
from trimtab_tuner.learn.cells import MOST_CONTEXTS, Cells
from trimtab_tuner.learn.escalation import Escalation
from trimtab_tuner.learn.hierarchy import QUALITY, posterior
from trimtab_tuner.learn.thompson import Thompson

VALUE = Objective("value", value_usd=1.0)


def taught(learner: Thompson, context: str | None, arm: str, quality: float, times: int, cost: float = 0.1) -> None:
    for _ in range(times):
        learner.learn(Observation(arm, 0.5, quality, cost, context=context))


def test_contexts_that_differ_get_weights_of_their_own() -> None:
    """Where a is better in one context and b in another, each context draws its own."""
    learner = Thompson(["a", "b"], VALUE, contexts=True)
    for context, good in (("x", "a"), ("y", "b")):
        for arm in ("a", "b"):
            taught(learner, context, arm, 0.9 if arm == good else 0.4, 60)
    assert learner.weights("x").get("a", 0.0) > 0.9
    assert learner.weights("y").get("b", 0.0) > 0.9


def test_a_context_with_few_rewards_is_as_everywhere() -> None:
    """Below the least number of rewards a context has the pooled weights."""
    learner = Thompson(["a", "b"], VALUE, contexts=True)
    taught(learner, "x", "a", 0.9, 50)
    taught(learner, "x", "b", 0.5, 50)
    taught(learner, "new", "b", 1.0, 2)
    assert learner.weights(None) == learner.weights("new")
    assert "new" not in learner.table()


def test_a_hard_context_does_not_make_its_arm_look_bad() -> None:
    """What contexts have in common is taken out: an arm that was drawn mostly where all fail is not the worse one."""
    cells = Cells(["a", "b"])
    rng = np.random.default_rng(0)
    for context, level, draws in (("easy", 0.9, (20, 180)), ("hard", 0.3, (180, 20))):
        for arm, n in enumerate(draws):
            for _ in range(n):
                cells.add(cells.row(context), arm, float(rng.random() < level + 0.05 * (arm == 0)))
    pooled = posterior(cells, QUALITY)
    assert cells.overall()[0] < cells.overall()[1]
    assert pooled.mean[0] > pooled.mean[1]


def test_without_contexts_the_posterior_is_that_of_each_mean() -> None:
    """One row: the posterior mean is near the sample's, its variance near that of the mean, not of a single reward."""
    cells = Cells(["a", "b"])
    x = np.random.default_rng(1).random(4000)
    for value in x:
        cells.add(0, 0, float(value))
    found = posterior(cells, QUALITY)
    assert pytest.approx(x.mean(), abs=1e-3) == found.mean[0]
    assert pytest.approx(x.var() / 4000, rel=0.02) == found.cov[0, 0]


def test_a_declared_price_beats_a_learned_one() -> None:
    """A model that was cheap when it was tried is not drawn after its price is declared to be high."""
    learner = Thompson(["a", "b"], VALUE)
    taught(learner, None, "a", 0.9, 50, cost=0.01)
    taught(learner, None, "b", 0.8, 50, cost=0.01)
    assert learner.weights()["a"] > 0.9
    learner.reprice("a", 0.5)
    assert learner.weights().get("a", 0.0) < 0.1


def test_an_announced_change_scales_what_was_learned() -> None:
    """A price that falls to a tenth makes a model that was too dear the best one at once."""
    learner = Thompson(["a", "b"], VALUE)
    taught(learner, None, "a", 0.9, 50, cost=0.5)
    taught(learner, None, "b", 0.8, 50, cost=0.01)
    assert learner.weights().get("a", 0.0) < 0.1
    learner.reprice("a", None, 0.1)
    assert learner.weights()["a"] > 0.9


def test_errors_of_transport_count_against_an_arm() -> None:
    """Of two models of equal quality the one whose calls often fail is drawn less."""
    learner = Thompson(["a", "b"], VALUE)
    for i in range(200):
        learner.learn(Observation("a", 0.5, 0.5 + 0.4 * (i % 2), 0.1))
        failed = i % 3 == 0
        learner.learn(Observation("b", 0.5, None if failed else 0.5 + 0.4 * (i % 2), 0.1, failed=failed))
    assert learner.weights()["a"] > 0.9


def test_contexts_beyond_the_most_are_as_none() -> None:
    """Contexts without end, such as ids, do not grow the state without end."""
    learner = Thompson(["a", "b"], VALUE, contexts=True)
    for i in range(MOST_CONTEXTS + 50):
        learner.learn(Observation("a", 0.5, 1.0, 0.1, context=f"id-{i}"))
    assert MOST_CONTEXTS + 1 == len(learner.cells["quality"].rows)


def test_a_threshold_is_learned_from_units_of_other_thresholds() -> None:
    """Cheap answers with a score below one half are bad: that threshold wins, though it is drawn in a third only."""
    learner = Escalation(["0", "0.5", "1.01"], Objective("value", value_usd=0.1))
    rng = np.random.default_rng(2)
    for _ in range(900):
        arm = str(rng.choice(["0", "0.5", "1.01"]))
        score = float(rng.random())
        strong = score < float(arm)
        quality = 0.9 if strong or score > 0.5 else 0.1
        learner.learn(Observation(arm, 1 / 3, quality, 0.02 if strong else 0.001, score=score))
    assert learner.weights()["0.5"] > 0.9


def test_an_escalation_takes_thresholds_only() -> None:
    """An arm that is no threshold is refused by name."""
    with pytest.raises(ValueError, match="gpt"):
        Escalation(["gpt", "0.5"], VALUE)
