"""The policy over HTTP: signed bytes, long polls that hold nobody up, and decisions about the whole of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from trimtab_tracer.policy import parse
from trimtab_tracer.policy_signature import is_signed, reader_token
from trimtab_tracer.settings import Settings
from trimtab_tuner.sidecar import Sidecar

pytestmark = pytest.mark.usefixtures("unanalysed")

WAIT = {"wait_s": 25}


def policy(api: httpx.Client, **headers: str) -> httpx.Response:
    """The policy as it is now."""
    return api.get("/v1/policy", headers=headers)


def freeze(api: httpx.Client) -> dict[str, Any]:
    """Stop steering: the simplest decision there is."""
    response = api.post("/v1/freeze")
    assert response.status_code == 200, response.text
    state: dict[str, Any] = response.json()
    return state


def put(api: httpx.Client, seen: int, **rule: Any) -> httpx.Response:
    """Put a rule by hand."""
    return api.post("/v1/policy/rules", json={"seen": seen, "rule": rule})


@pytest.fixture
def waiting(api: httpx.Client) -> Iterator[Callable[..., httpx.Response]]:
    """A second connection that waits in a thread of its own."""
    with httpx.Client(base_url=api.base_url, headers=api.headers, trust_env=False, timeout=60) as other:
        yield other.get


def test_the_document_is_the_file_and_signed(api: httpx.Client, settings: Settings) -> None:
    """The body is the published file to the byte, not to be cached, and its signature holds under the home's key."""
    response = policy(api)
    assert settings.policy_path.read_bytes() == response.content
    key = settings.policy_key_path.read_text().strip()
    assert is_signed(key, response.content, response.headers["x-trimtab-signature"])
    assert not is_signed(key + "x", response.content, response.headers["x-trimtab-signature"])
    read = parse(response.content, response.json()["issued_ns"])
    assert f'"{read.version}-{read.issued_ns}"' == response.headers["etag"]
    assert "no-store" == response.headers["cache-control"]


def test_a_known_policy_is_not_sent_again(api: httpx.Client) -> None:
    """Whoever names the ETag, alone, weak or among others, gets 304 without a body."""
    etag = policy(api).headers["etag"]
    for form in ("{}", "W/{}", '"other", {}', "*"):
        response = policy(api, **{"if-none-match": form.format(etag)})
        assert (304, b"", etag) == (response.status_code, response.content, response.headers["etag"]), form
    assert 200 == policy(api, **{"if-none-match": '"1-1"'}).status_code


def test_a_waiting_agent_hears_of_a_change(api: httpx.Client, waiting: Callable[..., httpx.Response]) -> None:
    """A request that waits is answered with the new policy when it comes, and without `If-None-Match` at once."""
    assert 200 == api.get("/v1/policy", params=WAIT).status_code
    known = {"if-none-match": policy(api).headers["etag"]}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(waiting, "/v1/policy", params=WAIT, headers=known)
        version = freeze(api)["policy_version"]
        response = answer.result(60)
    assert (200, True) == (response.status_code, response.json()["frozen"])
    assert version - 1 <= response.json()["version"] <= version  # the brake is published before it is stored


def test_an_issue_is_news_too(settings: Settings) -> None:
    """The same version issued again has another ETag and wakes who waits, so agents see that the sidecar lives."""
    with (
        Sidecar(replace(settings, policy_lifetime_s=1)) as sidecar,
        httpx.Client(base_url=sidecar.url, trust_env=False, timeout=60) as client,
    ):
        client.headers["Authorization"] = f"Bearer {reader_token(settings.policy_key_path.read_text().strip())}"
        first = client.get("/v1/policy")
        again = client.get("/v1/policy", params=WAIT, headers={"if-none-match": first.headers["etag"]})
    assert (200, first.json()["version"]) == (again.status_code, again.json()["version"])
    assert again.json()["issued_ns"] > first.json()["issued_ns"]


def test_sixty_who_wait_hold_nobody_up(api: httpx.Client) -> None:
    """More long polls than the thread pool has threads: plain reads and a decision pass, and then all are answered."""
    known = {"if-none-match": policy(api).headers["etag"]}

    async def wait_and_read() -> list[int]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            base_url=api.base_url, headers=api.headers, trust_env=False, timeout=120, limits=limits
        ) as client:
            polls = [asyncio.create_task(client.get("/v1/policy", params=WAIT, headers=known)) for _ in range(60)]
            events = [asyncio.create_task(client.get("/v1/events", params=WAIT)) for _ in range(20)]
            for _ in range(20):
                assert 200 == (await client.get("/v1/runs")).status_code
            assert not any(task.done() for task in (*polls, *events))
            assert 200 == (await client.post("/v1/freeze")).status_code
            return [response.status_code for response in await asyncio.gather(*polls, *events)]

    assert [200] * 80 == asyncio.run(wait_and_read())


def test_a_sidecar_that_stops_answers_who_waits(settings: Settings) -> None:
    """Policy and events that are waited for are answered when the sidecar stops, not cut off."""
    with ThreadPoolExecutor(2) as pool, Sidecar(settings) as sidecar:
        headers = {"Authorization": f"Bearer {settings.token_path.read_text().strip()}"}
        known = httpx.get(f"{sidecar.url}/v1/policy", headers=headers, trust_env=False).headers["etag"]
        arrived = threading.Barrier(3)

        def wait(path: str) -> httpx.Response:
            arrived.wait()
            more = headers | {"if-none-match": known}
            return httpx.get(sidecar.url + path, params=WAIT, headers=more, trust_env=False, timeout=60)

        answers = [pool.submit(wait, path) for path in ("/v1/policy", "/v1/events")]
        arrived.wait()
        for _ in range(20):  # long enough for both to be in
            httpx.get(f"{sidecar.url}/v1/health", trust_env=False)
        sidecar.stop()
        assert [304, 200] == [answer.result(60).status_code for answer in answers]


