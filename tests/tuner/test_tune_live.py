"""Learning live: runs of an agent that draws as agents do, and what the loop makes of them, through restarts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import duckdb
import pytest

from trimtab_tracer.ingest import ingest
from trimtab_tracer.policy import parse
from trimtab_tracer.policy_rules import draw
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import (
    Attempt,
    CallDecisions,
    Choice,
    Exchange,
    Outcome,
    Process,
    Record,
    RunEnd,
    RunStart,
    Site,
)
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import SIDECAR, Actor, Control, Refused
from trimtab_tuner.reads import fetch
from trimtab_tuner.tune import Tuner
from trimtab_tuner.tune.begin import begin

ADA = Actor("ada", "cli")
T0 = 1_795_262_400_000_000_000
SECOND = 10**9
PRICES = PriceList()
OWN, CHEAP = "big", "small"


class World:
    """A store, a control, a clock that the test moves, and an agent whose runs take a second each."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.now_ns = T0
        self.settings, self.store = settings, store
        self.control = Control(store, settings, clock=lambda: self.now_ns)
        self.tuner = self.restarted()
        self.success = {OWN: 0.9, CHEAP: 0.9}
        self.cost_usd = {OWN: 0.01, CHEAP: 0.001}
        self.own: Callable[[int], str] = lambda number: OWN
        """The model that the code of a run names."""
        self.runs = 0
        self._random = random.Random(7)
        self._write([Process("p1", 1, T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", "boot")])
        self._write([Site("s1", "shop.py", "main", 12, 12, "client.chat.completions.create(...)")])

    def restarted(self) -> Tuner:
        """The loop as a sidecar that was just started has it."""
        self.tuner = Tuner(self.store, self.control, self.settings, clock=lambda: self.now_ns)
        return self.tuner

    def begin(self, **goal: Any) -> str:
        """Start an experiment on the model; its id."""
        row = begin(self.control, "model", {"model": OWN}, [CHEAP], {"max_share": 0.5} | goal, actor=ADA)
        return str(row["experiment_id"])

    def run(self, n: int, *, says: Callable[[int], bool] = lambda number: True, batch: int = 200) -> None:
        """``n`` runs, a look of the loop after each batch; ``says`` whether a run's outcome is told at its end."""
        for start in range(0, n, batch):
            records: list[Record] = []
            for _ in range(min(batch, n - start)):
                records += self._one(says)
            self._write(records)
            self.tuner.step()

    def _one(self, says: Callable[[int], bool]) -> list[Record]:
        self.runs += 1
        self.now_ns += SECOND
        number, run, call = self.runs, f"r{self.runs:05d}", f"r{self.runs:05d}.c"
        published = parse(self.control.published().text, self.now_ns)
        rule = published.rule("model", ("s1",), "shop", OWN)
        drawn = draw(rule, run, "s1") if rule is not None else None
        own = self.own(number)
        model = own if drawn is None or drawn.is_incumbent else drawn.value
        chosen = Choice("model", own, "code")
        if rule is not None and drawn is not None:
            known: dict[str, Any] = {"policy_version": published.version, "rule_id": rule.rule_id}
            known |= {"drawn": "incumbent" if drawn.is_incumbent else None}
            chosen = Choice("model", model, rule.source, propensity=drawn.propensity, **known)
        succeeded = self._random.random() < self.success[model]
        attempt = Attempt(
            f"{call}.1", call, run, "p1", 1, self.now_ns, 5_000_000, "openai.chat", "POST", "api.example",
            "/v1/chat/completions", "s1", "complete", model=model, http_status=200,
        )  # fmt: skip
        cost = f"{self.cost_usd[model] * self._random.uniform(0.5, 1.5):.6f}"
        exchange = Exchange(attempt.attempt_id, call, run, "openai.chat", model, cost_reported_usd=cost)
        records: list[Record] = [
            RunStart(
                run, "p1", self.now_ns, "order", "explicit", attributes={"tier": "gold" if number % 2 else "free"}
            ),
            attempt,
            exchange,
            CallDecisions(call, run, "s1", self.now_ns, (chosen,)),
            RunEnd(run, self.now_ns + SECOND // 2, "ok", "block exit"),
        ]
        self.late = getattr(self, "late", [])
        outcome = Outcome(f"{run}.o", run, self.now_ns + SECOND // 2, succeeded)
        (records if says(number) else self.late).append(outcome)
        return records

    def _write(self, records: list[Record]) -> None:
        ingest(self.store, records, prices=PRICES)

    def tell(self) -> None:
        """The outcomes that were not told before."""
        self._write(self.late)
        self.late = []

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What the store says."""
        with closing(self.store.cursor()) as con:
            return fetch(con, sql)

    def events(self) -> list[str]:
        """Kinds of events, in order."""
        return [row["kind"] for row in self.rows("SELECT kind FROM campaign_events ORDER BY event_id")]

    def campaign(self) -> dict[str, Any]:
        """The only one."""
        (row,) = self.rows("SELECT c.*, e.status FROM campaigns AS c JOIN experiments AS e USING (experiment_id)")
        return row

    def share(self, model: str = CHEAP) -> float:
        """The probability with which agents now draw a model."""
        for rule in self.control.published().document["rules"]:
            for arm in rule.get("arms", ()):
                if arm.get("value") == model:
                    return float(arm["weight"])
        return 0.0


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """A new one; what is learned is published at once."""
    settings = replace(settings, tune_publish_interval_s=0.01)
    with Store.open(settings.store_path) as store:
        yield World(settings, store)


def test_what_is_proven_is_proposed_with_its_effect_and_accepting_it_ends_the_experiment(world: World) -> None:
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


def test_until_it_is_proven_no_more_than_the_share_gets_it(world: World) -> None:
    """However good it looks, runs get other values in at most the share that was asked for."""
    world.begin(max_share=0.3, margin=0.1)
    for _ in range(6):
        world.run(50)
        assert world.share() <= 0.3 + 1e-9
    drawn = world.rows("SELECT DISTINCT propensity FROM decisions WHERE source = 'experiment'")
    assert all(0.02 <= row["propensity"] <= 0.98 for row in drawn)


def test_in_auto_it_is_promoted_and_rolled_back_when_it_turns_bad(world: World) -> None:
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


def test_every_run_counts_once_through_restarts(world: World) -> None:
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


def test_outcomes_that_come_late_are_learned_when_they_come(world: World) -> None:
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
def test_a_state_that_cant_be_read_ends_the_experiment_and_loses_no_run(world: World, state: str) -> None:
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


def test_modes_say_what_may_be_tried(world: World, refused_runs: Callable[..., list[Record]]) -> None:
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


def test_a_rejected_proposal_comes_again_when_the_evidence_has_doubled(world: World) -> None:
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


def test_a_spent_budget_pauses_and_does_not_end(world: World) -> None:
    """While exploring pauses nothing is drawn; the next day it goes on by itself."""
    world.begin(explore_usd_per_day=0.002)
    world.run(100, batch=20)
    assert "budget_stop" in world.events()
    assert (world.campaign()["status"], world.control.published().document["rules"]) == ("running", [])
    world.now_ns += 26 * 3600 * SECOND
    world.run(20, batch=20)
    assert "budget_resumed" in world.events()
    assert world.share() > 0


def test_taking_the_policy_back_does_not_bring_back_what_failed(world: World) -> None:
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


def test_the_drawn_arm_counts_and_not_its_value(world: World) -> None:
    """Where the code itself names the value that is tried, a run that drew the code's own is the incumbent's."""
    world.own = lambda number: CHEAP if number % 2 else OWN
    world.begin()
    world.run(200)
    arms = {arm["arm"]: arm["units"] for arm in world.campaign()["verdict"]["arms"]}
    assert "share_mismatch" not in world.events()
    drawn = world.rows("SELECT count(*) AS n FROM decisions WHERE drawn = 'incumbent'")
    assert arms["incumbent"] == drawn[0]["n"]


def test_a_busy_store_ends_no_experiment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_a_person_accepted_is_rolled_back_when_runs_fail_under_it(world: World) -> None:
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
