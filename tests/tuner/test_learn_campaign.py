"""A campaign from its cold start to a promotion and a rollback, and what it does when something is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from trimtab_tuner.learn import Advice, Arm, Campaign, CampaignSpec, Event, Objective, Observation, StateError
from trimtab_tuner.learn.selfcheck import half

SECOND = 10**9
SPEC = CampaignSpec("c1", (Arm("old"), Arm("new", "m2"), Arm("bad", "m3")), "old", Objective("cheapest", 0.05))
COST = {"old": 0.01, "new": 0.002, "bad": 0.001, "late": 0.001}


class World:
    """Draws from what a campaign publishes every ten units, and tells it what came of it."""

    def __init__(self, campaign: Campaign, success: dict[str, float], seed: int = 0) -> None:
        self.campaign, self.success = campaign, success
        self.rng = np.random.default_rng(seed)
        self.at = 0
        self.events: list[Event] = []
        self.drawn: list[str] = []
        self.advice = self.advance()

    def advance(self) -> Advice:
        self.advice = self.campaign.advance(self.at * SECOND)
        self.events += self.advice.events
        return self.advice

    def run(self, units: int, promote: bool = False) -> None:
        for _ in range(units):
            weights = self.advice.weights[None]
            arm = str(self.rng.choice(list(weights), p=np.array(list(weights.values())) / sum(weights.values())))
            quality = float(self.rng.random() < self.success[arm])
            self.drawn.append(arm)
            self.campaign.observe(
                Observation(arm, weights[arm], quality, COST[arm], 1.0, at_ns=self.at * SECOND, unit=str(self.at))
            )
            self.at += 1
            if self.at % 10 == 0:
                self.advance()
                if promote and self.advice.ready and self.advice.phase == "exploring":
                    self.campaign.promote(self.advice.ready, self.at * SECOND)
                    self.advance()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def promoted_world(seed: int = 0) -> World:
    world = World(Campaign(SPEC), {"old": 0.9, "new": 0.9, "bad": 0.5}, seed)
    while world.advice.phase == "exploring" and world.at < 6000:
        world.run(100, promote=True)
    assert "promoted" == world.advice.phase
    return world


def test_a_cold_start_keeps_the_incumbent() -> None:
    """Before evidence the incumbent has at least one minus the exploration share, every challenger the floor."""
    weights = Campaign(SPEC).advance(0).weights[None]
    assert weights["old"] >= 1 - SPEC.exploration - 1e-9
    assert all(weights[arm] >= 0.02 - 1e-9 for arm in ("new", "bad"))


def test_a_cheaper_equal_arm_earns_its_place_and_falls_from_it() -> None:
    """It passes the A/A check, is promoted, keeps the incumbent a holdout, falls, and is rolled back in 100 units."""
    world = promoted_world()
    assert {"new": 0.95, "old": 0.05} == pytest.approx(world.advice.weights[None])
    assert "new" == world.advice.leader
    assert ["aa_passed", "promotion_ready", "promoted"] == [
        kind for kind in world.kinds() if kind in ("aa_passed", "promotion_ready", "promoted")
    ]
    world.run(200)
    world.success["new"] = 0.5
    world.run(100)
    assert "rollback" in world.kinds()
    assert "exploring" == world.advice.phase
    assert "new" not in world.advice.weights[None]
    assert not world.advice.verdicts["new"].in_set


def test_a_bad_arm_is_dropped_and_never_ready() -> None:
    """An arm far below the margin leaves the candidate set with figures; it may be tried again when asked for."""
    world = World(Campaign(SPEC), {"old": 0.9, "new": 0.4, "bad": 0.4})
    world.run(1500)
    dropped = [event for event in world.events if event.kind == "arm_dropped"]
    assert {"new", "bad"} == {event.arm for event in dropped}
    assert all(event.figures["quality_high"] < -0.05 for event in dropped)
    assert "promotion_ready" not in world.kinds()
    assert {None: {"old": 1.0}} == world.advice.weights
    world.campaign.add_arm(Arm("new", "m2"))
    assert "new" in world.advance().weights[None]


def test_a_verdict_holds_the_truth() -> None:
    """Quality, its change and the saving of each arm lie within their intervals, and are counted."""
    world = World(Campaign(SPEC), {"old": 0.8, "new": 0.8, "bad": 0.7})
    world.run(1000)
    verdict = world.advice.verdicts["new"]
    assert world.drawn.count("new") == verdict.units == verdict.rewards
    for bounds, truth in (
        (verdict.quality, 0.8),
        (verdict.quality_change, 0.0),
        (verdict.cost_usd, 0.002),
        (verdict.cost_change_usd, -0.008),
    ):
        assert bounds.low is not None
        assert bounds.high is not None
        assert bounds.low - 1e-9 <= truth <= bounds.high + 1e-9
    assert (None, None, None) == world.advice.verdicts["old"].quality_change


def test_a_state_comes_back_as_it_was() -> None:
    """A campaign from its state, through JSON, says the same as the one that goes on; also when promoted."""
    for world in (World(Campaign(SPEC), {"old": 0.9, "new": 0.85, "bad": 0.5}), promoted_world()):
        world.run(100)
        text = json.dumps(world.campaign.state(), allow_nan=False)
        again = World(Campaign.of_state(SPEC, json.loads(text)), world.success, 7)
        world.rng = np.random.default_rng(7)
        again.at = world.at
        world.advance()
        again.run(50)
        world.run(50)
        assert world.advice == again.advice


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state | {"schema": 2},
        lambda state: state | {"campaign_id": "another"},
        lambda state: state | {"arms": [["old", None, None]]},
        lambda state: state | {"weights": [[None, {"old": 0.2}]]},
        lambda state: state | {"promoted": "nobody"},
        lambda state: state | {"learner": None},
        lambda state: {key: value for key, value in state.items() if key != "evidence"},
        lambda state: state | {"evidence": state["evidence"] | {"units": [float("nan")] * 3}},
        lambda state: "half a sta",
    ],
)
def test_a_spoiled_state_is_refused_and_the_incumbent_is_left(spoil: Any) -> None:
    """One error names the place; a new campaign that is halted with it gives the incumbent alone and tells why."""
    world = World(Campaign(SPEC), {"old": 0.5, "new": 0.5, "bad": 0.5})
    world.run(30)
    with pytest.raises(StateError) as refused:
        Campaign.of_state(SPEC, spoil(world.campaign.state()))
    campaign = Campaign(SPEC)
    campaign.halt(str(refused.value), SECOND)
    advice = campaign.advance(SECOND)
    assert {None: {"old": 1.0}} == advice.weights
    assert ["halted"] == [event.kind for event in advice.events]
    campaign.resume()
    assert 3 == len(campaign.advance(SECOND).weights[None])


def test_nan_rewards_are_told_once_and_halt_what_is_broken() -> None:
    """A NaN is not learned from; when a fifth of the readings is such, only the incumbent is left, with a sentence."""
    campaign = Campaign(SPEC)
    good = Observation("old", 0.8, 1.0, 0.01, at_ns=SECOND)
    before = campaign.state()["learner"]
    campaign.observe(good._replace(quality=float("nan")))
    assert before == campaign.state()["learner"]
    for _ in range(30):
        campaign.observe(good._replace(quality=float("nan")))
    advice = campaign.advance(SECOND)
    assert ["observation_refused", "halted"] == [event.kind for event in advice.events]
    assert {None: {"old": 1.0}} == advice.weights
    campaign.observe(good)
    assert 1 == campaign.advance(SECOND).verdicts["old"].units


def test_a_clock_that_goes_back_is_told_once() -> None:
    """Times before the latest one count as that one; nothing raises, nothing is lost."""
    campaign = Campaign(SPEC)
    for at in (10_000, 5, 10_001, 7):
        campaign.observe(Observation("old", 0.8, 1.0, 0.01, at_ns=at * SECOND))
    advice = campaign.advance(3 * SECOND)
    assert ["clock_back"] == [event.kind for event in advice.events]
    assert 4 == advice.verdicts["old"].units


def test_exploring_pauses_at_its_cap_and_goes_on_a_day_later() -> None:
    """When challengers cost the cap, the incumbent alone is drawn until 24 hours have passed."""
    spec = CampaignSpec("c2", SPEC.arms, "old", usd_per_day=0.05)
    world = World(Campaign(spec), {"old": 0.9, "new": 0.9, "bad": 0.9})
    world.run(400)
    assert {None: {"old": 1.0}} == world.advice.weights
    assert ["budget_stop"] == [kind for kind in world.kinds() if kind.startswith("budget")]
    world.at += 26 * 3600
    assert "new" in world.advance().weights[None]
    assert "budget_resumed" in world.kinds()


def test_arms_and_prices_change_live() -> None:
    """A new arm is drawn at once, a removed one no more, a declared price decides the cost, and each is told."""
    world = World(Campaign(SPEC), {"old": 0.9, "new": 0.9, "bad": 0.9, "late": 0.9})
    world.run(100)
    world.campaign.add_arm(Arm("late", "m4", 0.001))
    world.campaign.remove_arm("bad")
    world.campaign.reprice("new", 0.5)
    assert {"old", "new", "late"} == set(world.advance().weights[None])
    world.run(300)
    assert world.advice.weights[None]["new"] < world.advice.weights[None]["late"]
    assert {"arm_added", "arm_dropped", "price_changed"} <= set(world.kinds())
    with pytest.raises(ValueError, match="old"):
        world.campaign.remove_arm("old")
    with pytest.raises(ValueError, match="nobody"):
        world.campaign.promote("nobody", 0)


def test_a_fall_of_an_arm_while_exploring_is_learned_anew() -> None:
    """The incumbent's drift voids all comparisons, and arms that were given up are tried again."""
    world = World(Campaign(SPEC), {"old": 0.95, "new": 0.95, "bad": 0.3})
    world.run(1200)
    assert "bad" not in world.advice.weights[None]
    world.success["old"] = 0.3
    world.run(400)
    assert "old" in [event.arm for event in world.events if event.kind == "drift"]
    assert "bad" in [event.arm for event in world.events if event.kind == "arm_readmitted"]


