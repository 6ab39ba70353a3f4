"""Ways into the dashboard: codes that work once and not for long, and the token with a name."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from trimtab_tracer.settings import Settings
from trimtab_tuner.session_routes import Codes
from trimtab_tuner.sidecar import Sidecar


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One for all tests of this module."""
    with Sidecar(Settings(home=tmp_path_factory.mktemp("sessions") / "home", port=0)) as running:
        yield running


def refused(response: httpx.Response, kind: str) -> bool:
    """Whether nobody was let in, and why."""
    return (403, f"trimtab:{kind}") == (response.status_code, response.json()["type"])


def test_a_code_opens_one_session_in_the_name_it_was_made_for(api: httpx.Client) -> None:
    """A code is long, names whoever asked for it, opens a session, and is good for nothing after that."""
    made = api.post("/v1/login-codes", headers={"X-Trimtab-Actor": "Ada%20L."}).json()
    assert "Ada L." == made["name"]
    assert re.fullmatch(r"[\w-]{40,}", made["code"])
    assert 0 < made["expires_ns"] - time.time_ns() <= 600 * 10**9
    session = api.post("/v1/sessions", json={"code": made["code"]}).json()
    assert "Ada L." == session["name"]
    assert session["session_id"] not in ("", made["code"])
    assert refused(api.post("/v1/sessions", json={"code": made["code"]}), "bad-code")


def test_a_code_may_be_made_for_somebody_else(api: httpx.Client) -> None:
    """The body's name goes before the asker's, and no two codes or sessions are alike."""
    codes = [api.post("/v1/login-codes", json={"name": "grace"}).json()["code"] for _ in range(2)]
    sessions = [api.post("/v1/sessions", json={"code": code}).json() for code in codes]
    assert ["grace", "grace"] == [session["name"] for session in sessions]
    assert 4 == len({*codes, *(session["session_id"] for session in sessions)})


def test_the_token_opens_a_session_with_a_name(sidecar: Sidecar, api: httpx.Client) -> None:
    """The home's token and a name are let in; another token, also the one that only reads, is not."""
    token = sidecar.settings.token_path.read_text().strip()
    assert "ada" == api.post("/v1/sessions", json={"token": token, "name": "ada"}).json()["name"]
    reader = (sidecar.settings.home / "token.read").read_text().strip()
    for wrong in (reader, "", token[:-1], "ä"):
        assert refused(api.post("/v1/sessions", json={"token": wrong, "name": "ada"}), "bad-token"), wrong


def test_half_a_proof_is_none(api: httpx.Client) -> None:
    """A session needs a code, or a token and a name that can be shown; anything else is refused as a whole."""
    proofs: list[dict[str, str]] = [
        {},
        {"token": "x"},
        {"name": "ada"},
        {"code": "x", "name": "ada"},
        {"token": "x", "name": "a\nb"},
        {"token": "x", "name": " "},
        {"token": "x", "name": "a" * 81},
    ]
    for proof in proofs:
        assert 422 == api.post("/v1/sessions", json=proof).status_code, proof


def test_a_code_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code that nobody used in its time opens nothing."""
    codes = Codes()
    value, _ = codes.issue("ada")
    late, code = codes.issue("ada")
    assert "ada" == codes.redeem(value)
    monkeypatch.setattr("trimtab_tuner.session_routes.time.time_ns", lambda: code.expires_ns)
    assert codes.redeem(late) is None


def test_codes_that_nobody_uses_are_bounded() -> None:
    """Of more than a hundred open codes the oldest are forgotten."""
    codes = Codes()
    values = [codes.issue(str(n))[0] for n in range(103)]
    assert [None] * 3 + ["3"] == [codes.redeem(value) for value in values[:4]]
    assert "102" == codes.redeem(values[-1])
