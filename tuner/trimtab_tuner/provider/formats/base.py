"""What a wire format is: how a request is read, and how an answer, a stream and an error are written.

In: a parsed request body, or a :class:`Reply` (the answer with everything that varies already fixed). Out: bytes and
JSON objects. The module holds what all formats share, so that each of them is one file about one API. Formats are pure:
no sockets, no clocks, no counters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from ..answers import Answer, Usage
from ..ids import Ids

SSE_TYPE = "text/event-stream; charset=utf-8"
"""Content type of server-sent events."""

FINGERPRINT = "fp_scripted"
"""Says in every body that has a place for it that no model answered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, in neutral words."""

    model: str
    stream: bool = False
    step: int = 0
    """Assistant turns in the request itself."""
    last_user: str = ""
    last_tool_result: str = ""
    tool_result_ids: tuple[str, ...] = ()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    """Stop sequences."""
    previous_id: str | None = None
    """Response that this request continues; :mod:`..script` knows its turns."""
    include_usage: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""
    """What the format needs to remember about the path."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error to be sent in an API's own envelope; what is None gets the API's usual words."""

    status: int
    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    retry_after_ms: float | None = None
    should_retry: bool | None = None


class BadRequestError(Exception):
    """The request can't be answered; carries the :class:`Problem` to send."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with all that a format needs to write it."""

    asked: Asked
    answer: Answer
    usage: Usage
    ids: Ids
    created_s: int
    request_id: str

    @property
    def model(self) -> str:
        """Name of the model that the response claims."""
        return self.answer.response_model or self.asked.model

    @property
    def finish(self) -> str:
        """``stop | tool_calls | length | content_filter | malformed_tool_call`` (the last from ``adapt`` only)."""
        return "tool_calls" if self.answer.finish == "stop" and self.answer.tool_calls else self.answer.finish


class Chunk(NamedTuple):
    """One event of a stream, with what of the answer it completes (for the log)."""

    data: bytes
    text: str = ""
    tool: int | None = None
    """Index of the tool call whose arguments are complete with this chunk."""
    usage: bool = False


class Format(Protocol):
    """One endpoint of one API."""

    api: ClassVar[str]
    response_prefix: ClassVar[str]
    """What the id in a response body begins with; empty where there is none."""
    call_prefix: ClassVar[str]
    """What a tool call's id begins with; empty where there is none."""
    embeds: ClassVar[bool]

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Asked:
        """What the request asks for.

        Args:
            body: the parsed JSON object.
            path: ``model`` and ``action`` where the path holds them, and the query.

        Raises:
            BadRequestError: a field that the API requires is missing or of a wrong type.
        """
        ...

    def stream_type(self, asked: Asked) -> str:
        """Content type of a stream."""
        ...

    def adapt(self, reply: Reply) -> Reply | Problem:
        """The reply as far as this API can express it, or the error that it reports instead."""
        ...

    def body(self, reply: Reply) -> dict[str, Any]:
        """The whole response."""
        ...

    def stream(self, reply: Reply) -> Iterator[Chunk]:
        """The response as a stream, complete with its end marker."""
        ...

    def error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        """An error's body."""
        ...

    def stream_error(self, problem: Problem, reply: Reply, sent: int) -> bytes:
        """The event that tells of an error after ``sent`` events."""
        ...


def dumps(value: Any) -> bytes:
    """Compact JSON, as providers send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def sse(data: Any, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + dumps(data) + b"\n\n"


def require(body: Mapping[str, Any], key: str, kind: type | tuple[type, ...], expected: str) -> Any:
    """The value of ``key``.

    Raises:
        BadRequestError: it is missing, or not ``expected``.
    """
    if key not in body:
        raise BadRequestError(
            Problem(400, f"Missing required parameter: '{key}'.", param=key, code="missing_required_parameter")
        )
    if not isinstance(body[key], kind):
        raise BadRequestError(
            Problem(400, f"Invalid type for '{key}': expected {expected}.", param=key, code="invalid_type")
        )
    return body[key]


def text_of(content: Any, kinds: tuple[str, ...] = ("text", "input_text", "output_text")) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (p for p in content if isinstance(p, dict) and p.get("type") in kinds)
    return "".join(str(p.get("text") or "") for p in parts)


def texts(value: Any) -> tuple[str, ...]:
    """``value`` if it is a text, or the texts in it if it is a list; empty ones left out."""
    found = value if isinstance(value, list) else [value]
    return tuple(text for text in found if isinstance(text, str) and text)


def whole_number(value: Any) -> int | None:
    """``value`` if it is a whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