def test_shadow_pairs_warm_the_learner_and_not_the_gates() -> None:
    """Twenty tasks answered by all arms steer the first weights; no comparison has counted them."""
    campaign = Campaign(SPEC)
    quality = {"old": 1.0, "new": 1.0, "bad": 0.0}
    campaign.warm({arm: Observation(arm, 1.0, q, COST[arm]) for arm, q in quality.items()} for _ in range(20))
    advice = campaign.advance(0)
    assert advice.weights[None]["new"] > 3 * advice.weights[None]["bad"]
    assert 0 == advice.verdicts["new"].units
    assert advice.verdicts["new"].quality_change.estimate is None


def test_outcomes_that_reach_the_wrong_half_fail_the_check() -> None:
    """Where the incumbent's outcomes depend on the unit's hash, the A/A check fails and nothing is promoted."""
    campaign = Campaign(SPEC)
    rng = np.random.default_rng(0)
    for at in range(1000):
        if at % 50 == 0:
            weights = campaign.advance(at * SECOND).weights[None]
        arm = str(rng.choice(list(weights), p=list(weights.values())))
        quality = 1.0 if arm == "new" else float(half(str(at)))
        campaign.observe(Observation(arm, weights[arm], quality, COST[arm], at_ns=at * SECOND, unit=str(at)))
    advice = campaign.advance(1000 * SECOND)
    assert "failed" == campaign.state()["aa"]
    assert advice.ready is None


