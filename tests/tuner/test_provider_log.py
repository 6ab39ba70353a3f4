"""The scripted provider's request log: what other tests compare a capture with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from trimtab_tuner.provider import Provider, ProviderError, Scenario

CHAT: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "héllo"}]}


def test_an_entry_tells_the_request_and_the_response() -> None:
    """Times bracket the request, the digest is that of the raw bytes, ids are those in body and header."""
    content = json.dumps(CHAT, indent=1).encode()
    with Provider(Scenario.from_dict({"rules": [{"text": "ok", "response_model": "gpt-x-1"}]})) as provider:
        before = time.time_ns()
        response = httpx.post(f"{provider.url}/v1/chat/completions?v=1", content=content)
        after = time.time_ns()
        (entry,) = provider.log.entries
    assert before <= entry.received_ns <= entry.finished_ns <= after
    assert (entry.n, entry.method, entry.path) == (1, "POST", "/v1/chat/completions?v=1")
    assert (entry.api, entry.model, entry.stream, entry.step, entry.rule) == ("openai.chat", "gpt-x", False, 0, 0)
    assert entry.body == CHAT
    assert entry.body_digest == hashlib.sha256(content).hexdigest()[:16]
    assert (entry.response_id, entry.request_id) == (response.json()["id"], response.headers["x-request-id"])
    assert (entry.text, entry.finish, response.json()["model"]) == ("ok", "stop", "gpt-x-1")
    assert entry.response_bytes == len(response.content)


def test_secrets_are_not_logged(tmp_path: Path) -> None:
    """Keys in headers, cookies and the query leave no trace in memory or in the file."""
    headers = {
        "authorization": "Bearer sk-secret",
        "x-api-key": "sk-secret",
        "x-goog-api-key": "sk-secret",
        "cookie": "session=sk-secret",
        "x-other": "kept",
    }
    path = tmp_path / "log.jsonl"
    with Provider(log_path=path) as provider:
        httpx.post(f"{provider.url}/v1/chat/completions?a=1&key=sk-secret&b=2", json=CHAT, headers=headers)
        (entry,) = provider.log.entries
    assert "sk-secret" not in repr(entry) + path.read_text("utf-8")
    assert entry.headers["authorization"] == "[redacted]"
    assert entry.headers["x-other"] == "kept"
    assert entry.path == "/v1/chat/completions?a=1&key=[redacted]&b=2"


def test_the_file_holds_the_same_entries(tmp_path: Path) -> None:
    """Each request appends one JSON line, which is there when the response is."""
    path = tmp_path / "log.jsonl"
    for start in (0, 3):
        with Provider(log_path=path) as provider, httpx.Client() as client:
            for i in range(3):
                client.post(f"{provider.url}/v1/chat/completions", json={**CHAT, "stream": i == 1})
                assert start + i + 1 == len(path.read_text("utf-8").splitlines())
            entries = [json.loads(json.dumps(dataclasses.asdict(e))) for e in provider.log.entries]
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines[3:] == entries
    assert [line["n"] for line in lines] == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("stream", [True, False])
def test_an_entry_is_there_when_the_client_has_the_last_byte(stream: bool) -> None:
    """No test needs to wait for the log after a complete response."""
    with Provider(Scenario.from_dict({"rules": [{"words": 5}]})) as provider, httpx.Client() as client:
        for n in range(1, 101):
            client.post(f"{provider.url}/v1/chat/completions", json={**CHAT, "stream": stream})
            assert len(provider.log.entries) == n


def test_waiting_for_a_request_that_never_comes() -> None:
    """``wait_for`` gives up with what it saw and what it expected."""
    with Provider() as provider, pytest.raises(TimeoutError, match=r"0 requests .* expected 1"):
        provider.log.wait_for(1, timeout_s=0.05)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder in the place of the file is one clear sentence before anything listens."""
    with pytest.raises(ProviderError, match="request log can't be written"):
        Provider(log_path=tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full to have a full disk")
def test_a_full_disk_does_not_stop_the_answers() -> None:
    """Requests are answered and kept in memory when the log's disk is full; the error is kept too."""
    with Provider(log_path="/dev/full") as provider:
        assert httpx.post(f"{provider.url}/v1/chat/completions", json=CHAT).status_code == 200
        assert len(provider.log.entries) == 1
        assert provider.log.file_error is not None


def test_requests_in_flight_when_it_closes_are_logged() -> None:
    """Closing cuts what is open, without waiting for it."""
    with Provider(Scenario.from_dict({"rules": [{"text": "late", "delay_s": 60}]})) as provider:
        with httpx.Client() as client, pytest.raises(httpx.TimeoutException):
            client.post(f"{provider.url}/v1/chat/completions", json=CHAT, timeout=0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert provider.log.wait_for(1)[0].status is None
