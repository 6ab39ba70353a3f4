"""Notices to a webhook: a real server takes them, each once, and nothing of what agents said is in them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from trimtab.__main__ import main
from trimtab_tracer.setting_values import Unusable, notices, webhook_url
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import rows
from trimtab_tuner.notices import Notifier
from trimtab_tuner.notices.messages import as_slack, text
from trimtab_tuner.notices.notifier import PAUSES_S, TRIES
from trimtab_tuner.sidecar import Sidecar

T0 = 1_795_000_000 * 10**9
SECOND = 10**9


class Hook:
    """A webhook on loopback."""

    def __init__(self) -> None:
        self.status, self.bodies = 200, list[Any]()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(hook.status)
                self.send_header("location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/T0/secret"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """One that takes everything."""
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


class World:
    """A store, a notifier, and a clock that the test moves."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings, self.now_ns = store, settings, T0
        self.restarted()

    def restarted(self) -> None:
        """As a sidecar that was just started has it."""
        self.notifier = Notifier(self.store, self.settings, clock=lambda: self.now_ns)

    def finding(self, name: str, **facts: Any) -> None:
        """One that is open."""
        row = {"finding_id": name, "rule": "timeout", "subject": "m", "knob": "timeout_s", "value": json.dumps(3)}
        row |= {"title": "says <script>", "advice": "a", "status": "open", "runs": 3, "failed_runs": 2, "calls": 4}
        row |= {"cost_musd": 10, "wasted_musd": 120_000, "evidence": {}, "first_seen_ns": 1, "last_seen_ns": 2}
        with self.store.transaction() as con:
            rows.insert(con, "findings", row | {"updated_ns": self.now_ns} | facts)

    def decided(self, number: int, action: str, via: str = "sidecar") -> None:
        """A row of the audit."""
        row = {"audit_id": number, "at_ns": self.now_ns, "actor": "sidecar", "via": via, "action": action}
        row |= {"subject_kind": "experiment", "subject_id": "e1", "why": "it fell", "policy_version": 3}
        with self.store.transaction() as con:
            rows.insert(con, "audit", row)

    def step(self, seconds: float = 5) -> None:
        """One look, some time later."""
        self.now_ns += int(seconds * SECOND)
        self.notifier.step()


@pytest.fixture
def world(settings: Settings, hook: Hook) -> Iterator[World]:
    """A home whose notices go to the hook."""
    with Store.open(settings.store_path) as store:
        yield World(store, replace(settings, notify_url=hook.url))


def test_what_is_new_is_told_once(world: World, hook: Hook) -> None:
    """Not what was there before; a finding, a rollback, a spent budget; also through restarts."""
    world.finding("old")
    world.step()
    assert hook.bodies == []
    world.finding("new")
    world.decided(1, "roll_back")
    world.decided(2, "budget_stop")
    world.decided(3, "roll_back", via="cli")
    for _ in range(3):
        world.step()
        world.restarted()
    assert [body["kind"] for body in hook.bodies] == ["budget_stop", "new_finding", "rollback"]
    finding = hook.bodies[1]
    assert finding["finding"] == {
        "id": "new",
        "rule": "timeout",
        "knob": "timeout_s",
        "place": "a line that is not known",
        "runs": 3,
        "failed_runs": 2,
        "wasted_usd": 0.12,
    }
    assert "script" not in json.dumps(hook.bodies)
    assert hook.bodies[2]["text"] == "experiment e1: it fell"


def test_only_what_was_asked_for_is_told(world: World, hook: Hook) -> None:
    """``notify_on`` says what."""
    world.settings = replace(world.settings, notify_on=("rollback",))
    world.restarted()
    world.step()
    world.finding("new")
    world.decided(1, "roll_back")
    world.step()
    assert [body["kind"] for body in hook.bodies] == ["rollback"]


def test_a_webhook_that_fails_is_tried_again_later_and_given_up(
    world: World, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    """So many times in all, after longer and longer pauses; one line in the log, without the address."""
    world.step()
    world.finding("new")
    hook.status = 503
    world.step()
    world.step()
    assert len(hook.bodies) == 1
    for pause in PAUSES_S:
        world.step(pause)
    world.step(10**6)
    assert len(hook.bodies) == TRIES
    con = world.store.cursor()
    assert con.execute("SELECT tries, next_ns, error FROM notices WHERE subject = 'new'").fetchall() == [
        (TRIES, None, "HTTP 503")
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret" not in caplog.text
    hook.status = 200
    world.finding("newer")
    world.step()
    assert len(hook.bodies) == TRIES + 1


def test_redirects_are_not_followed_and_nobody_there_is_no_error(world: World, hook: Hook) -> None:
    """A notice goes to the address that was given and to no other one."""
    world.step()
    world.finding("new")
    hook.status = 302
    world.step()
    world.settings = replace(world.settings, notify_url="http://127.0.0.1:9/x")
    world.restarted()
    world.step(PAUSES_S[0])
    con = world.store.cursor()
    assert con.execute("SELECT tries, error FROM notices WHERE subject = 'new'").fetchall() == [(2, "ConnectError")]


def test_slack_gets_text_without_markup_of_others() -> None:
    """The three signs of its markup are escaped; control characters go."""
    row = {
        "kind": "rollback",
        "noted_ns": T0,
        "subject_kind": "experiment",
        "subject_id": "e",
        "told": "<!here> & \x1b[1m",
    }
    assert as_slack(row, "/h`x")["text"] == "*trimtab: Rolled back* – experiment e: &lt;!here&gt; &amp;  [1m\n`/hx`"
    assert "test" in text({"kind": "test"})


def test_the_command_tries_the_webhook_and_lists(
    settings: Settings, hook: Hook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar tells of what comes while it runs; `notify test` says whether the address works."""
    home = ["--home", str(settings.home)]
    assert main(["notify", "test", *home]) == 2
    monkeypatch.setenv("TRIMTAB_NOTIFY_URL", hook.url)
    assert main(["notify", "test", *home]) == 0
    assert hook.bodies[-1]["kind"] == "test"
    hook.status = 500
    assert main(["notify", "test", *home]) == 1
    assert "HTTP 500" in capsys.readouterr().err
    hook.status = 200
    with Sidecar(replace(settings, notify_url=hook.url)):
        assert main(["notify", "--json", *home]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("value", ["http://example.org/x", "ftp://a/b", "https://u@h/x", "x", 3, "http://[::1"])
def test_addresses_that_cant_be_used(value: object) -> None:
    """Plain http leaves no machine."""
    with pytest.raises(Unusable):
        webhook_url(value)
    assert webhook_url("https://hooks.example/T0?a=b") == "https://hooks.example/T0?a=b"
    with pytest.raises(Unusable):
        notices("new_finding, coffee")
    assert notices("rollback, rollback") == ("rollback",)
