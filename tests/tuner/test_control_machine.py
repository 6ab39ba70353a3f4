"""Whatever is decided in whatever order, policy, file, recommendations, experiments and audit stay in step."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Control, ControlError
from trimtab_tuner.reads import fetch

ALICE = Actor("alice", "cli")
IN_FORCE = ("accepted", "active", "promoted")
MATCHES: tuple[dict[str, str], ...] = ({}, {"site": "s1"}, {"site": "s2"}, {"service": "shop"})
ONE_OF_THEM = st.sampled_from([*MATCHES, {"site": "s1"}, {"site": "s1"}])
PROPOSALS = [
    SimpleNamespace(
        finding_id="f",
        rule="retry_storm",
        knob=knob,
        service=None,
        model=None,
        site_id=match.get("site"),
        file="shop.py",
        function="main",
        line=12,
        title="t",
        why="w",
        from_value=None,
        to_value=value,
        match=match,
        expected={},
        evidence={},
        risk="low",
        learned_by="rule",
        calls_per_day=None,
        wrong_if=None,
        experiment_id=None,
    )
    for knob, value, match in (
        ("max_retries", 1, {"site": "s1"}),
        ("max_retries", 2, {"site": "s1"}),
        ("max_retries", 1, {"site": "s2"}),
        ("max_retries", 1, {}),
        ("timeout_s", 5.0, {"service": "shop"}),
    )
]
KNOBS = st.sampled_from(["max_retries", "max_retries", "timeout_s"])
ARMS = [{"incumbent": True, "weight": 0.5}, {"value": 3, "weight": 0.5}]
BAD_ARMS = [{"incumbent": True, "weight": 0.99}, {"value": 3, "weight": 0.01}]
HITS = st.sampled_from([True] * 7 + [False])
"""Whether a decision carries the version that is in force."""


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a call may match both."""
    return all(key not in one or key not in other or one[key] == other[key] for key in ("site", "service"))


