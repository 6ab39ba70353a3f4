"""The policy over HTTP: a real server on this machine, its signature, its silence and its lies."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer import policy_remote, policy_source
from trimtab_tracer.policy_signature import SIGNATURE_HEADER, is_signed, reader_token, sign
from trimtab_tracer.policy_source import PolicySource
from trimtab_tracer.settings import Settings

KEY = "a-key-that-both-sides-share"


def document(version: int, **changes: Any) -> bytes:
    """A good document."""
    known = {
        "schema": 1,
        "version": version,
        "issued_ns": time.time_ns(),
        "lifetime_s": 60,
        "frozen": False,
        "rules": [],
    }
    return json.dumps(known | changes).encode()


class Sidecar:
    """A small server that long-polls as the sidecar does, and lies as it is told."""

    def __init__(self, port: int = 0) -> None:
        self.body = document(1)
        self.etag = '"1"'
        self.status = 200
        self.signature: str | None = "right"
        self.declared_more = 0
        self.waits = True
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.changed = threading.Condition()
        self.is_closed = False
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def publish(self, body: bytes, etag: str = "", **lies: Any) -> None:
        """Have a new answer; whoever waits gets it."""
        with self.changed:
            self.body, self.etag = body, etag or f'"{hash(body)}"'
            self.status, self.signature, self.declared_more = 200, "right", 0
            for name, value in lies.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def close(self) -> None:
        """Stop to listen."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sidecar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                with sidecar.changed:
                    sidecar.requests.append((self.path, headers))
                    known = headers.get("if-none-match")
                    if sidecar.waits:
                        sidecar.changed.wait_for(lambda: sidecar.etag != known or sidecar.is_closed, timeout=30)
                    if sidecar.is_closed:
                        self.close_connection = True
                        return
                    is_known = known == sidecar.etag and sidecar.status == 200
                    body = b"" if is_known else sidecar.body
                    self.send_response(304 if is_known else sidecar.status)
                    if not is_known:
                        self.send_header("content-length", str(len(body) + sidecar.declared_more))
                    if sidecar.status == 302:
                        self.send_header("location", f"{sidecar.url}/elsewhere")
                    self.send_header("etag", sidecar.etag)
                    signature = sign(KEY, body) if sidecar.signature == "right" else sidecar.signature
                    if signature is not None:
                        self.send_header(SIGNATURE_HEADER, signature)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, strict: None) -> None:
    """The same pauses, shorter."""
    monkeypatch.setattr(policy_source, "LOOK_INTERVAL_S", 0.005)
    monkeypatch.setattr(policy_remote, "MIN_INTERVAL_S", 0.05)
    monkeypatch.setattr(policy_remote, "MAX_PAUSE_S", 0.05)


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    server = Sidecar()
    yield server
    if not server.is_closed:
        server.close()


@pytest.fixture
def source(sidecar: Sidecar, tmp_path: Path) -> Iterator[PolicySource]:
    """An agent's source that asks the sidecar."""
    found = PolicySource(Settings(home=tmp_path, policy_url=sidecar.url, policy_key=KEY))
    yield found
    found.close()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Warnings logged so far."""
    caplog.set_level(logging.INFO, logger="trimtab")
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def until(fact: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.005)


def until_version(source: PolicySource, version: int) -> None:
    """Wait until a version is in force; 0 for none."""
    until(lambda: source.current().version == version)


def test_the_signature_is_the_one_that_the_documentation_names() -> None:
    """An HMAC-SHA256 of the body under the key's text; the bearer is one of a fixed text."""
    assert sign(KEY, b"{}") == "sha256=" + hmac.new(KEY.encode(), b"{}", hashlib.sha256).hexdigest()
    assert reader_token(KEY) == hmac.new(KEY.encode(), b"trimtab policy reader", hashlib.sha256).hexdigest()
    assert is_signed(KEY, b"{}", sign(KEY, b"{}"))
    for wrong in (None, "", "sha256=", sign("another key", b"{}"), sign(KEY, b"{ }"), sign(KEY, b"{}")[7:], "ü\udcff"):
        assert not is_signed(KEY, b"{}", wrong)


def test_what_the_sidecar_says_is_obeyed_at_once(sidecar: Sidecar, source: PolicySource) -> None:
    """One held-back request for each change: the answer comes when there is something new."""
    until_version(source, 1)
    for version in (2, 3, 4):
        sidecar.publish(document(version))
        until_version(source, version)
    until(lambda: len(sidecar.requests) == 5)
    assert ["/v1/policy?wait_s=20"] * 5 == [path for path, _ in sidecar.requests]


def test_the_key_is_never_sent_and_the_tag_is(sidecar: Sidecar, source: PolicySource) -> None:
    """A request carries the reader's bearer and the tag of the document it knows."""
    until_version(source, 1)
    until(lambda: len(sidecar.requests) == 2)
    (_, first), (_, second) = sidecar.requests
    assert f"Bearer {reader_token(KEY)}" == first["authorization"]
    assert [None, '"1"'] == [first.get("if-none-match"), second.get("if-none-match")]
    assert KEY not in repr(sidecar.requests)


