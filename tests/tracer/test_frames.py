"""Messages between agent and sidecar: what goes in comes out, and what is none of ours is told so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer import frames
from trimtab_tracer.caught import Caught
from trimtab_tracer.decisions import Hint, Order, Pin, Setting
from trimtab_tracer.frames import FrameError
from trimtab_tracer.records import Attempt, Process, Site
from trimtab_tracer.segments import encode
from trimtab_tracer.wire import formats

PROCESS = Process("0" * 32, 1, 2, "s", "a.py", "/", "3", "0", "redacted")
SITE = Site("site", "a.py", "f", 1, 1, "f()")
BUILT = Site("built", "a.py", "<module>", 3, 3, "OpenAI()")
ATTEMPT = Attempt(
    "a", "c", "r", PROCESS.process_id, 1, 5, 6, "openai.chat", "POST", "h", "/v1/chat/completions", "site", "complete"
)
HINT = Hint(Setting(2, False, True, None), Setting(3.5, False, False, BUILT))
ORDERS = (Order("model", "cheap", False, 0.25, "experiment", 7, "r1", Pin(SITE, "code", "call"), ("cheap", "dear")),)


def caught(**values: Any) -> Caught:
    """A captured attempt."""
    known = {"request_body": b"{}", "response_body": b"[]", "content_type": "", "content_encoding": "", "hint": None}
    return Caught(**{"attempt": ATTEMPT, "fmt": formats.CHAT, "site": SITE, **known, **values})


def carried(given: Caught) -> Any:
    """It, on the other side."""
    parts, size = frames.attempt(1, given)
    message = b"".join(parts)
    assert size == len(message)
    arrived = frames.read_attempt(memoryview(message))
    return frames.captured(arrived, arrived.bodies, PROCESS.process_id)


@given(
    request=st.none() | st.binary(max_size=200),
    response=st.none() | st.binary(max_size=200),
    is_sse=st.booleans(),
    hint=st.sampled_from([None, HINT]),
    has_line=st.booleans(),
)
def test_an_attempt_arrives_as_it_was(
    request: bytes | None, response: bytes | None, is_sse: bool, hint: Hint | None, has_line: bool
) -> None:
    """Bodies, choices of the SDK and the attempt itself are on the other side what the agent would have parsed."""
    given = caught(
        request_body=request,
        response_body=response,
        content_type="text/event-stream; charset=utf-8" if is_sse else "application/json",
        hint=hint,
        line=encode(ATTEMPT) if has_line else None,
    )
    assert given.captured() == carried(given)


def test_orders_arrive_with_all_that_is_recorded_of_them() -> None:
    """What a policy set, with its odds, is there; of the line it is pinned to the id is."""
    (order,) = carried(caught(orders=ORDERS)).orders
    said = ("model", "cheap", False, 0.25, "experiment", 7, "r1", "site", "call")
    pinned = (order.pin.site.site_id, order.pin.role)
    odds = (order.propensity, order.source, order.policy_version, order.rule_id)
    assert said == (order.knob, order.value, order.is_incumbent, *odds, *pinned)
    assert (None, None) == (order.seen, order.verdict)
    (order,) = carried(caught(orders=(replace(ORDERS[0], seen={"calls": 2}, verdict="passed"),))).orders
    assert ({"calls": 2}, "passed") == (order.seen, order.verdict)


def test_compressed_responses_are_unpacked_behind_the_socket() -> None:
    """A body with an encoding on it arrives as what it says."""
    import gzip

    packed = caught(response_body=gzip.compress(b'{"a": 1}'), content_encoding="gzip")
    assert b'{"a": 1}' == carried(packed).response_body


def test_a_hello_says_who_speaks() -> None:
    """Process and content mode are those of the agent."""
    assert (PROCESS, "off") == frames.read_hello(frames.hello(PROCESS, "off"))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"content": "all"},
        {"process": {"kind": "harness", "process_id": "p", "version": "1"}},
        {"process": {**json.loads(frames.hello(PROCESS, "off")[1:])["process"], "process_id": "../../etc/" + "0" * 22}},
        {"process": {**json.loads(frames.hello(PROCESS, "off")[1:])["process"], "pid": "1"}},
        {"process": None},
    ],
)
def test_a_hello_of_somebody_else_is_refused(change: dict[str, Any]) -> None:
    """Another version, an unknown mode, and a process whose id would name another file, are no hello."""
    said = {**json.loads(frames.hello(PROCESS, "off")[1:]), **change}
    with pytest.raises(FrameError):
        frames.read_hello(frames.HELLO + json.dumps(said).encode())


@given(st.binary(max_size=120), st.sampled_from([b"", frames.HELLO, frames.ATTEMPT, frames.ACK]))
def test_garbage_is_a_frame_error(rest: bytes, kind: bytes) -> None:
    """Whatever arrives is read as a message of ours or refused as none, and raises nothing else."""
    for read in (frames.read_hello, frames.read_ack, lambda said: frames.read_attempt(memoryview(said))):
        try:
            read(kind + rest)
        except FrameError:
            continue


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_an_attempt_that_is_none_is_a_frame_error(line: bytes, more: bytes) -> None:
    """A sound message around what is no attempt of this process is refused."""
    arrived = frames.Arrived(1, line, more, False, 2, 2, b"{}{}", 0)
    with pytest.raises(FrameError):
        frames.captured(arrived, b"{}{}", PROCESS.process_id)
    with pytest.raises(FrameError):
        frames.captured(arrived._replace(line=encode(ATTEMPT), more=b"[1, 2, 3]"), b"{}{}", PROCESS.process_id)


def test_an_ack_brings_memos() -> None:
    """Number and lines are what was sent, also where there are none."""
    assert (2**40, [b"[1]", b"[2]"]) == frames.read_ack(frames.ack(2**40, [b"[1]", b"[2]"]))
    assert (3, []) == frames.read_ack(frames.ack(3, []))
