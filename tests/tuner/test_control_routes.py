"""Experiments, outcomes and knobs over HTTP, and the account of all decisions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from trimtab_tracer.records import Decision, Record, RunStart, Site, to_dict
from trimtab_tuner.client import Client
from trimtab_tuner.sidecar import Sidecar

pytestmark = pytest.mark.usefixtures("unanalysed")

Json = dict[str, Any]
Refused = Callable[..., list[Record]]
ARMS: list[Json] = [{"incumbent": True, "weight": 0.75}, {"value": 9.5, "weight": 0.25}]


def take(api: httpx.Client, records: list[Record]) -> None:
    """Import."""
    lines = b"".join(json.dumps(to_dict(record)).encode() + b"\n" for record in records)
    assert 200 == api.post("/v1/import", content=lines).status_code


def rules(api: httpx.Client) -> list[Json]:
    """Rules in force."""
    found: list[Json] = api.get("/v1/policy").json()["rules"]
    return found


def test_an_experiment_runs_and_stops(api: httpx.Client) -> None:
    """A started experiment is a rule with arms; a second one on the knob is refused; stopped, its rule is gone."""
    seen = api.get("/v1/policy").json()["version"]
    body = {"seen": seen, "knob": "timeout_s", "match": {"service": "shop", "model": None}, "arms": ARMS, "why": "try"}
    who = {"X-Trimtab-Actor": "ada"}
    row = api.post("/v1/experiments", json=body, headers=who).json()
    assert ("running", 1, "ada", "try") == tuple(row[key] for key in ("status", "version", "started_by", "why"))
    (rule,) = rules(api)
    assert (ARMS, "experiment", row["rule_id"]) == (rule["arms"], rule["source"], rule["rule_id"])
    assert {"service": "shop"} == {k: v for k, v in rule["match"].items() if v is not None}
    assert 409 == api.post("/v1/experiments", json=body | {"seen": seen + 1}).status_code
    path = f"/v1/experiments/{row['experiment_id']}"
    assert row == api.get(path).json()
    stopped = api.post(f"{path}/stop", json={"version": 1}).json()
    assert ("stopped", 2, []) == (stopped["status"], stopped["version"], rules(api))
    again = api.post(f"{path}/stop", json={"version": 1})
    assert 409 == again.status_code
    assert [stopped] == api.get("/v1/experiments", params={"status": "stopped"}).json()["items"]
    assert (404, 404) == (api.get("/v1/experiments/none").status_code, api.post(
        "/v1/experiments/none/stop", json={"version": 1}
    ).status_code)  # fmt: skip


def test_arms_that_agents_would_refuse_start_nothing(api: httpx.Client) -> None:
    """Shares that do not sum up, arms with both or neither, values out of range: refused, and nothing runs."""
    seen = api.get("/v1/policy").json()["version"]
    wrong: list[list[Json]] = [
        [{"incumbent": True, "weight": 0.5}, {"value": 9, "weight": 0.6}],
        [{"incumbent": True, "value": 3, "weight": 0.5}, {"value": 9, "weight": 0.5}],
        [{"weight": 0.5}, {"value": 9, "weight": 0.5}],
        [{"incumbent": False, "weight": 0.5}, {"value": 9, "weight": 0.5}],
        [{"incumbent": True, "weight": 0.5}, {"value": -9, "weight": 0.5}],
        [{"value": 9, "weight": 1.0}],
    ]
    for arms in wrong:
        body = {"seen": seen, "knob": "timeout_s", "match": {}, "arms": arms}
        assert 422 == api.post("/v1/experiments", json=body).status_code, arms
    assert ([], 0) == (rules(api), api.get("/v1/experiments").json()["total"])


def test_outcomes_may_come_late_and_twice(api: httpx.Client, some_run: Callable[..., list[Record]]) -> None:
    """Long after a run its outcome is told; the same one again changes nothing, another one under its id is refused."""
    take(api, some_run(1))
    assert api.get("/v1/runs/r001").json()["run"]["success"] is None
    body = {"run_id": "r001", "success": False, "score": 0.25, "comment": "refunded", "outcome_id": "ticket 7"}
    answers = [api.post("/v1/outcomes", json=body).json() for _ in range(3)]
    assert [{"outcome_id": "ticket 7", "is_new": new} for new in (True, False, False)] == answers
    (kept,) = api.get("/v1/runs/r001").json()["outcomes"]
    assert (False, 0.25, "explicit", "refunded") == tuple(kept[k] for k in ("success", "score", "source", "comment"))
    assert api.get("/v1/runs/r001").json()["run"]["success"] is False
    assert 409 == api.post("/v1/outcomes", json=body | {"success": True}).status_code
    unnamed = [api.post("/v1/outcomes", json={"run_id": "r001", "score": 1}).json() for _ in range(2)]
    assert [True, True] == [each["is_new"] for each in unnamed]
    assert unnamed[0]["outcome_id"] != unnamed[1]["outcome_id"]
    assert 404 == api.post("/v1/outcomes", json={"run_id": "none", "success": True}).status_code
    for wrong in ({}, {"success": 1}, {"success": True, "source": "inferred"}, {"score": "1"}):
        assert 422 == api.post("/v1/outcomes", json={"run_id": "r001", **wrong}).status_code, wrong
    assert ["outcome"] * 3 == [entry["action"] for entry in api.get("/v1/audit").json()["items"]]


@pytest.mark.usefixtures("analysed")
def test_an_outcome_is_analysed(api: httpx.Client, some_run: Callable[..., list[Record]]) -> None:
    """After an outcome came in the analysis looks again, though no agent wrote anything."""
    take(api, some_run(1))
    end = time.monotonic() + 60
    before = -1
    while before != (before := api.get("/v1/health").json()["analyses"]):
        assert time.monotonic() < end
        time.sleep(0.5)
    assert api.post("/v1/outcomes", json={"run_id": "r001", "success": False}).json()["is_new"]
    while api.get("/v1/health").json()["analyses"] == before:
        assert time.monotonic() < end, "no analysis followed"
        time.sleep(0.05)


def test_knobs_are_listed_with_values_and_what_may_become_of_them(api: httpx.Client, refused_runs: Refused) -> None:
    """Each knob at each site has its values with counts and last use, its choices, and the rule that is in force."""
    declared: list[Record] = [
        RunStart("d", "agent0", 5, "n", "explicit"),
        Site("plan", "shop0.py", "main", 9, 9, 'trimtab.knob("strategy", "fast", choices=("fast", "deep"))'),
        Decision("d:1", "d", "strategy", "fast", "default", "plan", 5, site_role="knob", choices=("fast", "deep")),
        Decision("d:2", "d", "strategy", "deep", "human", "plan", 9, site_role="knob", choices=("fast", "deep")),
        Decision("d:3", "d", "colour", {"a": [1]}, "default", "nowhere", 7, site_role="knob"),
    ]
    take(api, [*refused_runs(), *declared])
    page = api.get("/v1/knobs").json()
    assert 4 == page["total"]
    found = {(row["knob"], row["site_id"]): row for row in page["items"]}
    retries = found["max_retries", "client0"]
    (value,) = retries["values"]
    assert (0, "code", 12, 12) == tuple(value[key] for key in ("value", "source", "calls", "runs"))
    assert ("shop0.py", 3, "constructor", True, None, ["shop"]) == (
        *(retries["place"][key] for key in ("file", "line")),
        *(retries[key] for key in ("role", "steerable", "choices", "services")),
    )
    strategy = found["strategy", "plan"]
    assert [("deep", "human", 0, 1, 9), ("fast", "default", 0, 1, 5)] == [
        tuple(each[key] for key in ("value", "source", "calls", "runs", "last_ns")) for each in strategy["values"]
    ]
    assert (True, ["fast", "deep"], None) == tuple(strategy[key] for key in ("steerable", "choices", "rule_id"))
    colour = found["colour", "nowhere"]
    assert (False, None, {"a": [1]}) == (colour["steerable"], colour["place"], colour["values"][0]["value"])
    one = api.get("/v1/knobs", params={"knob": "model", "limit": 1}).json()
    assert (1, "line0") == (one["total"], one["items"][0]["site_id"])
    assert [] == api.get("/v1/knobs", params={"site": "none"}).json()["items"]


def test_a_knob_names_the_rule_that_holds_there(api: httpx.Client, refused_runs: Refused) -> None:
    """Of several rules the most specific one for the site is named; frozen, none is."""
    take(api, refused_runs())

    def rule_at(knob: str) -> str | None:
        (row,) = api.get("/v1/knobs", params={"knob": knob}).json()["items"]
        found: str | None = row["rule_id"]
        return found

    assert rule_at("max_retries") is None
    for rule_id, match in (
        ("any", {}),
        ("shop", {"service": "shop"}),
        ("other", {"service": "mail", "site": "client0"}),
    ):
        seen = api.get("/v1/policy").json()["version"]
        rule = {"knob": "max_retries", "value": len(rule_id), "match": match, "rule_id": rule_id}
        assert 200 == api.post("/v1/policy/rules", json={"seen": seen, "rule": rule}).status_code
    assert ("shop", None) == (rule_at("max_retries"), rule_at("model"))
    api.post("/v1/freeze")
    assert rule_at("max_retries") is None


def test_events_come_in_order_without_loss(sidecar: Sidecar, api: httpx.Client, refused_runs: Refused) -> None:
    """While eight people decide at once, a reader who follows gets each decision once, in order."""
    take(api, refused_runs())
    token = sidecar.settings.token_path.read_text().strip()
    each, people = 6, 8

    def tell(person: int) -> None:
        client = Client(sidecar.url, token, actor=f"p{person}", via="api")
        for n in range(each):
            client.post("/v1/outcomes", {"run_id": f"0r{n}", "score": n, "outcome_id": f"{person}.{n}"})

    seen: list[Json] = []
    after = 0
    with ThreadPoolExecutor(people) as pool:
        telling = [pool.submit(tell, person) for person in range(people)]
        while sum(entry["action"] == "outcome" for entry in seen) < each * people:
            answer = api.get("/v1/events", params={"after": after, "wait_s": 20, "limit": 5}).json()
            assert answer["items"], "nothing came within the time"
            seen += answer["items"]
            after = answer["after"]
        assert [None] * people == [done.result() for done in telling]
    assert list(range(1, len(seen) + 1)) == [entry["audit_id"] for entry in seen]
    told = [entry["to_value"]["outcome_id"] for entry in seen if entry["action"] == "outcome"]
    for person in range(people):
        assert [f"{person}.{n}" for n in range(each)] == [t for t in told if t.startswith(f"{person}.")]
    pages: list[Json] = []
    cursor = None
    while cursor is not None or not pages:
        page = api.get("/v1/audit", params={"limit": 7, **({"cursor": cursor} if cursor else {})}).json()
        pages += page["items"]
        cursor = page["next"]
    assert seen == pages[::-1][: len(seen)]


def test_waiting_for_nothing_ends_with_nothing(api: httpx.Client) -> None:
    """Events after the last one are none, at once or after the time that was given, and `after` stays."""
    assert {"items": [], "after": 7} == api.get("/v1/events", params={"after": 7, "wait_s": 0.1}).json()
    assert 422 == api.get("/v1/events", params={"wait_s": 26}).status_code
