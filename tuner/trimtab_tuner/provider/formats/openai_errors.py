"""OpenAI's error envelope, the same for its three APIs."""

from __future__ import annotations

from typing import Any, NamedTuple

from .base import Problem


class _Words(NamedTuple):
    type: str
    code: str | None
    message: str


_WORDS = {
    400: _Words("invalid_request_error", None, "The scripted provider was told to find this request invalid."),
    401: _Words("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: _Words("invalid_request_error", "forbidden", "You are not allowed to do this."),
    404: _Words("invalid_request_error", "model_not_found", "The requested resource does not exist."),
    409: _Words("invalid_request_error", "conflict", "The resource was changed by another request."),
    413: _Words("invalid_request_error", "request_too_large", "The request is too large."),
    422: _Words("invalid_request_error", "unprocessable_entity", "The request can't be processed."),
    429: _Words("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
    500: _Words("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: _Words("server_error", "server_is_overloaded", "The server is overloaded or not ready yet."),
    529: _Words("server_error", "server_is_overloaded", "The server is overloaded or not ready yet."),
}


def words(problem: Problem) -> _Words:
    """Type, code and message of ``problem``, the API's usual ones where it gives none."""
    usual = _WORDS.get(problem.status, _WORDS[400 if problem.status < 500 else 500])
    # A message of our own goes with the code that belongs to it, not with the one of the status.
    code = problem.code if problem.code is not None or problem.message is not None else usual.code
    if problem.message is not None and problem.code is None and problem.status in (401, 429):
        code = usual.code
    return _Words(problem.type or usual.type, code, problem.message or usual.message)


def envelope(problem: Problem) -> dict[str, Any]:
    """The body of an error response."""
    usual = words(problem)
    return {"error": {"message": usual.message, "type": usual.type, "param": problem.param, "code": usual.code}}
