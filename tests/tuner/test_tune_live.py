"""Learning live: runs of an agent that draws as agents do, and what the loop makes of them, through restarts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from trimtab_tracer.records import Record
from trimtab_tuner.control import SIDECAR, Actor, Refused
from trimtab_tuner.tune.begin import begin

ADA = Actor("ada", "cli")
SECOND = 10**9
OWN, CHEAP = "big", "small"


def test_what_is_proven_is_proposed_with_its_effect_and_accepting_it_ends_the_experiment(world: Any) -> None:
    """A value that costs a tenth at the same success becomes one proposal whose intervals hold the true changes."""
    experiment = world.begin(margin=0.1)
    world.run(1500)
    (row,) = world.rows("SELECT * FROM recommendations")
    assert (row["learned_by"], row["status"], row["experiment_id"]) == ("effect", "proposed", experiment)
    assert (row["knob"], row["to_value"], row["file"], row["line"]) == ("model", CHEAP, "shop.py", 12)
    cost, success = row["expected"]["cost"], row["expected"]["success"]
    assert cost["low"] <= -9000 <= cost["high"] < 0
    assert -0.1 < success["low"] <= 0.0 <= success["high"]
    assert cost["basis"].startswith("effect:")
    assert row["calls_per_day"] == 1500
    world.control.accept(row["recommendation_id"], version=row["version"], actor=ADA)
    assert world.campaign()["status"] == "stopped"
    (rule,) = world.control.published().document["rules"]
    assert (rule["value"], rule["source"], rule["match"]) == (CHEAP, "human", {"model": OWN})
    world.run(50)
    assert [row["status"] for row in world.rows("SELECT status FROM recommendations")] == ["accepted"]


def test_until_it_is_proven_no_more_than_the_share_gets_it(world: Any) -> None:
    """However good it looks, runs get other values in at most the share that was asked for."""
    world.begin(max_share=0.3, margin=0.1)
    for _ in range(6):
        world.run(50)
        assert world.share() <= 0.3 + 1e-9
    drawn = world.rows("SELECT DISTINCT propensity FROM decisions WHERE source = 'experiment'")
    assert all(0.02 <= row["propensity"] <= 0.98 for row in drawn)


def test_in_auto_it_is_promoted_and_rolled_back_when_it_turns_bad(world: Any) -> None:
    """The sidecar promotes what is proven and keeps comparing; when the value fails, the code's own leads again."""
    world.control.set_mode("model", "auto", seen=1, actor=ADA)
    world.begin(margin=0.1)
    world.run(1500)
    assert world.campaign()["promoted_arm"] == json.dumps(CHEAP)
    assert 0.9 <= world.share() <= 0.98
    assert world.rows("SELECT * FROM recommendations") == []
    world.success[CHEAP] = 0.3
    world.run(200, batch=10)
    assert {"promoted", "rollback"} <= set(world.events())
    assert world.share() <= 0.5
    audited = world.rows("SELECT action FROM audit WHERE subject_kind = 'experiment' AND via = 'sidecar'")
    assert {"promote", "roll_back"} <= {row["action"] for row in audited}


def test_every_run_counts_once_through_restarts(world: Any) -> None:
    """A loop that is started anew after every look learns exactly what one that ran all the time learns."""
    world.begin()
    world.run(100)
    for _ in range(6):
        world.restarted()
        world.run(20)
    campaign = world.campaign()
    arms = {arm["arm"]: arm["units"] for arm in campaign["verdict"]["arms"]}
    assert campaign["units"] == sum(arms.values()) == world.runs
    drawn = world.rows(f"SELECT count(*) AS n FROM decisions WHERE value::VARCHAR = '\"{CHEAP}\"'")
    assert arms[json.dumps(CHEAP)] == drawn[0]["n"]


def test_outcomes_that_come_late_are_learned_when_they_come(world: Any) -> None:
    """Costs are known at a run's end, success when somebody says it; each is counted once."""
    world.begin()
    world.run(100, says=lambda number: number % 2 == 0)
    before = {arm["arm"]: (arm["units"], arm["rewards"]) for arm in world.campaign()["verdict"]["arms"]}
    assert sum(units for units, _ in before.values()) == 100
    assert sum(rewards for _, rewards in before.values()) == 50
    world.tell()
    world.tuner.step()
    after = {arm["arm"]: (arm["units"], arm["rewards"]) for arm in world.campaign()["verdict"]["arms"]}
    assert sum(units for units, _ in after.values()) == sum(rewards for _, rewards in after.values()) == 100


