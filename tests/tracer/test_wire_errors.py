from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.wire.errors import RETRYABLE, classify

CLASSES = RETRYABLE | {"auth", "not_found", "bad_request", "context_overflow", "quota", "cancelled", "other"}
TEXT = st.none() | st.text(max_size=40) | st.sampled_from(["overloaded_error", "insufficient_quota", "httpx.ReadError"])


@pytest.mark.parametrize(
    ("status", "exception", "kind", "code", "message", "expected"),
    [
        (200, None, None, None, None, None),
        (None, None, None, None, None, None),
        (429, None, "requests", "rate_limit_exceeded", "Rate limit reached", "rate_limit"),
        (429, None, "insufficient_quota", "insufficient_quota", "You exceeded your current quota", "quota"),
        (
            429,
            None,
            "RESOURCE_EXHAUSTED",
            "429",
            "You exceeded your current quota, please check your plan",
            "rate_limit",
        ),
        (402, None, None, "402", "Insufficient credits", "quota"),
        (400, None, "invalid_request_error", None, "Your credit balance is too low to access", "quota"),
        (529, None, "overloaded_error", None, "Overloaded", "overloaded"),
        (503, None, "UNAVAILABLE", "503", "The model is overloaded.", "overloaded"),
        (503, None, None, None, "upstream connect error", "server"),
        (500, None, "server_error", None, None, "server"),
        (502, None, None, None, None, "server"),
        (504, None, None, None, None, "server"),
        (408, None, None, None, None, "timeout"),
        (401, None, "authentication_error", None, None, "auth"),
        (403, None, "permission_error", None, None, "auth"),
        (400, None, "INVALID_ARGUMENT", "400", "API key not valid. Please pass a valid API key.", "auth"),
        (404, None, "invalid_request_error", "model_not_found", None, "not_found"),
        (400, None, "invalid_request_error", "model_not_found", None, "not_found"),
        (
            400,
            None,
            "invalid_request_error",
            "context_length_exceeded",
            "maximum context length is 8192",
            "context_overflow",
        ),
        (
            400,
            None,
            "invalid_request_error",
            None,
            "prompt is too long: 210000 tokens > 200000 maximum",
            "context_overflow",
        ),
        (
            400,
            None,
            "INVALID_ARGUMENT",
            "400",
            "The input token count (1100000) exceeds the maximum",
            "context_overflow",
        ),
        (400, None, "invalid_request_error", "invalid_type", "temperature must be a number", "bad_request"),
        (422, None, None, None, None, "bad_request"),
        # Errors inside a stream that began with 200.
        (200, None, "overloaded_error", None, "Overloaded", "overloaded"),
        (200, None, None, "rate_limit_exceeded", "slow down", "rate_limit"),
        (200, None, None, "502", "Provider returned error", "server"),
        (200, None, "strange", None, None, "other"),
        # Exceptions of the transport.
        (None, "httpx.ReadTimeout", None, None, None, "timeout"),
        (None, "builtins.TimeoutError", None, None, None, "timeout"),
        (None, "httpx2.ConnectError", None, None, None, "connection"),
        (None, "httpx.RemoteProtocolError", None, None, None, "connection"),
        (200, "httpx.RemoteProtocolError", None, None, None, "stream_broken"),
        (200, "httpx.ReadTimeout", None, None, None, "timeout"),
        (None, "asyncio.exceptions.CancelledError", None, None, None, "cancelled"),
        (200, "builtins.GeneratorExit", None, None, None, "cancelled"),
        (None, "builtins.ValueError", None, None, None, "other"),
        # A status says more than the exception that the client made of it.
        (429, "httpx.HTTPStatusError", None, None, None, "rate_limit"),
    ],
)
def test_failures_have_one_vocabulary(
    status: int | None,
    exception: str | None,
    kind: str | None,
    code: str | None,
    message: str | None,
    expected: str | None,
) -> None:
    """Status, exception and envelope of every provider give one class; a fine attempt gives None."""
    assert classify(status, exception, kind, code, message) == expected


@given(status=st.none() | st.integers(0, 999), exception=TEXT, kind=TEXT, code=TEXT, message=TEXT)
def test_classify_never_raises(
    status: int | None, exception: str | None, kind: str | None, code: str | None, message: str | None
) -> None:
    """Any input gives a known class or None, and a status from 400 on always a class."""
    found = classify(status, exception, kind, code, message)
    assert found is None or found in CLASSES
    assert found is not None or status is None or status < 400
