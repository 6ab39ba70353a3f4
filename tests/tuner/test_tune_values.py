"""Values added to, taken out of and repriced in an experiment that is running, while its runs go on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from trimtab_tracer.setting_values import PriceOverride
from trimtab_tuner.control import Actor, Conflict, Refused
from trimtab_tuner.tune import values

ADA = Actor("ada", "cli")
OWN, CHEAP, OTHER = "big", "small", "other"
KEY = json.dumps(OTHER)


@pytest.fixture
def world(world: Any) -> Any:
    """An agent, a sidecar's loop, and a third model that is as good and costs half."""
    world.success[OTHER], world.cost_usd[OTHER] = 0.9, 0.005
    return world


def seen(world: Any) -> int:
    """Version of the only experiment."""
    return int(world.rows("SELECT version FROM experiments")[0]["version"])


def add(world: Any, experiment: str, value: Any = OTHER, **known: Any) -> None:
    """Add a value as a person does."""
    values.add(world.control, world.store, experiment, value, version=seen(world), actor=ADA, **known)


def units(world: Any) -> dict[str, int]:
    """By arm how many units it has."""
    return {arm["arm"]: arm["units"] for arm in world.campaign()["verdict"]["arms"]}


def weights(world: Any) -> dict[str, float]:
    """As published."""
    return dict(world.campaign()["weights"][""])


def believed(world: Any) -> dict[str, dict[str, float]]:
    """By measure and arm the mean that the learner has seen, over all contexts."""
    cells = world.campaign()["state"]["learner"]["cells"]
    return {name: dict(zip(of["arms"], of["mean"][0], strict=True)) for name, of in cells.items()}


def test_a_value_is_added_drawn_and_learned_and_nothing_is_forgotten(world: Any) -> None:
    """From the next policy on it is drawn within the bounds; units of the others go on from where they were."""
    experiment = world.begin()
    world.run(100)
    before = units(world)
    add(world, experiment, why="a new one came out")
    assert sum(weights(world).values()) == pytest.approx(1.0)
    assert all(0.02 - 1e-9 <= share <= 0.98 for share in weights(world).values())
    assert world.share(OTHER) == weights(world)[KEY]
    world.run(300)
    after = units(world)
    assert after[KEY] > 0
    assert all(after[arm] >= n for arm, n in before.items())
    assert sum(after.values()) == world.campaign()["units"] == 400
    assert {"arm_added"} <= set(world.events())
    (audited,) = world.rows("SELECT actor, action, why FROM audit WHERE action = 'add_value'")
    assert (audited["actor"], audited["why"]) == (ADA.name, "a new one came out")


def test_a_value_that_is_taken_out_is_drawn_no_more_and_comes_back_with_nothing_known(world: Any) -> None:
    """Its units stay; once it is back it is learned anew."""
    experiment = world.begin()
    add(world, experiment)
    world.run(200)
    drawn = units(world)[KEY]
    values.remove(world.control, experiment, OTHER, version=seen(world), actor=ADA)
    assert world.share(OTHER) == 0.0
    world.run(100)
    assert units(world)[KEY] == drawn
    add(world, experiment)
    assert world.share(OTHER) >= 0.02 - 1e-9
    world.run(100)
    assert units(world)[KEY] > drawn
    assert len(world.rows("SELECT arms FROM experiments")[0]["arms"]) == 3


def test_the_last_value_that_is_taken_out_ends_the_experiment(world: Any) -> None:
    """The code's own holds; the experiment can't be changed any more."""
    experiment = world.begin()
    values.remove(world.control, experiment, CHEAP, version=seen(world), actor=ADA)
    assert (world.campaign()["status"], world.control.published().document["rules"]) == ("stopped", [])
    with pytest.raises(Conflict):
        add(world, experiment)


