"""What holds for every route of the API that changes something, found in the document so that none is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest

from trimtab_tracer.records import Record, to_dict
from trimtab_tracer.settings import Settings
from trimtab_tuner.sidecar import Sidecar

Json = dict[str, Any]
RULE: Json = {"knob": "max_retries", "value": 2, "match": {"site": "s1"}}
ARMS: list[Json] = [{"incumbent": True, "weight": 0.5}, {"value": 9, "weight": 0.5}]

PAIR: Json = {"call_id": "r001.c", "site_id": "s1", "own_model": "big", "model": "small", "judge": "agreement"}
PAIR |= {"own_quality": 1.0, "quality": 0.5, "own_cost_musd": 3, "cost_musd": 1}
PAIR |= {"own_latency_s": 1.0, "latency_s": 0.5, "asked_ns": 1}

BODIES: dict[str, Json] = {
    "/v1/policy/rules": {"seen": 1, "rule": RULE, "why": "x"},
    "/v1/policy/rules/{rule_id}/remove": {"seen": 1, "why": "x"},
    "/v1/policy/rollback": {"seen": 1, "to": 1, "why": "x"},
    "/v1/freeze": {"why": "x"},
    "/v1/unfreeze": {"seen": 1, "why": "x"},
    "/v1/findings/{finding_id}/recommend": {"why": "x"},
    "/v1/recommendations/{recommendation_id}/accept": {"version": 1, "value": 2, "why": "x"},
    "/v1/recommendations/{recommendation_id}/reject": {"version": 1, "why": "x"},
    "/v1/recommendations/{recommendation_id}/rollback": {"version": 1, "why": "x"},
    "/v1/recommendations/{recommendation_id}/promote": {"version": 1, "why": "x"},
    "/v1/experiments": {"seen": 1, "knob": "timeout_s", "match": {"service": "shop"}, "arms": ARMS, "why": "x"},
    "/v1/experiments/{experiment_id}/stop": {"version": 1, "why": "x"},
    "/v1/tuning": {"seen": 1, "knob": "timeout_s", "values": [9], "match": {"service": "shop"}, "why": "x"},
    "/v1/tuning/{experiment_id}/values": {"version": 1, "value": 9, "price_usd": 0.1, "why": "x"},
    "/v1/tuning/{experiment_id}/values/remove": {"version": 1, "value": 9, "why": "x"},
    "/v1/tuning/{experiment_id}/values/reprice": {"version": 1, "value": 9, "factor": 2.0, "why": "x"},
    "/v1/tuning/modes/{knob}": {"seen": 1, "mode": "auto", "why": "x"},
    "/v1/shadow": {"pairs": [PAIR]},
    "/v1/outcomes": {"run_id": "r001", "success": False, "comment": "x", "outcome_id": "late"},
    "/v1/login-codes": {"name": "ada"},
    "/v1/sessions": {"code": "x"},
}
"""A body that is right in itself for every route that takes one."""
NO_BODY = {"/v1/import"}
"""Takes lines of records."""
NO_VERSION = {
    "/v1/freeze",
    "/v1/findings/{finding_id}/recommend",
    "/v1/shadow",
    "/v1/outcomes",
    "/v1/login-codes",
    "/v1/sessions",
}
"""Decides about nothing that somebody else could have changed, or must not fail because of it."""


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One for all tests of this module: what they send is to change nothing."""
    with Sidecar(Settings(home=tmp_path_factory.mktemp("control") / "home", port=0)) as running:
        yield running


