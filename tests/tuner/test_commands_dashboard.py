"""``trimtab dashboard``: a link that works once, or one sentence that says what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from trimtab.__main__ import main
from trimtab_tracer.settings import Settings
from trimtab_tuner import client, home
from trimtab_tuner.sidecar import Sidecar

Run = Callable[..., str]


@pytest.fixture
def run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``trimtab dashboard …`` on the home in this process; what it printed, on stderr if it failed."""

    def dashboard(*arguments: str, code: int = 0) -> str:
        assert code == main(["dashboard", *arguments, "--home", str(settings.home)])
        said = capsys.readouterr()
        assert "" == (said.out if code else said.err)
        return said.err if code else said.out

    return dashboard


def test_the_link_has_a_code_that_opens_one_session(api: httpx.Client, settings: Settings, run: Run) -> None:
    """The link leads to the dashboard's address with a fresh code, in the name of this user or of whom it is for."""
    note = home.read_note(settings)
    assert note is not None
    home.write_note(settings, replace(note, dashboard_url="http://127.0.0.1:4320"))
    link = run()
    found = re.fullmatch(r"http://127\.0\.0\.1:4320/login\?code=([\w-]{40,})\n", link)
    assert found is not None, link
    assert client.user_name() == api.post("/v1/sessions", json={"code": found[1]}).json()["name"]
    assert 403 == api.post("/v1/sessions", json={"code": found[1]}).status_code
    told = json.loads(run("--json", "--name", "Grace H."))
    assert "Grace H." == told["name"]
    assert told["url"] != link.strip()


def test_a_sidecar_without_a_dashboard_is_said(settings: Settings, run: Run) -> None:
    """Where the sidecar's note names no dashboard, the sentence says where to look."""
    with Sidecar(settings):
        assert "has no dashboard" in run(code=3)


def test_no_sidecar_is_said(settings: Settings, run: Run) -> None:
    """Where none runs the sentence names the command that starts one."""
    said = run(code=3)
    assert ("`trimtab up`" in said, 1) == (True, said.count("\n"))
