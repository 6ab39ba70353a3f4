"""One vocabulary for failed attempts, whatever provider, SDK or network they failed on.

In: HTTP status, exception class and the provider's error envelope of one attempt. Out: an error class, or
None where nothing failed. A module of its own because the collector and the importers classify what the
hook only records; a class added here changes no stored record, only what is derived from it.
"""

from __future__ import annotations

from ..patterns import lazy_pattern

RETRYABLE = frozenset({"rate_limit", "overloaded", "server", "timeout", "connection", "stream_broken"})
"""Classes where the same request may succeed later; repeating any other one is futile."""

_OVERFLOW = lazy_pattern(
    r"context_length_exceeded|maximum context length|context window|prompt is too long|input is too long"
    r"|input token count|exceeds? the (?:maximum|model'?s) (?:context|number of tokens)|exceeds the context"
    r"|too many (?:input )?tokens|reduce the length of the (?:messages|prompt|input)"
)
_QUOTA = lazy_pattern(
    r"insufficient[_ ](?:quota|balance|credits|funds)|billing_|credit balance is too low|out of credits"
)
_KEY = lazy_pattern(r"api[_ ]?key[_ ](?:not valid|invalid)|invalid[_ ]api[_ ]?key|incorrect api key|unauthenticated")

_BY_TYPE = {
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "resource_exhausted": "rate_limit",
    "too_many_requests": "rate_limit",
    "requests": "rate_limit",
    "tokens": "rate_limit",
    "overloaded_error": "overloaded",
    "overloaded": "overloaded",
    "api_error": "server",
    "server_error": "server",
    "internal_error": "server",
    "internal_server_error": "server",
    "internal": "server",
    "unavailable": "overloaded",
    "timeout_error": "server",
    "deadline_exceeded": "server",
    "authentication_error": "auth",
    "permission_error": "auth",
    "permission_denied": "auth",
    "invalid_api_key": "auth",
    "not_found_error": "not_found",
    "not_found": "not_found",
    "model_not_found": "not_found",
    "invalid_request_error": "bad_request",
    "invalid_argument": "bad_request",
    "request_too_large": "bad_request",
    "failed_precondition": "bad_request",
    "billing_error": "quota",
}
"""Providers' error types and codes, in lower case: they decide where the HTTP status says 200 (an error inside a
stream) or nothing."""

_BY_STATUS = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    429: "rate_limit",
    499: "cancelled",
    529: "overloaded",
}

_CANCELLED = {"CancelledError", "Cancelled", "KeyboardInterrupt", "GeneratorExit", "SystemExit"}
_BROKEN = {"ReadError", "RemoteProtocolError", "IncompleteRead", "ClientPayloadError", "ChunkedEncodingError"}
_CONNECTION = {
    "ConnectError",
    "WriteError",
    "CloseError",
    "NetworkError",
    "ProxyError",
    "ProtocolError",
    "LocalProtocolError",
    "UnsupportedProtocol",
    "APIConnectionError",
    "ServerDisconnectedError",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientOSError",
    "ConnectionError",
    "ConnectionResetError",
    "ConnectionRefusedError",
    "ConnectionAbortedError",
    "BrokenPipeError",
    "gaierror",
    "SSLError",
    "OSError",
}


def classify(
    http_status: int | None,
    error_type: str | None,
    provider_type: str | None = None,
    provider_code: str | None = None,
    message: str | None = None,
) -> str | None:
    """The class of a failed attempt, or None where it is fine.

    Args:
        http_status: Of the response; None where none came.
        error_type: Exception class as ``module.Name`` where the request or its stream raised.
        provider_type: Type in the provider's error envelope, also of one that came inside a stream.
        provider_code: Code in the envelope.
        message: The envelope's message.

    Returns:
        ``rate_limit | overloaded | server | timeout | connection | stream_broken | auth | not_found | bad_request |
        context_overflow | quota | cancelled | other``.
    """
    is_status_error = http_status is not None and http_status >= 400
    if is_status_error or provider_type or provider_code or (message and not error_type):
        return _from_provider(http_status or 0, (provider_type or "").lower(), (provider_code or "").lower(), message)
    if error_type:
        return _from_exception(error_type.rpartition(".")[2], has_response=http_status is not None)
    return None


def _from_provider(status: int, kind: str, code: str, message: str | None) -> str:
    said = f"{kind} {code} {(message or '')[:2000].lower()}"
    known = _BY_TYPE.get(code) or _BY_TYPE.get(kind) or (_BY_STATUS.get(int(code)) if code.isdecimal() else None)
    # Gemini says "exceeded your current quota" for plain rate limits, so that sentence alone is no quota.
    if status == 402 or _QUOTA.search(said):
        return "quota"
    if (status in (0, 200, 400, 413, 422) or status >= 500) and _OVERFLOW.search(said):
        return "context_overflow"
    if status in (400, 401, 403) and _KEY.search(said):
        return "auth"
    if status >= 500:
        is_busy = status == 529 or known == "overloaded" or (status == 503 and "overloaded" in said)
        return "overloaded" if is_busy else "server"
    if status >= 400:
        by_status = _BY_STATUS.get(status)
        return by_status or (known if known in ("not_found", "auth", "rate_limit") else None) or "bad_request"
    if known is None and code.isdecimal() and int(code) >= 500:
        return "server"
    return known or "other"


def _from_exception(name: str, *, has_response: bool) -> str:
    if "Timeout" in name:
        return "timeout"
    if name in _CANCELLED:
        return "cancelled"
    if name in _BROKEN:
        return "stream_broken" if has_response else "connection"
    if name in _CONNECTION or name.startswith("ClientConnector"):
        return "stream_broken" if has_response else "connection"
    return "other"