@pytest.fixture(scope="module")
def api(sidecar: Sidecar, some_run: Callable[..., list[Record]]) -> Iterator[httpx.Client]:
    """HTTP to it; one run is there."""
    token = sidecar.settings.token_path.read_text().strip()
    with httpx.Client(base_url=sidecar.url, trust_env=False, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        lines = b"".join(json.dumps(to_dict(record)).encode() + b"\n" for record in some_run(1, success=True))
        assert client.post("/v1/import", content=lines).status_code == 200
        yield client


def posts(api: httpx.Client) -> list[str]:
    """Paths of all routes that take a JSON body."""
    paths = api.get("/openapi.json").json()["paths"]
    return [path for path, methods in paths.items() if "post" in methods and path not in NO_BODY]


def state(api: httpx.Client) -> list[Any]:
    """Everything that a decision could change, as far as the API shows it."""
    lists = ("recommendations", "experiments", "policy/versions", "audit")
    document = api.get("/v1/policy").json() | {"issued_ns": None}
    outcomes = api.get("/v1/runs/r001").json()["outcomes"]
    return [document, outcomes, *(api.get(f"/v1/{name}").json() for name in lists)]


def with_surprise(body: Json) -> Iterator[tuple[str, Json]]:
    """The body with an unknown field in each of its objects, and where that is."""
    yield "surprise", body | {"surprise": 1}
    for path in (("rule",), ("rule", "match"), ("match",), ("arms", 0), ("pairs", 0)):
        changed: Any = deepcopy(body)
        inner: Any = changed
        try:
            for part in path:
                inner = inner[part]
        except KeyError:
            continue
        inner["surprise"] = 1
        yield ".".join(map(str, (*path, "surprise"))), changed


def test_every_body_is_known_here(api: httpx.Client) -> None:
    """The tests below send a body to each route that takes one; a new route has to be added to them."""
    assert set(BODIES) == set(posts(api))


def test_an_unknown_field_changes_nothing(api: httpx.Client) -> None:
    """Each route refuses a field that it does not know, wherever in the body, names it and those it knows."""
    before = state(api)
    tried = 0
    for path, body in BODIES.items():
        for place, surprising in with_surprise(body):
            response = api.post(path, json=surprising)
            assert (400, "trimtab:unknown-field") == (response.status_code, response.json()["type"]), path
            detail = response.json()["detail"]
            assert f"Unknown field '{place}'" in detail
            inside: Any = body
            for part in place.split(".")[:-1]:
                inside = inside[int(part) if part.isdigit() else part]
            assert all(name in detail for name in inside), detail
            tried += 1
    assert tried > len(BODIES)
    assert before == state(api)


def test_an_unknown_field_is_told_before_a_wrong_value(api: httpx.Client) -> None:
    """A body that is wrong in several ways is refused for the field that nobody knows, with the name that was meant."""
    response = api.post("/v1/policy/rules", json={"seen": "1", "rule": {"knob": 3, "vlaue": 2}})
    assert 400 == response.status_code
    assert "Did you mean 'value'?" in response.json()["detail"]


def test_what_was_seen_has_to_be_said(api: httpx.Client) -> None:
    """Every decision but the brake and plain additions needs the version that the caller saw, as a whole number."""
    before = state(api)
    for path in set(BODIES) - NO_VERSION:
        (key,) = {"seen", "version"} & set(BODIES[path])
        for wrong in ({}, {key: "1"}, {key: 1.0}, {key: True}, {key: None}, {key: -1}):
            body = {name: value for name, value in BODIES[path].items() if name != key} | wrong
            response = api.post(path, json=body)
            assert (422, "trimtab:invalid-value") == (response.status_code, response.json()["type"]), (path, wrong)
            assert repr(key) in response.json()["detail"]
    assert all({"seen", "version"}.isdisjoint(BODIES[path]) for path in NO_VERSION)
    assert before == state(api)


def test_an_outdated_view_is_a_conflict(api: httpx.Client) -> None:
    """Each decision about the policy that carries another version than the one in force is refused with 409."""
    before = state(api)
    version = api.get("/v1/policy").json()["version"]
    stale = {path: body | {"seen": version + 7} for path, body in BODIES.items() if "seen" in body}
    assert len(stale) == 7
    for path, body in stale.items():
        response = api.post(path, json=body)
        assert (409, "trimtab:conflict") == (response.status_code, response.json()["type"]), path
        assert "nothing was changed" in response.json()["detail"]
    assert before == state(api)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"seen": 1, "seen": 2}', "application/json", 400),
        (b'{"score": NaN}', "application/json", 400),
        (b'{"seen": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400),
        (b'{"why": "x"}', "text/plain", 400),
        (b"why=x", "application/x-www-form-urlencoded", 400),
        (b'{"why": "' + b"x" * (1 << 20) + b'"}', "application/json", 413),
    ],
    ids=["half", "list", "null", "no text", "twice", "NaN", "deep", "text", "form", "large"],
)
def test_what_is_no_json_object_changes_nothing(api: httpx.Client, body: bytes, kind: str, status: int) -> None:
    """A body that is no JSON object, says one thing twice, or is too large is refused by every route."""
    before = state(api)
    for path in BODIES:
        response = api.post(path, content=body, headers={"Content-Type": kind})
        assert status == response.status_code, path
        assert response.headers["content-type"] == "application/problem+json"
        assert "othing" in response.json()["detail"]
    assert before == state(api)


def test_a_body_of_just_the_bound_is_read(api: httpx.Client) -> None:
    """One that is exactly as large as allowed is read, and refused only for what it says."""
    body = b'{"seen": 1, "why": "'.ljust((1 << 20) - 2, b"x") + b'"}'
    assert len(body) == 1 << 20
    response = api.post("/v1/unfreeze", content=body, headers={"Content-Type": "application/json"})
    assert (422, True) == (response.status_code, "'why'" in response.json()["detail"])


def test_a_refusal_does_not_repeat_a_token(api: httpx.Client) -> None:
    """Where a body as a whole is wrong, the sentence does not quote it."""
    response = api.post("/v1/sessions", json={"token": "a-secret-token"})
    assert 422 == response.status_code
    assert "a-secret-token" not in response.text


def test_the_document_tells_of_conflicts_and_bodies(api: httpx.Client) -> None:
    """The published document has a schema for each body and answer, and says where 409 may come."""
    document = api.get("/openapi.json").json()
    for path in BODIES:
        operation = document["paths"][path]["post"]
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert document["components"]["schemas"][reference.rpartition("/")[2]]["additionalProperties"] is False
        assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert ("409" in operation["responses"]) or path in NO_VERSION
        assert [{"HTTPBearer": []}] == operation["security"]