def test_draws_that_are_not_as_logged_are_seen() -> None:
    """An arm logged with .1 and seen in a third of the units blocks promotion; honest draws do not."""
    for share, told in ((0.1, False), (0.33, True)):
        campaign = Campaign(SPEC)
        campaign.advance(0)
        rng = np.random.default_rng(1)
        kinds: list[str] = []
        for at in range(800):
            arm = "new" if rng.random() < share else "old"
            propensity = 0.1 if arm == "new" else 0.9
            campaign.observe(Observation(arm, propensity, 1.0, 0.01, at_ns=at * SECOND, unit=str(at)))
        kinds += [event.kind for event in campaign.advance(800 * SECOND).events]
        assert told == ("share_mismatch" in kinds)


def test_a_spec_that_can_not_be_is_refused() -> None:
    """One arm, a stranger as incumbent, too little exploration for the arms, impossible shares."""
    for change in (
        {"arms": (Arm("old"),)},
        {"incumbent": "stranger"},
        {"exploration": 0.03},
        {"alpha": 2.0},
        {"usd_per_day": float("nan")},
    ):
        with pytest.raises(ValueError, match=r"."):
            CampaignSpec(**({"campaign_id": "x", "arms": SPEC.arms, "incumbent": "old"} | change))  # type: ignore[arg-type]
