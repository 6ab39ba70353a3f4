"""Calls that took more than one request, or never got an answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

NANOSECONDS = 1e9
LATE = {"text": "Late.", "delay_s": 3}
BROKEN = {"status": 500, "retry_after_ms": 20, "message": "the disk is on fire"}

CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "429 then 200": ({"text": "Fine.", "fault": {"status": 429, "retry_after_s": 0.4, "times": 1}}, ("plain",)),
    "529 twice": ({"text": "Fine.", "fault": {"status": 529, "retry_after_s": 0.05, "times": 2}}, ("messages",)),
    "500 forever": ({"fault": BROKEN}, ("plain", "uncaught")),
    "drop": ({"text": "Fine.", "fault": {"kind": "drop", "times": 1}}, ("plain",)),
    "timeout": (LATE, ("impatient",)),
    "cancel": (LATE, ("cancel",)),
}
"""What the provider does, and how the program asks."""


@pytest.fixture(scope="module")
def asked(flow: Any, warm: Any) -> Iterator[dict[str, Future[Any]]]:
    """The program, run for every case, two at a time."""
    program, imported = flow.program("ask.py"), warm("openai")
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(flow.run_warm, program, {"rules": [rule]}, imported, *way)
            for name, (rule, way) in CASES.items()
        }


def test_429_then_200_is_one_call_of_two_attempts(flow: Any, asked: Any) -> None:
    """A call that was refused once shows one call, two attempts, the provider's wish to wait, and the wait."""
    ran = asked["429 then 200"].result()
    records = flow.records(ran.home)
    call = records.row("FROM calls")
    first, second = records.rows("FROM attempts ORDER BY number")
    assert (ran.stdout, [e.status for e in ran.log]) == ("Fine.\n", [429, 200])
    assert picked(call, "status", "attempts", "http_status", "error_class") == ("ok", 2, 200, None)
    assert 0.4 <= call["wait_ns"] / NANOSECONDS < 10
    assert call["wait_ns"] == second["started_ns"] - first["ended_ns"]
    assert picked(first, "number", "http_status", "error_class", "retry_after_s") == (1, 429, "rate_limit", 0.4)
    assert picked(second, "number", "http_status", "error_class", "sdk_retry") == (2, 200, None, 1)
    assert first["body_digest"] == second["body_digest"] == ran.log[0].body_digest


def test_overloaded_anthropic_is_one_call(flow: Any, asked: Any) -> None:
    """The same for an awaited Messages call that met an overloaded provider twice."""
    ran = asked["529 twice"].result()
    records = flow.records(ran.home)
    assert (ran.stdout, len(ran.log)) == ("Fine.\n", 3)
    assert records.row("FROM calls")["attempts"] == 3
    classes = [a["error_class"] for a in records.rows("FROM attempts ORDER BY number")]
    assert classes == ["overloaded", "overloaded", None]


def test_call_that_never_succeeds_fails_its_run(flow: Any, asked: Any) -> None:
    """After the SDK's last attempt the call is an error, and the run names the exception and the user's line."""
    ran = asked["500 forever"].result()
    records = flow.records(ran.home)
    run = records.row("SELECT r.*, s.line FROM runs r JOIN sites s ON s.site_id = r.error_site_id")
    call = records.row("SELECT c.*, s.line FROM calls c JOIN sites s USING (site_id)")
    assert ran.returncode == 1
    assert ran.stdout.startswith("openai.InternalServerError")
    assert picked(call, "status", "attempts", "error_class") == ("error", 3, "server")
    assert {"the disk is on fire"} == {a["provider_error_message"] for a in records.rows("FROM attempts")}
    assert ("error", "openai.InternalServerError", call["line"]) == picked(run, "status", "error_type", "line")


def test_dropped_connection_is_an_attempt(flow: Any, asked: Any) -> None:
    """A connection that closes without an answer is an attempt with its exception, and the call goes on."""
    ran = asked["drop"].result()
    first, second = flow.records(ran.home).rows("FROM attempts ORDER BY number")
    assert (ran.stdout, [e.status for e in ran.log]) == ("Fine.\n", [None, 200])
    assert picked(first, "end", "error_class", "http_status") == ("error", "connection", None)
    assert "RemoteProtocolError" in first["error_type"]
    assert (first["call_id"], 2) == picked(second, "call_id", "number")


def test_timeout_is_an_error_of_its_own_class(flow: Any, asked: Any) -> None:
    """A call that ran into its read timeout says so, and how long it was allowed to take."""
    ran = asked["timeout"].result()
    records = flow.records(ran.home)
    attempt = records.row("FROM attempts")
    assert ran.stdout.startswith("openai.APITimeoutError")
    assert picked(attempt, "end", "error_class", "timeout_s", "max_retries") == ("error", "timeout", 0.25, 0)
    assert 0.25 <= (attempt["ended_ns"] - attempt["started_ns"]) / NANOSECONDS < LATE["delay_s"]
    decision = records.row("SELECT d.*, function FROM decisions d JOIN sites USING (site_id) WHERE knob = 'timeout_s'")
    pin = picked(decision, "value", "source", "site_role", "function")
    assert pin == ("0.25", "code", "constructor", "impatient")


def test_cancelled_call_is_recorded(flow: Any, asked: Any) -> None:
    """A call that its program cancels is one attempt that ended as cancelled."""
    ran = asked["cancel"].result()
    attempt = flow.records(ran.home).row("FROM attempts")
    assert ran.stdout.startswith("asyncio.exceptions.CancelledError")
    assert picked(attempt, "end", "error_class") == ("error", "cancelled")


def picked(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Some values of a row."""
    return tuple(row[name] for name in names)