def test_rules_come_and_go_by_hand(api: httpx.Client) -> None:
    """A rule is put, replaced by its id, taken back with the whole policy and removed; each makes a version."""
    seen = policy(api).json()["version"]
    state = put(api, seen, knob="max_retries", value=2, match={"site": "s1"}).json()
    (rule,) = state["document"]["rules"]
    assert ("max_retries", 2, "human", "run") == (rule["knob"], rule["value"], rule["source"], rule["sticky"])
    assert (seen + 1, 1, False) == (state["policy_version"], state["rules"], state["frozen"])
    again = put(api, seen + 1, knob="max_retries", value=4, match={"site": "s1"}, rule_id=rule["rule_id"]).json()
    assert [4] == [each["value"] for each in again["document"]["rules"]]
    back = api.post("/v1/policy/rollback", json={"seen": seen + 2}).json()
    assert [rule] == back["document"]["rules"]
    gone = api.post(f"/v1/policy/rules/{rule['rule_id']}/remove", json={"seen": seen + 3, "why": "enough"}).json()
    assert [] == gone["document"]["rules"] == policy(api).json()["rules"]
    versions = api.get("/v1/policy/versions").json()
    assert [(row["version"], row["rules"]) for row in versions["items"]][:4] == [
        (seen + 4, 0),
        (seen + 3, 1),
        (seen + 2, 1),
        (seen + 1, 1),
    ]
    assert [rule] == api.get(f"/v1/policy/versions/{seen + 1}").json()["document"]["rules"]
    assert 404 == api.get("/v1/policy/versions/99").status_code


def test_rules_about_runs_stand_beside_each_other(api: httpx.Client) -> None:
    """Attributes, names and conditions make other rules of the same knob, and arrive as they were put."""
    about: list[dict[str, Any]] = [
        {"match": {"name": "triage", "context": {"tier": "gold"}}},
        {"match": {"context": {"tier": "gold"}}, "when": {"previous_failed": True}},
        {"match": {"context": {"tier": "gold"}}},
    ]
    for each in about:
        seen = policy(api).json()["version"]
        document = put(api, seen, knob="temperature", value=0.5, **each).json()["document"]
    assert about == [{key: rule[key] for key in ("match", "when") if key in rule} for rule in document["rules"]]
    wrong = put(api, seen + 1, knob="temperature", value=0.5, when={"min_step": "two"})
    assert (422, "trimtab:refused") == (wrong.status_code, wrong.json()["type"])
    assert "rule.when.min_step" in wrong.json()["detail"]


def test_what_no_agent_would_obey_is_refused(api: httpx.Client) -> None:
    """A value that agents would refuse is refused with a sentence, and the policy stays as it is."""
    before = policy(api)
    rules: list[dict[str, Any]] = [
        {"knob": "max_retries", "value": 11},
        {"knob": "model", "value": "https://elsewhere.example"},
        {"knob": "api_key", "value": "sk-1"},
        {"knob": "timeout_s", "value": True},
        {"knob": "max_retries", "value": 1, "rule_id": "exp-1"},
    ]
    for rule in rules:
        response = put(api, before.json()["version"], **rule)
        assert (422, "trimtab:refused") == (response.status_code, response.json()["type"])
        assert "othing was changed" in response.json()["detail"]
    assert before.content == policy(api).content


def test_freezing_needs_nothing_and_can_be_ended_by_who_looked(api: httpx.Client) -> None:
    """Freeze takes no body and no version; unfreeze takes the version that was seen; both are told with their who."""
    assert (False, None) == (api.get("/v1/freeze").json()["frozen"], api.get("/v1/freeze").json()["actor"])
    who = {"X-Trimtab-Actor": "J%C3%BCrgen%20%C3%85", "X-Trimtab-Via": "dashboard"}
    state = api.post("/v1/freeze", json={"why": "too dear"}, headers=who).json()
    told = api.get("/v1/freeze").json()
    assert (True, "Jürgen Å", "dashboard", "too dear") == tuple(told[key] for key in ("frozen", "actor", "via", "why"))
    assert 422 == api.post("/v1/unfreeze", json={}).status_code
    stale = api.post("/v1/unfreeze", json={"seen": state["policy_version"] - 1}, headers=who)
    assert (409, "trimtab:conflict") == (stale.status_code, stale.json()["type"])
    assert "Jürgen Å" in stale.json()["detail"]
    assert policy(api).json()["frozen"]
    assert not api.post("/v1/unfreeze", json={"seen": state["policy_version"]}).json()["frozen"]
    assert "unknown" == api.get("/v1/freeze").json()["actor"]


def test_who_cannot_be_named_decides_nothing(api: httpx.Client) -> None:
    """A name that can't stand in one line, or a way in that is none, is refused before anything changes."""
    before = policy(api).content
    names = ("a" * 81, "a%0Ab", "%1b[31m", "%ff")
    ways = ("sidecar", "telepathy")
    for who in (*({"X-Trimtab-Actor": name} for name in names), *({"X-Trimtab-Via": way} for way in ways)):
        response = api.post("/v1/freeze", headers=who)
        assert 422 == response.status_code, who
        assert response.json()["detail"].endswith(".")
    assert before == policy(api).content
    assert 0 == api.get("/v1/audit").json()["total"]
