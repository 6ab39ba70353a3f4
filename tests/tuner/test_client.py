"""The client: finds the running sidecar, shows its token to nobody else, and pages and batches for its callers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from trimtab_tracer.errors import SidecarError
from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tuner import client, home
from trimtab_tuner.client import Client, Conflicted, Declined
from trimtab_tuner.sidecar import Sidecar

pytestmark = pytest.mark.usefixtures("unanalysed")

SomeRun = Callable[..., list[Record]]


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Another program that answers on a port of this machine, and the headers it was sent."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"pid": 1}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def leave_note(settings: Settings, url: str) -> None:
    """A home whose note names this living process and ``url``."""
    home.prepare(settings.home)
    home.token(settings)
    home.write_note(settings, home.Note(os.getpid(), url, 1, "0.1.0"))


def test_without_a_sidecar_there_is_no_client(settings: Settings) -> None:
    """No home, an empty home, and a note whose port nobody listens on all mean: none runs."""
    assert client.connect(settings) is None
    home.prepare(settings.home)
    assert client.connect(settings) is None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    leave_note(settings, f"http://127.0.0.1:{port}")
    assert client.connect(settings) is None


def test_the_running_sidecar_is_found(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client finds address and token in the home, and no proxy variable leads it astray."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    found = client.connect(sidecar.settings)
    assert found is not None
    assert found.url == sidecar.url
    assert found.get("/v1/version")["version"] == "0.1.0"


def test_a_stranger_on_the_port_is_not_shown_the_token(
    settings: Settings, stranger: tuple[str, list[dict[str, str]]]
) -> None:
    """Where another program answers on the port of a stale note, it is recognised before the token is sent."""
    url, seen = stranger
    leave_note(settings, url)
    assert client.connect(settings) is None
    assert len(seen) == 1
    assert "Authorization" not in seen[0]


def test_a_sidecar_that_hangs_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living process that accepts and does not answer is named, not taken for none."""
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        leave_note(settings, f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(SidecarError, match=r"does not answer: .*`trimtab up`"):
            client.connect(settings)


def test_a_refusal_quotes_the_sidecars_sentence(sidecar: Sidecar) -> None:
    """A wrong token raises with address and status, an unknown parameter and a missing run with the sentence alone."""
    with pytest.raises(SidecarError, match=r"/v1/runs with status 401: Send the header"):
        Client(sidecar.url, "wrong").get("/v1/runs")
    right = client.connect(sidecar.settings)
    assert right is not None
    with pytest.raises(Declined, match=r"^Unknown query parameter 'limitt'") as declined:
        right.get("/v1/runs", limitt=1)
    assert (declined.value.status, declined.value.exit_code) == (400, 1)
    with pytest.raises(Declined, match=r"^There is no run 'x'"):
        right.get("/v1/runs/x")


def test_a_changed_token_file_is_told_as_such(sidecar: Sidecar) -> None:
    """Where the token in the home is not the running sidecar's, the sentence says what to stop and start."""
    sidecar.settings.token_path.write_text("another\n")
    found = client.connect(sidecar.settings)
    assert found is not None
    with pytest.raises(SidecarError, match=rf"file has changed since .* stop it \(`kill {os.getpid()}`\) and start"):
        found.get("/v1/runs")


def test_records_go_in_batches_and_come_back_in_pages(
    sidecar: Sidecar, some_run: SomeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many records are posted in several bodies, a list is read in several pages, and both are complete."""
    monkeypatch.setattr(Client, "BATCH_BYTES", 2000)
    records = [record for n in range(12) for record in some_run(n)]
    found = client.connect(sidecar.settings)
    assert found is not None
    counts = found.post_records(records)
    assert counts == found.post_records(records)
    assert sum(counts.values()) == len(records)
    runs = [run["run_id"] for run in found.pages("/v1/runs", limit=5)]
    assert runs == [f"r{n:03d}" for n in reversed(range(12))]


def test_decisions_name_who_and_from_where(sidecar: Sidecar) -> None:
    """What is posted is decided in the client's name and through its way in; by default the user's, from the CLI."""
    expected = [("Ünïcode / 100%", "dashboard"), (client.user_name(), "cli")]
    for actor, via in expected:
        found = client.connect(sidecar.settings, *((actor, via) if via == "dashboard" else ()))
        assert found is not None
        state = found.post("/v1/freeze", {"why": "test"})
        found.post("/v1/unfreeze", {"seen": state["policy_version"]})
    token = sidecar.settings.token_path.read_text().strip()
    nobody = Client(sidecar.url, token)
    nobody.post("/v1/freeze")  # no body, no name
    said = [(entry["actor"], entry["via"]) for entry in nobody.pages("/v1/audit", limit=2)]
    assert [("unknown", "api"), *(who for who in reversed(expected) for _ in range(2))] == said


def test_a_conflict_is_told_apart(sidecar: Sidecar) -> None:
    """Where somebody was quicker a class of its own is raised, with the sentence that names them."""
    ada, grace = (client.connect(sidecar.settings, name, "dashboard") for name in ("ada", "grace"))
    assert ada is not None
    assert grace is not None
    seen = ada.get("/v1/freeze")["policy_version"]
    ada.post("/v1/freeze")
    with pytest.raises(Conflicted, match="ada froze all steering at ") as conflict:
        grace.post("/v1/policy/rollback", {"seen": seen})
    assert (409, 1) == (conflict.value.status, conflict.value.exit_code)
    with pytest.raises(Declined, match="Unknown field 'sen'") as declined:
        grace.post("/v1/unfreeze", {"sen": seen})
    assert not isinstance(declined.value, Conflicted)


def test_a_token_that_only_reads_is_told_so(sidecar: Sidecar) -> None:
    """With the reading token lists are read, and a decision is refused with the sidecar's own sentence."""
    reader = Client(sidecar.url, home.read_only_token(sidecar.settings))
    assert 0 == reader.get("/v1/runs")["total"]
    with pytest.raises(SidecarError, match=r"^The token in `token.read` only reads") as refused:
        reader.post("/v1/freeze")
    assert (403, 3) == (refused.value.status, refused.value.exit_code)


def test_a_user_without_a_name_is_nobody(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system knows no name for this user, as in many containers, decisions are still possible."""

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert client.user_name() is None
    found = client.connect(sidecar.settings)
    assert found is not None
    assert found.post("/v1/freeze")["frozen"]
    assert "unknown" == found.get("/v1/freeze")["actor"]
