"""The promise of the gate, by simulation: a challenger that may not be promoted is not, however often one looks.

The full simulation (300 seeds on real answers) is ``benchmarks/tune_replay.py --scenario placebo``; this one is small
enough to run always, and bets on the harder case of yes/no answers.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from trimtab_tuner.learn import Objective
from trimtab_tuner.learn.evidence import Evidence
from trimtab_tuner.learn.gate import deserves
from trimtab_tuner.learn.observation import Observation

CAMPAIGNS, UNITS, ALPHA = 25, 500, 0.05


def ever_promoted(seed: int, change: float, cost: float) -> bool:
    """Whether the gate lets a challenger pass at any of the looks, under weights that change on the way."""
    rng = np.random.default_rng(seed)
    evidence = Evidence(["old", "new"], "old")
    weights = np.array([0.8, 0.2])
    for at in range(UNITS):
        arm = int(rng.random() < weights[1])
        quality = float(rng.random() < 0.85 + change * arm)
        spent = float(rng.lognormal(-0.5, 1.0)) * (cost if arm else 1.0)
        evidence.add(Observation(("old", "new")[arm], float(weights[arm]), quality, spent), weights)
        if at % 25 == 24:
            if deserves(Objective("cheapest", 0.1), evidence.compared("new", ALPHA)):
                return True
            better = evidence.quality.estimated(1)[1].estimate > 0
            weights = np.array([0.5, 0.5]) if better else np.array([0.9, 0.1])
    return False


def test_false_promotions_stay_within_alpha() -> None:
    """A challenger exactly at the margin, and one of equal cost, are promoted in at most what 5 % lets chance do."""
    most = stats.binom.ppf(0.999, CAMPAIGNS, ALPHA)
    for change, cost in ((-0.1, 0.5), (0.0, 1.0)):
        assert sum(ever_promoted(seed, change, cost) for seed in range(CAMPAIGNS)) <= most


def test_a_good_challenger_is_promoted() -> None:
    """An equal one at a tenth of the cost passes in most of the same campaigns: the gate is not merely shut."""
    assert sum(ever_promoted(seed, 0.03, 0.1) for seed in range(10)) >= 7