def test_asking_never_waits(sidecar: Sidecar, source: PolicySource) -> None:
    """The first question is answered before the sidecar is: with no policy."""
    with sidecar.changed:  # no request is answered meanwhile
        assert source.current().version == 0
    until_version(source, 1)


@pytest.mark.parametrize(
    ("body", "lies", "expected"),
    [
        (document(2), {"signature": None}, "is missing or not made with policy_key"),
        (document(2), {"signature": sign("another key", document(2))}, "is missing or not made with policy_key"),
        (b"<html>", {}, "no JSON"),
        (b"", {}, "no JSON"),
        (document(2)[:-9], {}, "no JSON"),
        (document(2, rules=3), {}, "rules is 3"),
        (document(2, issued_ns=time.time_ns() + 3600 * 10**9), {}, "in the future"),
        (b" " * 300_000 + document(2), {}, "longer than 262144 bytes"),
        (document(1, issued_ns=1), {}, "over its lifetime"),
    ],
    ids=["unsigned", "other key", "garbage", "empty", "half", "bad rules", "future", "too long", "expired"],
)
def test_a_document_that_cannot_be_used_ends_the_last_one(
    sidecar: Sidecar,
    source: PolicySource,
    warnings: Callable[[], list[str]],
    body: bytes,
    lies: dict[str, Any],
    expected: str,
) -> None:
    """Unsigned, unreadable, unusable or out of date: the incumbent is in force, said once; the next good one counts."""
    until_version(source, 1)
    sidecar.publish(body, **lies)
    until_version(source, 0)
    seen = len(sidecar.requests)
    sidecar.waits = False
    until(lambda: len(sidecar.requests) >= seen + 3)
    (why,) = warnings()
    assert expected in why
    assert sidecar.url in why
    sidecar.publish(document(3), waits=True)
    until_version(source, 3)


def test_after_a_refusal_the_last_good_document_counts_again(sidecar: Sidecar, source: PolicySource) -> None:
    """A proxy's error page between two answers with the same tag: "still that one" would leave nothing in force."""
    good = sidecar.body
    until_version(source, 1)
    sidecar.publish(b"<html>", etag='"page"')
    until_version(source, 0)
    sidecar.publish(good, etag='"1"')
    until_version(source, 1)


def test_an_earlier_document_is_refused(
    sidecar: Sidecar, source: PolicySource, warnings: Callable[[], list[str]]
) -> None:
    """A recorded answer that is played again, though well signed, is not obeyed."""
    recorded = sidecar.body
    until_version(source, 1)
    sidecar.publish(document(2))
    until_version(source, 2)
    sidecar.publish(recorded)
    until_version(source, 0)
    until(lambda: any("version is 1, expected at least 2" in why for why in warnings()))


@pytest.mark.parametrize(
    ("lies", "expected"),
    [
        ({"status": 401}, "status 401 (is policy_key the text of its policy.key?)"),
        ({"status": 500}, "status 500"),
        ({"status": 302}, "status 302"),
        ({"declared_more": 7}, "IncompleteRead"),
    ],
)
def test_a_sidecar_in_trouble_leaves_the_last_policy(
    sidecar: Sidecar,
    source: PolicySource,
    warnings: Callable[[], list[str]],
    lies: dict[str, Any],
    expected: str,
) -> None:
    """An error, a redirect (never followed) or a torn answer is none: the last policy holds, said once."""
    until_version(source, 1)
    sidecar.publish(document(2), **lies)
    until(lambda: bool(warnings()))
    seen = len(sidecar.requests)
    until(lambda: len(sidecar.requests) >= seen + 3)
    assert source.current().version == 1
    (why,) = warnings()
    assert expected in why
    assert "the last policy holds until its lifetime ends" in why
    assert {"/v1/policy?wait_s=20"} == {path for path, _ in sidecar.requests}
    sidecar.publish(document(3))
    until_version(source, 3)


def test_a_sidecar_that_is_gone_leaves_the_last_policy_for_its_lifetime(
    sidecar: Sidecar, tmp_path: Path, warnings: Callable[[], list[str]]
) -> None:
    """Nobody answers: the last policy holds, then the incumbent, each said once; back again, it counts."""
    ahead = 0.0
    source = PolicySource(
        Settings(home=tmp_path, policy_url=sidecar.url, policy_key=KEY),
        monotonic=lambda: time.monotonic() + ahead,
    )
    try:
        until_version(source, 1)
        sidecar.close()
        until(lambda: any("can't be reached" in why for why in warnings()))
        assert source.current().version == 1
        ahead = 61.0
        assert source.current().version == 0
        assert source.current().version == 0
        assert ["can't be reached", "over its lifetime"] == [
            fact for fact in ("can't be reached", "over its lifetime") for why in warnings() if fact in why
        ]
        again = Sidecar(sidecar.port)
        again.publish(document(2))
        until_version(source, 2)
    finally:
        source.close()
        again.close()


