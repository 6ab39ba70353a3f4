"""What every learner promises, whatever it learns: weights that can be published, and a state that comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tuner.learn import FLOOR, Learner, Objective, Observation, StateError
from trimtab_tuner.learn.escalation import Escalation
from trimtab_tuner.learn.simple import EpsilonGreedy, FixedSplit
from trimtab_tuner.learn.thompson import Thompson

ARMS = ["0.2", "0.5", "0.9"]
VALUE = Objective("value", value_usd=0.05)
MAKERS: dict[str, Callable[[], Any]] = {
    "fixed": lambda: FixedSplit(dict.fromkeys(ARMS, 1.0)),
    "epsilon-greedy": lambda: EpsilonGreedy(ARMS, value_usd=0.05),
    "thompson": lambda: Thompson(ARMS, VALUE),
    "thompson-cheapest": lambda: Thompson(ARMS, Objective("cheapest"), prices={"0.2": 0.01}),
    "thompson-contexts": lambda: Thompson(ARMS, VALUE, contexts=True),
    "escalation": lambda: Escalation(ARMS, VALUE),
}
AMOUNTS = st.none() | st.floats(0, 1e6)
OBSERVATIONS = st.builds(
    Observation,
    value=st.sampled_from([*ARMS, "stranger"]),
    propensity=st.floats(0.02, 1.0),
    quality=st.none() | st.floats(0, 1),
    cost_usd=AMOUNTS,
    latency_s=AMOUNTS,
    failed=st.booleans(),
    context=st.sampled_from([None, "a", "b"]),
    late=st.booleans(),
    score=st.none() | st.floats(0, 1),
)


def nan_everywhere(state: Any) -> Any:
    """The same with NaN for every number that is no whole one."""
    if isinstance(state, dict):
        return {key: nan_everywhere(value) for key, value in state.items()}
    if isinstance(state, list):
        return [nan_everywhere(value) for value in state]
    return float("nan") if isinstance(state, float) else state


@pytest.fixture(params=list(MAKERS))
def made(request: pytest.FixtureRequest) -> Learner:
    return MAKERS[request.param]()


def assert_publishable(learner: Learner) -> None:
    for context in (None, "a", "never seen"):
        weights = learner.weights(context)
        assert pytest.approx(1.0) == sum(weights.values())
        assert set(weights) <= set(learner.arms)
        if len(weights) > 1:
            assert all(FLOOR - 1e-12 <= weight <= 1 - FLOOR + 1e-12 for weight in weights.values())


@pytest.mark.parametrize("name", MAKERS)
@given(observations=st.lists(OBSERVATIONS, max_size=25))
@settings(max_examples=8, deadline=None)
def test_weights_can_be_published_whatever_was_observed(name: str, observations: list[Observation]) -> None:
    """Weights sum to 1 and lie in [0.02, 0.98], and a state is JSON from which the same learner comes back."""
    learner = MAKERS[name]()
    for observation in observations:
        learner.learn(observation)
    assert_publishable(learner)
    state = json.loads(json.dumps(learner.state(), allow_nan=False))
    again = type(learner).of_state(state)
    assert state == again.state()
    again.learn(Observation("0.5", 0.5, 1.0, 0.01, 1.0, context="a", score=0.4))
    learner.learn(Observation("0.5", 0.5, 1.0, 0.01, 1.0, context="a", score=0.4))
    assert learner.weights("a") == again.weights("a")


def test_at_first_all_arms_are_drawn(made: Learner) -> None:
    """Before anything is known no arm is left out."""
    assert set(ARMS) == set(made.weights())


def test_an_unknown_arm_teaches_nothing(made: Learner) -> None:
    """An observation of an arm that is not in the set leaves the weights as they are."""
    before = made.weights()
    made.learn(Observation("stranger", 0.5, 1.0, 0.01, 1.0, score=0.3))
    assert before == made.weights()


def test_arms_come_and_go(made: Learner) -> None:
    """A new arm is drawn, a removed one is not, and what can't be is refused with the arm's name."""
    made.add_arm("0.7")
    assert "0.7" in made.weights()
    with pytest.raises(ValueError, match=r"0\.7"):
        made.add_arm("0.7")
    for arm in ARMS:
        made.remove_arm(arm)
        assert_publishable(made)
    assert {"0.7": 1.0} == made.weights()
    with pytest.raises(KeyError):
        made.remove_arm("0.2")
    with pytest.raises(ValueError, match="last"):
        made.remove_arm("0.7")


def test_a_reset_arm_is_tried_again(made: Learner) -> None:
    """After a reset an arm that had failed is drawn as if nothing were known of its quality."""
    for _ in range(60):
        for arm, quality in (("0.2", 0.0), ("0.5", 1.0), ("0.9", 1.0)):
            made.learn(Observation(arm, 0.3, quality, 0.001, 1.0, score=0.3))
    before = made.weights().get("0.2", 0.0)
    made.reset("0.2")
    assert made.weights().get("0.2", 0.0) >= before
    with pytest.raises(KeyError):
        made.reset("stranger")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state | {"schema": 99},
        lambda state: state | {"kind": "other"},
        lambda state: state | {"surprise": 1},
        lambda state: {key: value for key, value in state.items() if key in ("kind", "schema")},
        nan_everywhere,
        lambda state: [state],
    ],
)
def test_a_state_that_does_not_fit_is_refused(made: Learner, spoil: Callable[[Any], Any]) -> None:
    """Another version or kind, unknown, missing or infinite numbers: one error that says where, and no learner."""
    for _ in range(3):
        made.learn(Observation("0.5", 0.5, 1.0, 1.0, 1.0, score=0.3))
    with pytest.raises(StateError):
        type(made).of_state(spoil(made.state()))


@pytest.mark.parametrize("name", ["epsilon-greedy", "thompson", "thompson-cheapest", "thompson-contexts"])
def test_the_better_arm_gets_most(name: str) -> None:
    """Of arms of one price the one with the better outcomes is drawn most, in a late world too."""
    learner = MAKERS[name]()
    learner.incumbent = "0.9"
    for i in range(100):
        for arm, quality in (("0.2", i % 2), ("0.5", 0.9), ("0.9", i % 2)):
            learner.learn(Observation(arm, 0.3, None, 0.01 if arm != "0.5" else 0.009, context="a"))
            learner.learn(Observation(arm, 0.3, float(quality), context="a", late=True))
    weights = learner.weights("a")
    assert "0.5" == max(weights, key=weights.__getitem__)
