"""The gate: who may ask the sidecar what, tried over real sockets with whatever a browser or a stranger would send."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from trimtab_tracer.policy_signature import reader_token
from trimtab_tracer.settings import Settings
from trimtab_tuner import gate
from trimtab_tuner.sidecar import Sidecar

pytestmark = pytest.mark.usefixtures("unanalysed")

PATHS = ("/v1/runs", "/v1/runs/r1", "/v1/report", "/openapi.json", "/", "/v1/none")


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One for all tests of this module: none of them changes anything."""
    with Sidecar(Settings(home=tmp_path_factory.mktemp("gate") / "home", port=0)) as running:
        yield running


def get(sidecar: Sidecar, path: str, **headers: str) -> httpx.Response:
    """A request with exactly these headers beside what HTTP needs."""
    return httpx.get(sidecar.url + path, headers=headers, trust_env=False, timeout=30)


@pytest.fixture
def bearer(sidecar: Sidecar) -> str:
    """The Authorization header that is right."""
    return f"Bearer {sidecar.settings.token_path.read_text().strip()}"


def port_of(sidecar: Sidecar) -> int:
    """The port it listens on."""
    return httpx.URL(sidecar.url).port or 0


def is_problem(response: httpx.Response, status: int) -> bool:
    """Whether this is a problem document of that status, with a sentence."""
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} == set(body)
    return response.status_code == status == body["status"] and body["detail"].endswith((".", ")"))


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_without_the_token(sidecar: Sidecar, path: str) -> None:
    """Known and unknown paths alike give 401 without a token, so that they can't be told apart."""
    response = get(sidecar, path)
    assert is_problem(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_wrong_token_is_no_token(sidecar: Sidecar, bearer: str) -> None:
    """Only the exact token passes: no other, none of its parts, no other scheme, no bytes beyond ASCII."""
    for wrong in ("Bearer", "Bearer x", bearer[:-1], bearer + "x", bearer.lower(), bearer.replace("Bearer", "Basic")):
        assert is_problem(get(sidecar, "/v1/runs", authorization=wrong), 401)
    odd = httpx.get(sidecar.url + "/v1/runs", headers={b"authorization": b"Bearer \xff"}, trust_env=False)
    assert is_problem(odd, 401)
    assert get(sidecar, "/v1/runs", authorization=bearer).status_code == 200


def test_health_is_open_and_bare(sidecar: Sidecar) -> None:
    """Health answers anyone on this machine and speaks of loops and counts only."""
    body = get(sidecar, "/v1/health").json()
    loop = {"steps", "failures", "ok_ns", "failed_ns", "error"}
    assert {
        "status",
        "version",
        "pid",
        "started_ns",
        "records",
        "spool_problems",
        "analyses",
        "collector",
        "analysis",
        "tuning",
        "policy",
        "policy_version",
        "frozen",
    } == set(body)
    assert set(body["collector"]) == set(body["analysis"]) == set(body["policy"]) == loop
    assert body["status"] == "ok"


@pytest.mark.parametrize("path", ["/v1/health", "/v1/runs"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "[::2]:{port}"]
)
def test_another_host_is_refused(sidecar: Sidecar, bearer: str, path: str, host: str) -> None:
    """A name that only points here (DNS rebinding), or another port, is refused even with the token."""
    response = get(sidecar, path, authorization=bearer, host=host.format(port=port_of(sidecar)))
    assert is_problem(response, 421)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_this_machine_may_be_called_by_any_of_its_names(sidecar: Sidecar, bearer: str, host: str) -> None:
    """The three names of this machine are accepted, with the own port."""
    response = get(sidecar, "/v1/runs", authorization=bearer, host=host.format(port=port_of(sidecar)))
    assert response.status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:{other}", "https://127.0.0.1:{port}"]
)
def test_pages_of_other_origins_are_refused(sidecar: Sidecar, bearer: str, origin: str) -> None:
    """What a browser sends for another site's page is refused, also on the open path."""
    origin = origin.format(port=port_of(sidecar), other=1)
    for path in ("/v1/health", "/v1/runs"):
        response = get(sidecar, path, authorization=bearer, origin=origin)
        assert is_problem(response, 403)
        assert not any(name.startswith("access-control") for name in response.headers)