@pytest.mark.parametrize("state", ["{}", '{"kind": "campaign"}', "[1]", '{"a": NaN}'.replace("NaN", "null")])
def test_a_state_that_cant_be_read_ends_the_experiment_and_loses_no_run(world: Any, state: str) -> None:
    """The code's own value holds, one event says why, and another experiment learns from the same runs."""
    experiment = world.begin()
    world.run(100)
    with world.store.transaction() as con:
        con.execute("UPDATE campaigns SET state = ?, updated_ns = updated_ns + 1", [state])
    world.tuner.step()
    world.tuner.step()
    assert world.campaign()["status"] == "stopped"
    assert world.control.published().document["rules"] == []
    assert world.events().count("unreadable") == 1
    (earlier,) = world.rows("SELECT * FROM experiments")
    known: dict[str, Any] = {"after": earlier, "store": world.store}
    again = begin(world.control, "model", {"model": OWN}, [CHEAP], {}, actor=ADA, **known)
    world.tuner.step()
    units = world.rows(f"SELECT verdict FROM campaigns WHERE experiment_id = '{again['experiment_id']}'")
    assert experiment != again["experiment_id"]
    assert sum(arm["units"] for arm in units[0]["verdict"]["arms"]) == 100


def test_modes_say_what_may_be_tried(world: Any, refused_runs: Callable[..., list[Record]]) -> None:
    """Observed knobs refuse experiments and end running ones; in auto a proposal is tried by itself, once."""
    world.begin()
    seen = world.control.published().version
    world.control.set_mode("*", "observe", seen=seen, actor=ADA)
    assert world.campaign()["status"] == "stopped"
    with pytest.raises(Refused, match="only observed"):
        world.begin()
    seen = world.control.published().version
    world.control.set_mode("max_retries", "auto", seen=seen, actor=ADA)
    world.control.propose([_proposal("max_retries", 3)])
    for _ in range(3):
        world.tuner.step()
    running = world.rows("SELECT knob, started_by FROM experiments WHERE status = 'running'")
    assert running == [{"knob": "max_retries", "started_by": SIDECAR.name}]


def test_a_rejected_proposal_comes_again_when_the_evidence_has_doubled(world: Any) -> None:
    """Somebody who said no on 20 observations is not asked again on 30, but on 40."""
    (first,) = (_proposal("max_retries", 3, n=20),)
    world.control.propose([first])
    (row,) = world.rows("SELECT * FROM recommendations")
    world.control.reject(row["recommendation_id"], version=1, actor=ADA, why="too few")
    for n, status in ((30, "rejected"), (39, "rejected"), (40, "proposed")):
        world.control.propose([_proposal("max_retries", 3, n=n)])
        assert world.rows("SELECT status FROM recommendations") == [{"status": status}], n
    (last,) = world.rows("SELECT why FROM audit ORDER BY audit_id DESC LIMIT 1")
    assert "40 observations instead of 20" in last["why"]


def test_a_spent_budget_pauses_and_does_not_end(world: Any) -> None:
    """While exploring pauses nothing is drawn; the next day it goes on by itself."""
    world.begin(explore_usd_per_day=0.002)
    world.run(100, batch=20)
    assert "budget_stop" in world.events()
    assert (world.campaign()["status"], world.control.published().document["rules"]) == ("running", [])
    world.now_ns += 26 * 3600 * SECOND
    world.run(20, batch=20)
    assert "budget_resumed" in world.events()
    assert world.share() > 0


def test_a_run_that_draws_at_two_lines_is_paid_for_once(world: Any) -> None:
    """What counts against the budget for exploring is the cost of each run in which another value was drawn, once."""
    world.lines = ("s1", "s2")
    world.begin(explore_usd_per_day=100)
    world.run(300, batch=50)
    explored = """
        SELECT sum(cost) AS usd FROM (
            SELECT sum(c.cost_musd) / 1e6 AS cost
            FROM calls AS c
            WHERE c.run_id IN (
                SELECT k.run_id FROM decisions AS d JOIN calls AS k USING (call_id)
                WHERE d.source = 'experiment' AND d.drawn IS NULL
            )
            GROUP BY c.run_id
        )
    """
    (row,) = world.rows(explored)
    hours = world.campaign()["state"]["spending"]["hours"]
    assert sum(hours.values()) == pytest.approx(row["usd"])
    assert world.campaign()["units"] == 2 * world.runs


