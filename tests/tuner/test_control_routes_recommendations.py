"""Decisions about recommendations over HTTP: made by the analysis of real records, decided by people, one at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from trimtab_tracer.policy import parse
from trimtab_tracer.records import Attempt, CallDecisions, Choice, Record, RunEnd, RunStart, to_dict
from trimtab_tracer.settings import Settings
from trimtab_tuner.client import Client, Conflicted
from trimtab_tuner.sidecar import Sidecar

Json = dict[str, Any]
AGENTS = 11
"""Each was turned away at a line of its own, which makes one recommendation for every test and four for one."""


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One for all tests of this module."""
    with Sidecar(Settings(home=tmp_path_factory.mktemp("recs") / "home", port=0, analyze_interval_s=0.05)) as running:
        yield running


@pytest.fixture(scope="module")
def api(sidecar: Sidecar, refused_runs: Callable[..., list[Record]]) -> Iterator[httpx.Client]:
    """HTTP to it, with a recommendation for each agent."""
    token = sidecar.settings.token_path.read_text().strip()
    with httpx.Client(base_url=sidecar.url, trust_env=False, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        take(client, [record for number in range(AGENTS) for record in refused_runs(number)])
        proposed(client, AGENTS)
        yield client


@pytest.fixture
def row(api: httpx.Client) -> Json:
    """A recommendation that nobody has decided about yet."""
    return proposed(api)[0]


def take(api: httpx.Client, records: list[Record]) -> None:
    """Import."""
    lines = b"".join(json.dumps(to_dict(record)).encode() + b"\n" for record in records)
    assert 200 == api.post("/v1/import", content=lines).status_code


def proposed(api: httpx.Client, count: int = 1) -> list[Json]:
    """The recommendations that wait for a decision, once the analysis has made so many."""
    end = time.monotonic() + 60
    while True:
        found: list[Json] = api.get("/v1/recommendations", params={"status": "proposed"}).json()["items"]
        if len(found) >= count:
            return found
        assert time.monotonic() < end, "nothing was recommended"
        time.sleep(0.05)


def decide(api: httpx.Client, row: Json, action: str, who: str = "ada", **more: Any) -> httpx.Response:
    """Decide about a recommendation as it was read."""
    body = {"version": row["version"], **more}
    headers = {"X-Trimtab-Actor": who, "X-Trimtab-Via": "dashboard"}
    return api.post(f"/v1/recommendations/{row['recommendation_id']}/{action}", json=body, headers=headers)


def rules(api: httpx.Client, row: Json) -> list[Json]:
    """Rules in force at a recommendation's line."""
    site = row["match"]["site"]
    return [rule for rule in api.get("/v1/policy").json()["rules"] if rule["match"]["site"] == site]


def test_a_recommendation_says_all_that_a_decision_needs(api: httpx.Client, row: Json) -> None:
    """It names knob, values, place, reason, expectation, evidence and risk, and is found by its id and its state."""
    assert ("max_retries", 0, 3) == (row["knob"], row["from_value"], row["to_value"])
    assert (3, "shop", "proposed", 1) == tuple(row[key] for key in ("line", "service", "status", "version"))
    assert all(row[sentence] for sentence in ("title", "why", "risk"))
    assert row["site_id"] == row["match"]["site"]
    assert {"success", "cost", "latency"} == set(row["expected"])
    assert 6 == len(row["evidence"]["calls"])
    assert row == api.get(f"/v1/recommendations/{row['recommendation_id']}").json()
    assert row not in api.get("/v1/recommendations", params={"status": "accepted"}).json()["items"]
    assert 404 == api.get("/v1/recommendations/none").status_code


def test_accepting_publishes_the_rule(api: httpx.Client, row: Json) -> None:
    """The accepted rule is in the policy when the answer comes, and the row says who decided, from where and why."""
    before = api.get("/v1/policy").json()["version"]
    accepted = decide(api, row, "accept", why="calls were lost").json()
    (rule,) = rules(api, row)
    assert ("max_retries", 3, accepted["rule_id"]) == (rule["knob"], rule["value"], rule["rule_id"])
    assert ("accepted", 2, before + 1) == tuple(accepted[k] for k in ("status", "version", "policy_version"))
    told = tuple(accepted[key] for key in ("decided_by", "decided_via", "decided_why"))
    assert ("ada", "dashboard", "calls were lost") == told
    parsed = parse(api.get("/v1/policy").content, time.time_ns())
    assert parsed.rule("max_retries", [row["site_id"]], "shop", "any") is not None
    (entry, *_) = api.get("/v1/audit").json()["items"]
    assert ("accept", "ada", 0, 3, "calls were lost") == tuple(
        entry[key] for key in ("action", "actor", "from_value", "to_value", "why")
    )


def test_another_value_may_be_accepted(api: httpx.Client, row: Json) -> None:
    """With `value` that value is published, unless agents would refuse it."""
    refused = decide(api, row, "accept", value="many")
    assert (422, []) == (refused.status_code, rules(api, row))
    assert 200 == decide(api, row, "accept", value={"rate_limit": 2}).status_code
    assert [{"rate_limit": 2}] == [rule["value"] for rule in rules(api, row)]


def test_a_rejected_one_stays_rejected(api: httpx.Client, row: Json) -> None:
    """A rejected recommendation changes no policy, and can't be accepted any more."""
    rejected = decide(api, row, "reject", why="not here").json()
    assert ("rejected", []) == (rejected["status"], rules(api, row))
    response = decide(api, rejected, "accept")
    assert 409 == response.status_code
    assert "ada rejected" in response.json()["detail"]


def test_roll_back_takes_the_rule_out(api: httpx.Client, row: Json) -> None:
    """After a roll back the code's own value holds, and all of it is in the account."""
    accepted = decide(api, row, "accept").json()
    early = decide(api, accepted, "promote")
    assert 409 == early.status_code  # no call has obeyed it yet
    back = decide(api, accepted, "rollback", who="grace", why="slower").json()
    assert ("rolled_back", "grace", []) == (back["status"], back["decided_by"], rules(api, row))
    actions = [entry["action"] for entry in api.get("/v1/audit").json()["items"]]
    assert ["roll_back", "accept"] == actions[:2]


def obeying_run(row: Json, at_ns: int) -> list[Record]:
    """One more run of the agent, under the accepted rule."""
    client = row["site_id"]
    line, agent = client.replace("client", "line"), client.replace("client", "agent")
    choice = Choice("max_retries", 3, "human", client, "constructor", policy_version=row["policy_version"])
    attempt = Attempt(
        "later.c.1", "later.c", "later", agent, 1, at_ns, 5_000_000, "openai.chat", "POST", "api.openai.com",
        "/v1/chat/completions", line, "complete", model="gpt-4o-mini", http_status=200, max_retries=3,
    )  # fmt: skip
    return [
        RunStart("later", agent, at_ns, "order", "explicit"),
        attempt,
        CallDecisions("later.c", "later", line, at_ns, (choice,)),
        RunEnd("later", at_ns + 10**9, "ok", "block exit"),
    ]


def test_an_obeyed_one_becomes_active_and_can_be_compared(api: httpx.Client, row: Json) -> None:
    """Once a call has obeyed it, it is active, before and after can be compared, and it may be promoted."""
    path = f"/v1/recommendations/{row['recommendation_id']}"
    assert 404 == api.get(f"{path}/before-after").status_code
    accepted = decide(api, row, "accept").json()
    later_ns = 1_800_001_000 * 10**9  # after the runs that were refused
    take(api, obeying_run(accepted, later_ns))
    end = time.monotonic() + 60
    while (found := api.get(path).json())["status"] != "active":
        assert time.monotonic() < end, found
        time.sleep(0.05)
    assert later_ns == found["obeyed_ns"]
    compared = api.get(f"{path}/before-after").json()
    assert (12, 6, 1, 0) == tuple(compared[s][k] for s in ("before", "after") for k in ("runs", "failed_runs"))
    assert "association" in compared["kind"]
    assert "promoted" == decide(api, found, "promote").json()["status"]


def test_a_finding_is_made_a_recommendation_by_the_same_rules(api: httpx.Client, row: Json) -> None:
    """What waits stays as it is; what was rejected waits again, in the name of who asked; what is not there is said."""
    path = f"/v1/findings/{row['finding_id']}/recommend"
    same = api.post(path).json()["items"]
    assert [(row["recommendation_id"], "proposed", row["version"])] == [
        (r["recommendation_id"], r["status"], r["version"]) for r in same
    ]
    rejected = decide(api, row, "reject").json()
    headers = {"X-Trimtab-Actor": "grace", "X-Trimtab-Via": "dashboard"}
    (again,) = api.post(path, json={"why": "look once more"}, headers=headers).json()["items"]
    assert ("proposed", rejected["version"] + 1) == (again["status"], again["version"])
    last = api.get("/v1/audit", params={"limit": 1}).json()["items"][0]
    assert ("grace", "ask", "rejected", "proposed", "look once more") == tuple(
        last[k] for k in ("actor", "action", "from_value", "to_value", "why")
    )
    assert 404 == api.post("/v1/findings/none/recommend").status_code


def test_what_was_rolled_back_is_not_asked_for_again(api: httpx.Client, row: Json) -> None:
    """The answer names who rolled it back; a finding of which nothing follows says why."""
    accepted = decide(api, row, "accept").json()
    assert 200 == decide(api, accepted, "rollback").status_code
    path = f"/v1/findings/{row['finding_id']}/recommend"
    end = time.monotonic() + 60
    while (answer := api.post(path)).status_code == 422:  # calls made under the rule are not the code's own
        assert "None of the rules proposes" in answer.json()["detail"]
        assert time.monotonic() < end
        time.sleep(0.05)
    assert 409 == answer.status_code
    assert "ada rolled back this recommendation" in answer.json()["detail"]


def test_of_two_who_accept_at_once_one_is_told(sidecar: Sidecar, api: httpx.Client) -> None:
    """Two people, one moment, four times: one decision each time, and the other gets a sentence with the name."""
    before = api.get("/v1/audit").json()["total"]
    token = sidecar.settings.token_path.read_text().strip()
    people = {name: Client(sidecar.url, token, actor=name, via="dashboard") for name in ("ada", "grace")}

    def accept(name: str, row: Json) -> Json | Conflicted:
        try:
            path = f"/v1/recommendations/{row['recommendation_id']}/accept"
            answer: Json = people[name].post(path, {"version": row["version"]})
            return answer
        except Conflicted as conflict:
            return conflict

    with ThreadPoolExecutor(2) as pool:
        for row in proposed(api, 4)[:4]:
            ada, grace = pool.map(accept, ("ada", "grace"), (row, row))
            (won,) = (each for each in (ada, grace) if not isinstance(each, Conflicted))
            (lost,) = (each for each in (ada, grace) if isinstance(each, Conflicted))
            assert won["decided_by"] == ("ada" if won is ada else "grace")
            assert f"{won['decided_by']} accepted this recommendation at " in str(lost)
            assert (409, 1) == (lost.status, lost.exit_code)
            assert 1 == len(rules(api, row))
    assert before + 4 == api.get("/v1/audit").json()["total"]