def test_own_pages_may_ask(sidecar: Sidecar, bearer: str) -> None:
    """Pages of the sidecar's and of the dashboard's address pass, and still need the token."""
    for port in (port_of(sidecar), sidecar.settings.dashboard_port):
        origin = f"http://localhost:{port}"
        assert get(sidecar, "/v1/runs", authorization=bearer, origin=origin).status_code == 200
        assert is_problem(get(sidecar, "/v1/runs", origin=origin), 401)


@pytest.fixture
def reader(sidecar: Sidecar) -> str:
    """The Authorization header that only reads."""
    return f"Bearer {(sidecar.settings.home / 'token.read').read_text().strip()}"


@pytest.fixture
def agent(sidecar: Sidecar) -> str:
    """The Authorization header of an agent that fetches its policy."""
    return f"Bearer {reader_token(sidecar.settings.policy_key_path.read_text().strip())}"


def operations(sidecar: Sidecar, bearer: str) -> list[tuple[str, str]]:
    """Method and path of everything that is published, ids and names filled in."""
    paths = get(sidecar, "/openapi.json", authorization=bearer).json()["paths"]
    filled = {path: re.sub(r"\{\w+\}", "1", path.replace("{table}", "runs")) for path in paths}
    return [(method.upper(), filled[path]) for path, methods in paths.items() for method in methods]


def ask(sidecar: Sidecar, method: str, path: str, bearer: str) -> httpx.Response:
    """A request with a key."""
    headers = {"authorization": bearer}
    return httpx.request(method, sidecar.url + path, headers=headers, trust_env=False, timeout=30)


def test_the_secrets_are_three_and_this_users(sidecar: Sidecar, bearer: str, reader: str, agent: str) -> None:
    """Token, reading token and policy key are three different secrets in files that nobody else may read."""
    home = sidecar.settings.home
    assert 3 == len({bearer, reader, agent})
    assert [0o600] * 3 == [(home / name).stat().st_mode & 0o777 for name in ("token", "token.read", "policy.key")]


def test_the_reading_token_reads_everything_and_changes_nothing(sidecar: Sidecar, bearer: str, reader: str) -> None:
    """Every published read is open to it, every other operation is refused with the name of the file that is needed."""
    audit = get(sidecar, "/v1/audit", authorization=bearer).json()
    kinds = set()
    for method, path in [*operations(sidecar, bearer), ("DELETE", "/v1/runs"), ("POST", "/v1/none")]:
        response = ask(sidecar, method, path, reader)
        kinds.add(method)
        if method == "GET":
            assert response.status_code in (200, 404), path
        else:
            assert is_problem(response, 403), path
            assert "trimtab:read-only" == response.json()["type"]
            assert "`token`" in response.json()["detail"]
    assert {"GET", "POST", "DELETE"} == kinds
    assert audit == get(sidecar, "/v1/audit", authorization=bearer).json()


def test_an_agents_key_reads_the_policy_alone(sidecar: Sidecar, bearer: str, agent: str) -> None:
    """With the key derived from policy.key the policy is read, and nothing else is read or changed."""
    assert 200 == get(sidecar, "/v1/policy", authorization=agent).status_code
    others = [(m, p) for m, p in operations(sidecar, bearer) if (m, p) != ("GET", "/v1/policy") and p not in gate.OPEN]
    assert ("GET", "/v1/policy/versions") in others
    for method, path in [*others, ("POST", "/v1/policy"), ("GET", "/openapi.json"), ("GET", "/v1/policy/")]:
        response = ask(sidecar, method, path, agent)
        assert is_problem(response, 403), path
        assert "trimtab:policy-only" == response.json()["type"]


def test_the_policys_key_itself_opens_nothing(sidecar: Sidecar) -> None:
    """What signs the policy is never sent: as a token it is a wrong one."""
    key = sidecar.settings.policy_key_path.read_text().strip()
    assert is_problem(get(sidecar, "/v1/policy", authorization=f"Bearer {key}"), 401)
