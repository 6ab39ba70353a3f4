"""The check that draws come up as often as they were drawn: it sees losses, and no loss where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_tuner.learn.selfcheck import SelfCheck

ARMS = ["incumbent", "other"]


def first_alarm(seed: int, share: float, units: int, lost: float = 0.0) -> int | None:
    """After how many units the check complains; looked at after every twentieth. None: never."""
    rng = np.random.default_rng(seed)
    check = SelfCheck(ARMS)
    for n in range(1, units + 1):
        column = int(rng.random() < share)
        if column == 1 and rng.random() < lost:
            continue
        check.drew(column, share if column else 1 - share, np.array([1 - share, share]))
        if n % 20 == 0 and check.mismatched():
            return n
    return None


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_draws_as_they_were_logged_raise_no_alarm(share: float) -> None:
    """In 200 experiments in order, looked at all the time, at most two are complained of: also where one arm nearly
    always comes up, so that for long nothing else is seen."""
    alarms = [seed for seed in range(200) if first_alarm(seed, share, 400) is not None]
    assert len(alarms) <= 2, alarms


def test_units_of_one_arm_that_get_lost_are_seen() -> None:
    """Where half of an arm's units never arrive, most experiments say so within 600 units."""
    seen = sum(first_alarm(seed, 0.5, 600, lost=0.5) is not None for seed in range(20))
    assert seen >= 18
