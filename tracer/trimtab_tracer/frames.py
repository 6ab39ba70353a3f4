"""What an agent and its sidecar say to each other over the socket in their home.

In: what the hooks caught (:class:`.caught.Caught`) on the agent's side, messages on the sidecar's. Out: messages, each
one ``SOCK_SEQPACKET`` datagram that arrives whole or not at all, and from them the captured bytes again. A module of
its own because both sides import it and it knows no socket. Everything that comes in is checked: what is no message of
ours raises :class:`FrameError`.

======  ==================================================================================================
kind    what follows the first byte
======  ==================================================================================================
hello   JSON: version of this table, the agent's process, its content mode
memory  memos (:mod:`.memory`), one JSON line each, the oldest first
attempt a fixed head, the attempt's line of the spool, JSON of what else is known, both bodies as they came
welcome nothing: the hello was understood
ack     number of the last attempt whose records are written, and the memos of those since the ack before
======  ==================================================================================================

The bodies of a large attempt travel in a file in memory whose descriptor comes with the message.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from .caught import Caught, decode
from .decisions import Order, Pin, of_the_sdk
from .exchange import Captured
from .records import Attempt, Choice, Process, from_dict, to_dict
from .segments import choice_text, decode_line, encode
from .sites import UNKNOWN
from .wire import formats

VERSION = 1
"""Of the table above; a sidecar refuses an agent of another one, which then does the work by itself."""

SOCKET = "handover.sock"
"""Name of the socket in a home."""

HELLO, MEMORY, ATTEMPT, WELCOME, ACK = b"H", b"M", b"A", b"W", b"K"

MAX_MESSAGE_BYTES = 256 * 1024
"""Longest message; of an attempt with larger bodies these come in a file."""

MAX_FILE_BYTES = 128 * 1024 * 1024
"""Largest such file that is read."""

_HEAD = struct.Struct("<cQBIIii")
_ACK = struct.Struct("<cQ")
_IS_SSE, _IN_FILE = 1, 2
_MAX_KNOWN = 1024


class FrameError(ValueError):
    """A message that is none of ours."""


class Hello(NamedTuple):
    """Who speaks, and what the sidecar is to keep of it."""

    process: Process
    content_mode: str


class Arrived(NamedTuple):
    """One attempt on the sidecar's side; ``file_bytes`` of bodies are still in a file."""

    number: int
    line: bytes
    more: bytes
    is_sse: bool
    request_bytes: int
    response_bytes: int
    """-1 for a body that there is not."""
    bodies: bytes
    file_bytes: int


def hello(process: Process, content_mode: str) -> bytes:
    """The first message of an agent."""
    said = {"version": VERSION, "process": to_dict(process), "content": content_mode}
    return HELLO + json.dumps(said).encode()


def read_hello(message: bytes) -> Hello:
    """Who it is.

    Raises:
        FrameError: it is no hello, or one of another version.
    """
    try:
        said = json.loads(message[1:]) if message[:1] == HELLO else None
        if not isinstance(said, dict) or said.get("version") != VERSION:
            raise FrameError("no hello of this version")
        process, mode = from_dict(said["process"]), said["content"]
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise FrameError(f"no hello: {error}") from error
    if not isinstance(process, Process) or mode not in ("off", "redacted", "full"):
        raise FrameError("a hello without a process or with an unknown content mode")
    if not _is_process(process):
        raise FrameError("a process that is none")
    return Hello(process, mode)


def _is_process(process: Process) -> bool:
    """Whether its id may be part of a file's name, and its fields are what they should be."""
    process_id = process.process_id
    is_id = isinstance(process_id, str) and len(process_id) == 32 and set(process_id) <= set("0123456789abcdef")
    numbers = (process.pid, process.ts_ns, process.schema_version)
    return is_id and all(type(number) is int for number in numbers) and isinstance(process.boot_id, str)


def attempt(number: int, caught: Caught) -> tuple[list[bytes], int]:
    """The parts of an attempt's message, head first, and how many bytes they are."""
    line = caught.line if caught.line is not None else encode(caught.attempt)
    more = _more(caught)
    request, response = caught.request_body, caught.response_body
    parts = [line, more]
    sizes = [-1, -1]
    if request is not None:
        parts.append(request)
        sizes[0] = len(request)
    if response is not None:
        parts.append(response)
        sizes[1] = len(response)
    flags = _IS_SSE if "text/event-stream" in caught.content_type else 0
    head = _HEAD.pack(ATTEMPT, number, flags, len(line), len(more), *sizes)
    return [head, *parts], len(head) + len(line) + len(more) + caught.size_bytes


def without_bodies(parts: list[bytes]) -> list[bytes]:
    """The same message for bodies that are in a file."""
    kind, number, flags, *sizes = _HEAD.unpack(parts[0])
    return [_HEAD.pack(kind, number, flags | _IN_FILE, *sizes), *parts[1:3]]


