"""Calls that took more than one request, or never got an answer."""

from __future__ import annotations

from typing import Any

NANOSECONDS = 1e9


def test_429_then_200_is_one_call_of_two_attempts(flow: Any) -> None:
    """A call that was refused once shows one call, two attempts, the provider's wish to wait, and the wait."""
    fault = {"status": 429, "retry_after_s": 0.4, "times": 1}
    ran = flow.run(flow.program("ask.py"), {"rules": [{"text": "Fine.", "fault": fault}]}, "plain")
    records = flow.records(ran.home)
    call = records.row("FROM calls")
    first, second = records.rows("FROM attempts ORDER BY number")
    assert (ran.stdout, [e.status for e in ran.log]) == ("Fine.\n", [429, 200])
    assert (call["status"], call["attempts"], call["http_status"], call["error_class"]) == ("ok", 2, 200, None)
    assert 0.4 <= call["wait_ns"] / NANOSECONDS < 2.0
    assert call["wait_ns"] == second["started_ns"] - first["ended_ns"]
    assert tuple(first[k] for k in ("number", "end", "http_status", "error_class", "retry_after_s")) == (
        1,
        "error",
        429,
        "rate_limit",
        0.4,
    )
    assert tuple(second[k] for k in ("number", "end", "http_status", "error_class", "sdk_retry")) == (
        2,
        "complete",
        200,
        None,
        1,
    )
    assert first["body_digest"] == second["body_digest"] == ran.log[0].body_digest


def test_overloaded_anthropic_is_one_call(flow: Any) -> None:
    """The same for an awaited Messages call that met an overloaded provider twice."""
    fault = {"status": 529, "retry_after_s": 0.05, "times": 2}
    ran = flow.run(flow.program("ask.py"), {"rules": [{"text": "Fine.", "fault": fault}]}, "messages")
    records = flow.records(ran.home)
    assert (ran.stdout, len(ran.log)) == ("Fine.\n", 3)
    assert records.row("FROM calls")["attempts"] == 3
    classes = [a["error_class"] for a in records.rows("FROM attempts ORDER BY number")]
    assert classes == ["overloaded", "overloaded", None]


def test_call_that_never_succeeds_fails_its_run(flow: Any) -> None:
    """After the SDK's last attempt the call is an error, and the run names the exception and the user's line."""
    fault = {"status": 500, "retry_after_ms": 20, "message": "the disk is on fire"}
    ran = flow.run(flow.program("ask.py"), {"rules": [{"fault": fault}]}, "plain", "uncaught")
    records = flow.records(ran.home)
    run = records.row("SELECT r.*, s.line FROM runs r JOIN sites s ON s.site_id = r.error_site_id")
    call = records.row("SELECT c.*, s.line FROM calls c JOIN sites s USING (site_id)")
    assert ran.returncode == 1
    assert ran.stdout.startswith("openai.InternalServerError")
    assert (call["status"], call["attempts"], call["error_class"]) == ("error", 3, "server")
    assert {"the disk is on fire"} == {a["provider_error_message"] for a in records.rows("FROM attempts")}
    assert ("error", "openai.InternalServerError", call["line"]) == (run["status"], run["error_type"], run["line"])


def test_dropped_connections_are_attempts(flow: Any) -> None:
    """A connection that closes without an answer is an attempt with its exception, and the call goes on."""
    ran = flow.run(
        flow.program("ask.py"), {"rules": [{"text": "Fine.", "fault": {"kind": "drop", "times": 1}}]}, "plain"
    )
    records = flow.records(ran.home)
    first, second = records.rows("FROM attempts ORDER BY number")
    assert (ran.stdout, [e.status for e in ran.log]) == ("Fine.\n", [None, 200])
    assert (first["end"], first["error_class"], first["http_status"]) == ("error", "connection", None)
    assert "RemoteProtocolError" in first["error_type"]
    assert (first["call_id"], 2) == (second["call_id"], second["number"])


def test_timeout_is_an_error_of_its_own_class(flow: Any) -> None:
    """A call that ran into its read timeout says so, and how long it was allowed to take."""
    ran = flow.run(flow.program("ask.py"), {"rules": [{"text": "Late.", "delay_s": 3}]}, "impatient")
    records = flow.records(ran.home)
    attempt = records.row("FROM attempts")
    assert ran.stdout.startswith("openai.APITimeoutError")
    assert tuple(attempt[k] for k in ("end", "error_class", "timeout_s", "max_retries")) == (
        "error",
        "timeout",
        0.25,
        0,
    )
    assert 0.25 <= (attempt["ended_ns"] - attempt["started_ns"]) / NANOSECONDS < 2.0
    decision = records.row("FROM decisions d JOIN sites s USING (site_id) WHERE d.knob = 'timeout_s'")
    assert tuple(decision[k] for k in ("value", "source", "site_role", "function")) == (
        "0.25",
        "code",
        "constructor",
        "impatient",
    )


def test_cancelled_call_is_recorded(flow: Any) -> None:
    """A call that its program cancels is one attempt that ended as cancelled."""
    ran = flow.run(flow.program("ask.py"), {"rules": [{"text": "Late.", "delay_s": 3}]}, "cancel")
    attempt = flow.records(ran.home).row("FROM attempts")
    assert ran.stdout.startswith("asyncio.exceptions.CancelledError")
    assert (attempt["end"], attempt["error_class"]) == ("error", "cancelled")