def test_a_sidecar_that_does_not_wait_is_not_flooded(
    sidecar: Sidecar, source: PolicySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing holds the requests back, they still keep their distance."""
    monkeypatch.setattr(policy_remote, "MIN_INTERVAL_S", 0.2)
    sidecar.waits = False
    started = time.monotonic()
    until_version(source, 1)
    until(lambda: len(sidecar.requests) >= 5)
    assert len(sidecar.requests) <= (time.monotonic() - started) / 0.2 + 1


def test_a_tag_that_no_header_can_carry_is_not_sent_back(sidecar: Sidecar, source: PolicySource) -> None:
    """Asking goes on without it."""
    sidecar.publish(document(7), etag="\x80")
    until_version(source, 7)
    until(lambda: len(sidecar.requests) >= 3)
    assert ["if-none-match" in headers for _, headers in sidecar.requests[:3]] in ([False] * 3, [False, True, False])


def test_the_homes_file_is_not_read(sidecar: Sidecar, source: PolicySource, tmp_path: Path) -> None:
    """With an address set, a policy that happens to lie in the home counts for nothing."""
    file = tmp_path / "policy.json"
    file.write_bytes(document(9))
    file.chmod(0o600)
    until_version(source, 1)
    sidecar.publish(b"", status=500)
    until(lambda: len(sidecar.requests) > 3)
    assert source.current().version == 1


def test_the_key_is_in_no_log_line(
    sidecar: Sidecar, source: PolicySource, caplog: pytest.LogCaptureFixture, warnings: Callable[[], list[str]]
) -> None:
    """Neither the key nor the bearer made of it is logged, whatever goes wrong."""
    until_version(source, 1)
    sidecar.publish(b"", status=401)
    until(lambda: len(warnings()) == 1)
    sidecar.publish(b"", signature="sha256=no")
    until(lambda: len(warnings()) == 2)
    sidecar.close()
    until(lambda: len(warnings()) == 3)
    assert not [line for line in caplog.messages if KEY in line or reader_token(KEY) in line]


def test_close_ends_the_thread_that_waits(sidecar: Sidecar, tmp_path: Path) -> None:
    """Switching off does not wait for the answer that is held back, and asks nobody again."""
    before = set(threading.enumerate())
    source = PolicySource(Settings(home=tmp_path, policy_url=sidecar.url, policy_key=KEY))
    until_version(source, 1)
    until(lambda: len(sidecar.requests) == 2)
    started = time.monotonic()
    source.close()
    until(lambda: not [t for t in set(threading.enumerate()) - before if t.name == "trimtab-policy"])
    assert time.monotonic() - started < policy_remote.WAIT_S / 4
    assert source.current().version == 0
    assert len(sidecar.requests) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_asks_for_itself(sidecar: Sidecar, tmp_path: Path) -> None:
    """A child has a thread of its own from its first question on, and the parent's goes on undisturbed."""
    code = f"""
import os, pathlib, time
from trimtab_tracer.policy_source import PolicySource
from trimtab_tracer.settings import Settings
source = PolicySource(
    Settings(home=pathlib.Path({str(tmp_path)!r}), policy_url={sidecar.url!r}, policy_key={KEY!r})
)
def until_version(version):
    end = time.monotonic() + 60
    while source.current().version != version and time.monotonic() < end:
        time.sleep(0.01)
    return source.current().version == version
assert until_version(1)
input()
child = os.fork()
if child == 0:
    os._exit(40 + until_version(2))
print("ready", until_version(2), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
source.close()
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    until(lambda: len(sidecar.requests) == 2)  # the parent's thread waits in its second request
    process.stdin.write("fork now\n")
    process.stdin.flush()
    until(lambda: len(sidecar.requests) == 3)
    sidecar.publish(document(2))
    out, _ = process.communicate(timeout=60)
    assert out == "ready True 41\n"
    assert "if-none-match" not in sidecar.requests[2][1]


def test_a_sidecar_that_never_answered_leaves_the_incumbent(
    sidecar: Sidecar, tmp_path: Path, warnings: Callable[[], list[str]]
) -> None:
    """Without a last policy the sentence says what is in force instead."""
    sidecar.publish(b"", status=403)
    source = PolicySource(Settings(home=tmp_path, policy_url=sidecar.url, policy_key=KEY))
    until(lambda: source.current().version == 0 and len(sidecar.requests) >= 3)
    source.close()
    (why,) = warnings()
    assert "status 403 (is policy_key" in why
    assert why.endswith("; your code's own values hold.")


def test_a_base_path_goes_before_the_route(sidecar: Sidecar, tmp_path: Path) -> None:
    """A sidecar behind a proxy may live below a path."""
    source = PolicySource(Settings(home=tmp_path, policy_url=f"{sidecar.url}/agents/trimtab", policy_key=KEY))
    until_version(source, 1)
    source.close()
    assert sidecar.requests[0][0] == "/agents/trimtab/v1/policy?wait_s=20"