def test_thresholds_of_an_escalation_are_values_like_others(world: Any) -> None:
    """Where a check gives grades the question is from which one on; each threshold is drawn with its probability."""
    values = [{"model": CHEAP, "verify": ["cites"], "threshold": threshold} for threshold in (0.5, 0.8)]
    row = begin(world.control, "escalate", {"model": OWN}, values, {}, actor=ADA)
    (rule,) = world.control.published().document["rules"]
    assert [arm.get("value") for arm in rule["arms"]] == [None, *values]
    assert sum(arm["weight"] for arm in rule["arms"]) == pytest.approx(1.0)
    assert all(0.02 <= arm["weight"] <= 0.98 for arm in rule["arms"])
    world.tuner.step()
    assert world.campaign()["status"] == "running"
    world.control.stop_experiment(row["experiment_id"], version=row["version"], actor=ADA)
    wrong = [values[0] | {"threshold": 1.5}]
    with pytest.raises(Refused, match="threshold"):
        begin(world.control, "escalate", {"model": OWN}, wrong, {}, actor=ADA)


def test_taking_the_policy_back_does_not_bring_back_what_failed(world: Any) -> None:
    """Whatever weights an earlier policy had, the next look draws by what is known now; a drop is for good."""
    world.control.set_mode("model", "auto", seen=1, actor=ADA)
    world.begin(margin=0.1)
    world.run(1500)
    led = world.control.published().version
    assert world.share() >= 0.9
    world.success[CHEAP] = 0.3
    world.run(200, batch=20)
    assert "rollback" in world.events()
    world.control.roll_back_policy(led, seen=world.control.published().version, actor=ADA)
    assert world.share() >= 0.9
    world.run(20, batch=20)
    assert world.share() <= 0.5


def test_the_drawn_arm_counts_and_not_its_value(world: Any) -> None:
    """Where the code itself names the value that is tried, a run that drew the code's own is the incumbent's."""
    world.own = lambda number: CHEAP if number % 2 else OWN
    world.begin()
    world.run(200)
    arms = {arm["arm"]: arm["units"] for arm in world.campaign()["verdict"]["arms"]}
    assert "share_mismatch" not in world.events()
    drawn = world.rows("SELECT count(*) AS n FROM decisions WHERE drawn = 'incumbent'")
    assert arms["incumbent"] == drawn[0]["n"]


def test_a_busy_store_ends_no_experiment(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database refuses is tried again at the next look, and counts once."""
    world.begin()
    world.run(20)

    def busy(*_: Any) -> None:
        raise duckdb.TransactionException("busy")

    with monkeypatch.context() as patched:
        patched.setattr(world.control, "record_learning", busy)
        with pytest.raises(duckdb.TransactionException):
            world.run(20)
    world.tuner.step()
    assert (world.campaign()["status"], world.campaign()["units"]) == ("running", 40)


def test_what_a_person_accepted_is_rolled_back_when_runs_fail_under_it(world: Any) -> None:
    """After 200 runs at .9 a change is accepted under which .5 succeed: it is gone within 60 runs, with the figures."""
    world.run(200)
    world.control.propose([_proposal("model", CHEAP)])
    (row,) = world.rows("SELECT * FROM recommendations")
    world.control.accept(row["recommendation_id"], version=1, actor=ADA)
    world.run(60, batch=20)
    assert world.rows("SELECT status FROM recommendations") == [{"status": "accepted"}]
    world.success[CHEAP] = 0.5
    world.run(60, batch=20)
    (row,) = world.rows("SELECT * FROM recommendations")
    assert (row["status"], row["decided_by"]) == ("rolled_back", "sidecar")
    assert "before it 9" in row["decided_why"]
    assert world.control.published().document["rules"] == []


def _proposal(knob: str, value: Any, n: int = 20) -> Any:
    from trimtab_tuner.recommend import Proposal
    from trimtab_tuner.recommend.proposal import SHARE, association, expected

    said = expected(success=association(SHARE, low=0.0, high=0.5, estimate=0.2, n=n, basis="calls"))
    where: dict[str, Any] = {"service": None, "model": None, "site_id": "s1", "match": {"site": "s1"}}
    where |= {"file": "shop.py", "function": "main", "line": 12}
    told: dict[str, Any] = {"title": "t", "why": "w", "risk": "r", "evidence": {}, "expected": said}
    return Proposal(finding_id="f", rule="lost", knob=knob, from_value=0, to_value=value, **where, **told)