@pytest.mark.parametrize("value", [CHEAP, 7, "", {"a": 1}])
def test_what_cant_be_tried_changes_nothing(world: Any, value: Any) -> None:
    """A value that is tried already, and what no rule may hold."""
    experiment = world.begin()
    version = world.control.published().version
    with pytest.raises(Refused):
        add(world, experiment, value)
    assert (world.control.published().version, seen(world)) == (version, 1)


def test_two_people_who_change_it_at_once_get_one_change_and_one_clear_message(world: Any) -> None:
    """The second one is told who was first."""
    experiment = world.begin()
    version = seen(world)
    add(world, experiment)
    with pytest.raises(Conflict, match="ada added a value"):
        values.remove(world.control, experiment, CHEAP, version=version, actor=ADA)


def test_the_incumbent_and_fixed_shares_stay(world: Any) -> None:
    """The code's own can't be taken out, and an experiment with fixed shares has nothing to learn."""
    experiment = world.begin()
    with pytest.raises(Refused, match="can't be removed"):
        values.remove(world.control, experiment, None, version=1, actor=ADA)
    world.control.stop_experiment(experiment, version=1, actor=ADA)
    arms = [{"incumbent": True, "weight": 0.5}, {"value": CHEAP, "weight": 0.5}]
    fixed = world.control.start_experiment(
        "model", {"model": OWN}, arms, seen=world.control.published().version, actor=ADA
    )
    with pytest.raises(Refused, match="fixed shares"):
        values.add(world.control, world.store, fixed["experiment_id"], OTHER, version=1, actor=ADA)


def test_a_price_changes_costs_and_never_success(world: Any) -> None:
    """Ten times as dear, at once, in what is believed of its cost; what was compared of it before is void, and success
    and the other values stay what they were."""
    experiment = world.begin()
    world.run(400, batch=50)
    before, verdicts = believed(world), world.campaign()["verdict"]["arms"]
    values.reprice(world.control, experiment, CHEAP, factor=10.0, version=seen(world), actor=ADA)
    after, (own, cheap) = believed(world), world.campaign()["verdict"]["arms"]
    assert after["cost"][json.dumps(CHEAP)] == pytest.approx(10 * before["cost"][json.dumps(CHEAP)])
    assert after["cost"]["incumbent"] == before["cost"]["incumbent"]
    assert after["quality"] == before["quality"]
    assert cheap["cost_usd"]["estimate"] is None
    assert (own["cost_usd"], cheap["quality"]) == (verdicts[0]["cost_usd"], verdicts[1]["quality"])
    assert "price_changed" in world.events()


def test_a_look_that_was_under_way_does_not_undo_a_change(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning that began before a value was added is not written over it; its units are learned at the next look."""
    experiment = world.begin()
    world.run(20)
    record = world.control.record_learning

    def first_a_person(experiment_id: str, learned: Any) -> bool:
        monkeypatch.setattr(world.control, "record_learning", record)
        add(world, experiment)
        return record(experiment_id, learned)

    monkeypatch.setattr(world.control, "record_learning", first_a_person)
    world.run(20)
    assert KEY in weights(world)
    world.tuner.step()
    assert sum(units(world).values()) == 40


def test_another_price_list_is_noticed_once_by_a_sidecar_that_starts(world: Any) -> None:
    """The user's prices for one model are halved: what was learned of its costs is halved, the rest stays."""
    models = [PriceOverride(model, input=price, output=price) for model, price in ((OWN, 8.0), (CHEAP, 2.0))]
    world.priced(models)
    world.restarted()
    world.begin()
    world.run(400, batch=50)
    before = believed(world)
    world.priced([models[0], replace(models[1], input=1.0, output=1.0)])
    for _ in range(2):
        world.restarted()
        world.tuner.step()
    after = believed(world)
    assert after["cost"][json.dumps(CHEAP)] == pytest.approx(before["cost"][json.dumps(CHEAP)] / 2, rel=1e-3)
    assert after["cost"]["incumbent"] == before["cost"]["incumbent"]
    assert after["quality"] == before["quality"]
    assert world.events().count("price_changed") == 1