def read_attempt(message: memoryview) -> Arrived:
    """One attempt, as far as the message holds it.

    Raises:
        FrameError: its lengths don't fit together.
    """
    if len(message) < _HEAD.size:
        raise FrameError("an attempt without a head")
    _, number, flags, line, more, request, response = _HEAD.unpack_from(message)
    bodies = max(request, 0) + max(response, 0)
    here = 0 if flags & _IN_FILE else bodies
    if request < -1 or response < -1 or len(message) != _HEAD.size + line + more + here or bodies > MAX_FILE_BYTES:
        raise FrameError("an attempt whose lengths do not fit")
    at = _HEAD.size
    text, rest = bytes(message[at : at + line + more]), bytes(message[at + line + more :])
    is_sse = bool(flags & _IS_SSE)
    return Arrived(number, text[:line], text[line:], is_sse, request, response, rest, bodies - here)


def captured(arrived: Arrived, bodies: bytes, process_id: str) -> Captured:
    """The attempt with its bodies, as :meth:`.caught.Caught.captured` gives it in the agent.

    Raises:
        FrameError: it is no attempt of that process.
    """
    of = decode_line(arrived.line)
    fmt = formats.by_api(of.api) if isinstance(of, Attempt) else None
    if not isinstance(of, Attempt) or fmt is None or of.process_id != process_id:
        raise FrameError("no attempt of this process")
    cut = max(arrived.request_bytes, 0)
    response = bodies[cut:] if arrived.response_bytes >= 0 else None
    try:
        known = _known_more(arrived.more) if len(arrived.more) <= _SHORT else _read_more(arrived.more)
        encoding, choices, orders = known
        decoded = decode(response, encoding) if response is not None else None
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FrameError(f"an attempt with odd choices: {error}") from error
    asked = bodies[:cut] if arrived.request_bytes >= 0 else None
    return Captured(of, fmt, asked, decoded, arrived.is_sse, choices=choices, orders=orders)


def _read_more(more: bytes) -> tuple[str, tuple[Choice, ...], tuple[Order, ...]]:
    encoding, choices, orders = json.loads(more)
    read = tuple([Choice(**choice) for choice in choices])
    return str(encoding), read, tuple([_order(*order) for order in orders])


_known_more = lru_cache(maxsize=256)(_read_more)
_SHORT = 4096
"""What is remembered as read is no longer than this."""


_known: dict[tuple[int, float | None, str, str], tuple[Any, bytes]] = {}
"""What is known beside attempt and bodies, by what it follows from: an agent's calls differ in their bodies alone."""


def _more(caught: Caught) -> bytes:
    """JSON: encodings of the response, choices of the SDK's client, orders of a policy."""
    of, hint = caught.attempt, caught.hint
    key = (id(hint), of.timeout_s, of.site_id, caught.content_encoding)
    known = _known.get(key) if not caught.orders else None
    if known is not None and known[0] is hint:
        return known[1]
    choices = ",".join([choice_text(choice) for choice in of_the_sdk(of.timeout_s, hint, caught.site)])
    orders = json.dumps([_order_parts(order) for order in caught.orders], default=str)
    more = f"[{json.dumps(caught.content_encoding)},[{choices}],{orders}]".encode()
    if not caught.orders:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[key] = hint, more
    return more


def _order_parts(order: Order) -> tuple[Any, ...]:
    drawn = (order.knob, order.value, order.is_incumbent, order.propensity, order.source, order.policy_version)
    parts = (*drawn, order.rule_id, order.pin.site.site_id, order.pin.source, order.pin.role)
    # Only where there are any, so that a sidecar of an earlier version reads what has none.
    return parts if order.seen is None and order.verdict is None else (*parts, order.seen, order.verdict)


def _order(*parts: Any) -> Order:
    knob, value, is_incumbent, propensity, by, version, rule_id, site_id, source, role, *more = parts
    seen, verdict = more or (None, None)
    pin = Pin(replace(UNKNOWN, site_id=site_id), source, role)  # of the site only its id is recorded
    return Order(knob, value, is_incumbent, propensity, by, version, rule_id, pin, seen=seen, verdict=verdict)


def ack(number: int, memos: list[bytes]) -> bytes:
    """Everything up to attempt ``number`` is written."""
    return _ACK.pack(ACK, number) + b"\n".join(memos)


def read_ack(message: bytes) -> tuple[int, list[bytes]]:
    """The number, and the memos.

    Raises:
        FrameError: it is no ack.
    """
    if len(message) < _ACK.size or message[:1] != ACK:
        raise FrameError("no ack")
    rest = message[_ACK.size :]
    return _ACK.unpack_from(message)[1], rest.split(b"\n") if rest else []