class Decisions(RuleBasedStateMachine):
    """A control, and what has to hold whatever is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="trimtab-control-"))
        self.settings = Settings(home=self.home)
        self.open()
        self.before = self.state()

    @initialize()
    def first_analysis(self) -> None:
        """Most sequences need something to decide about."""
        self.control.propose(PROPOSALS)
        self.before = self.state()

    def open(self) -> None:
        self.store = Store.open(self.settings.store_path)
        self.control = Control(self.store, self.settings)
        self.control.refresh()

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table in an order that no random id has a say in: the same draws have to lead to the same decisions."""
        order = "started_ns" if table == "experiments" else "ALL"
        with closing(self.store.cursor()) as con:
            return fetch(con, f"SELECT * FROM {table} ORDER BY {order}")

    def state(self) -> dict[str, Any]:
        tables = ("policy_versions", "recommendations", "experiments", "audit")
        return {table: self.rows(table) for table in tables} | {"file": self.settings.policy_path.read_bytes()}

    def decide(self, may: bool, versions: int, decision: Any, *arguments: Any, **named: Any) -> None:
        """Take a decision; it has to succeed exactly if it ``may``, and then makes so many policy versions."""
        before = self.before
        if not may:
            with pytest.raises(ControlError, match=r"\.$"):
                decision(*arguments, **named)
            assert before == self.state()
            return
        decision(*arguments, **named)
        after = self.before = self.state()
        assert len(after["policy_versions"]) == len(before["policy_versions"]) + versions
        assert after["policy_versions"][: len(before["policy_versions"])] == before["policy_versions"]
        assert after["audit"][: len(before["audit"])] == before["audit"]
        self.check_audit(before, after, after["audit"][len(before["audit"]) :])

    def check_audit(self, before: dict[str, Any], after: dict[str, Any], new: list[dict[str, Any]]) -> None:
        """Every change of state has exactly one new row, and every row tells of the policy after it."""
        for table, key in (("recommendations", "recommendation_id"), ("experiments", "experiment_id")):
            old = {row[key]: row for row in before[table]}
            changed = [r[key] for r in after[table] if r["version"] != old.get(r[key], {"version": 1})["version"]]
            started = [r[key] for r in after[table] if table == "experiments" and r[key] not in old]
            told = sorted(row["subject_id"] for row in new if row["subject_kind"] + "s" == table)
            again = [i for i in changed if old[i]["status"] == "expired"]
            assert sorted(set(changed) - set(again)) + started == told
        assert {row["policy_version"] for row in new} <= {after["policy_versions"][-1]["version"]}

    def in_the_way(self, knob: str, match: dict[str, Any], *, of: str) -> bool:
        """Whether rules of this source are on some of the same calls."""
        rules = self.control.published().document["rules"]
        return any(r["source"] == of and r["knob"] == knob and overlap(r["match"], match) for r in rules)

    def pick(self, data: st.DataObject, table: str, *statuses: str) -> dict[str, Any]:
        """A row, most often one in such a state."""
        rows = self.before[table]
        return data.draw(st.sampled_from([row for row in rows if row.get("status") in statuses] * 3 + rows))

    def seen(self, hits: bool) -> dict[str, int]:
        return {"seen": self.control.published().version - (not hits)}

    @rule(names=st.sets(st.integers(0, len(PROPOSALS) - 1)))
    def propose(self, names: set[int]) -> None:
        gone = {row["recommendation_id"] for row in self.before["recommendations"] if row["status"] == "proposed"}
        self.decide(True, 0, self.control.propose, [PROPOSALS[i] for i in sorted(names)])
        left = {r["recommendation_id"] for r in self.before["recommendations"] if r["status"] == "proposed"}
        assert len(left) <= len(names)
        assert (
            gone - left
            == {r["recommendation_id"] for r in self.before["recommendations"] if r["status"] == "expired"} & gone
        )

    @precondition(lambda self: self.before["recommendations"])
    @rule(data=st.data(), hits=HITS, value=st.sampled_from(["as proposed"] * 4 + [3, -1, "//x"]))
    def accept(self, data: st.DataObject, hits: bool, value: Any) -> None:
        row = self.pick(data, "recommendations", "proposed")
        may = hits and row["status"] == "proposed" and value in ("as proposed", 3)
        may = may and not self.in_the_way(row["knob"], row["match"], of="experiment")
        given = {} if value == "as proposed" else {"value": value}
        version = row["version"] + (not hits)
        self.decide(may, 1, self.control.accept, row["recommendation_id"], version=version, actor=ALICE, **given)

    @precondition(lambda self: self.before["recommendations"])
    @rule(data=st.data(), hits=HITS, what=st.sampled_from(["reject", "roll_back", "promote"]))
    def decide_otherwise(self, data: st.DataObject, hits: bool, what: str) -> None:
        states = {"reject": ("proposed",), "roll_back": IN_FORCE, "promote": ("active",)}[what]
        row = self.pick(data, "recommendations", *states)
        may = hits and row["status"] in states
        version = row["version"] + (not hits)
        decision = getattr(self.control, what)
        self.decide(may, what == "roll_back", decision, row["recommendation_id"], version=version, actor=ALICE)

    @rule()
    def obey(self) -> None:
        """Agents obey everything that is in force."""
        now = self.control.published()
        with self.store.transaction() as con:
            for each in now.document["rules"]:
                row = ["r", None, each["knob"], "1", "human", 1.0, each["match"].get("site", "s9"), "call"]
                con.execute(
                    "INSERT OR REPLACE INTO decisions"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL, NULL)",
                    [each["rule_id"], *row, now.version, now.issued_ns],
                )
        waiting = [
            r["recommendation_id"]
            for r in self.before["recommendations"]
            if r["status"] == "accepted" and "service" not in r["match"]
        ]
        self.decide(True, 0, self.control.note_obeyed)
        assert waiting == [
            row["recommendation_id"]
            for row in self.before["recommendations"]
            if row["recommendation_id"] in waiting and row["status"] == "active"
        ]

    @rule(knob=KNOBS, match=ONE_OF_THEM, value=st.sampled_from([1, 3, 4, -1]), hits=HITS)
    def put_rule(self, knob: str, match: dict[str, str], value: int, hits: bool) -> None:
        may = hits and value > 0 and not self.in_the_way(knob, match, of="experiment")
        rule_ = {"knob": knob, "match": match, "value": value}
        self.decide(may, 1, self.control.put_rule, rule_, **self.seen(hits), actor=ALICE)

    @precondition(lambda self: self.control.published().document["rules"])
    @rule(data=st.data(), hits=HITS)
    def remove_rule(self, data: st.DataObject, hits: bool) -> None:
        rule_id = data.draw(st.sampled_from(self.control.published().document["rules"]))["rule_id"]
        self.decide(hits, 1, self.control.remove_rule, rule_id, **self.seen(hits), actor=ALICE)

    @rule(knob=KNOBS, match=ONE_OF_THEM, arms=st.sampled_from([ARMS] * 3 + [BAD_ARMS]), hits=HITS)
    def start_experiment(self, knob: str, match: dict[str, str], arms: Any, hits: bool) -> None:
        may = hits and arms is ARMS and not self.in_the_way(knob, match, of="human")
        may = may and not self.in_the_way(knob, {}, of="experiment")
        self.decide(may, 1, self.control.start_experiment, knob, match, arms, **self.seen(hits), actor=ALICE)

    @precondition(lambda self: self.before["experiments"])
    @rule(data=st.data(), hits=HITS)
    def stop_experiment(self, data: st.DataObject, hits: bool) -> None:
        row = self.pick(data, "experiments", "running")
        may = hits and row["status"] == "running"
        version = row["version"] + (not hits)
        self.decide(may, 1, self.control.stop_experiment, row["experiment_id"], version=version, actor=ALICE)

    @rule(data=st.data(), hits=HITS, is_named=st.booleans())
    def roll_back_policy(self, data: st.DataObject, hits: bool, is_named: bool) -> None:
        versions = self.before["policy_versions"]
        now = versions[-1]["document"]["rules"]
        to = self.pick(data, "policy_versions") if is_named else None
        others = [row for row in versions if row["document"]["rules"] != now]
        may = hits and (to in others if to else bool(others))
        target = to["version"] if to else None
        self.decide(may, 1, self.control.roll_back_policy, target, **self.seen(hits), actor=ALICE)
        if may:
            wanted = (to or others[-1])["document"]["rules"]
            assert wanted == self.control.published().document["rules"]

    @rule()
    def freeze(self) -> None:
        self.decide(True, not self.control.published().is_frozen, self.control.freeze, ALICE)

    @rule(hits=HITS)
    def unfreeze(self, hits: bool) -> None:
        may = hits and self.control.published().is_frozen
        self.decide(may, 1, self.control.unfreeze, ALICE, **self.seen(hits))

    @rule()
    def start_again(self) -> None:
        """The sidecar is stopped and started."""
        self.store.close()
        rest = {key: value for key, value in self.before.items() if key != "file"}
        self.open()
        self.before = self.state()
        assert rest == {key: value for key, value in self.before.items() if key != "file"}

    @invariant()
    def the_file_is_the_store(self) -> None:
        """Agents take the file, and it says what the newest version says."""
        found = parse(self.before["file"], self.control.published().issued_ns)
        newest = self.before["policy_versions"][-1]
        assert self.before["file"] == self.control.published().text
        assert newest["version"] == found.version
        assert newest["document"]["rules"] == self.control.published().document["rules"]
        assert newest["document"]["frozen"] == found.is_frozen

    @invariant()
    def numbers_have_no_gaps(self) -> None:
        """Versions and audit rows are 1, 2, 3, …"""
        for table, key in (("policy_versions", "version"), ("audit", "audit_id")):
            assert list(range(1, len(self.before[table]) + 1)) == [row[key] for row in self.before[table]]

    @invariant()
    def what_is_in_force_has_its_rule(self) -> None:
        """A recommendation is in force, and an experiment runs, exactly while its rule is in the policy."""
        rules = {rule_["rule_id"] for rule_ in self.control.published().document["rules"]}
        in_force = {r["rule_id"] for r in self.before["recommendations"] if r["status"] in IN_FORCE}
        running = {r["rule_id"] for r in self.before["experiments"] if r["status"] == "running"}
        assert in_force | running == {i for i in rules if not i.startswith("man-")}
        assert len(running) <= 2


Decisions.TestCase.settings = settings(max_examples=15, stateful_step_count=40, suppress_health_check=list(HealthCheck))
test_decisions = Decisions.TestCase
