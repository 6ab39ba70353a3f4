from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.wire import ndjson, sse
from trimtab_tracer.wire.formats import by_api
from trimtab_tracer.wire.sse import ServerSentEvent, has_line

STREAM = (
    '\ufeff: keep-alive\n\nevent: a\r\ndata: {"x": "é\u2028"}\r\n\r\n'
    "data: one\rdata:two\r\rid: 7\nretry: 5\ndata\n\nevent: lonely\n\ndata: [DONE]\n\n"
).encode()
EVENTS = [
    ServerSentEvent("a", '{"x": "é\u2028"}'),
    ServerSentEvent(None, "one\ntwo"),
    ServerSentEvent(None, ""),
    ServerSentEvent(None, "[DONE]"),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_chunk_borders_change_nothing(cuts: list[int]) -> None:
    """A stream cut at any bytes, also inside a letter or a CRLF, gives the same events."""
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in itertools.pairwise(edges)]
    assert list(sse.parse(chunks)) == EVENTS


@given(end=st.integers(0, len(STREAM)))
def test_truncated_stream_keeps_what_arrived(end: int) -> None:
    """A stream cut anywhere gives a prefix of its events, the last of which may be a part of one."""
    found = list(sse.parse(STREAM[:end]))
    assert found[:-1] == EVENTS[: len(found)][:-1]
    assert not found or EVENTS[len(found) - 1].data.startswith(found[-1].data.rstrip("\ufffd"))


@given(body=st.binary(max_size=200))
def test_any_bytes_parse(body: bytes) -> None:
    """No bytes raise, and every event holds a line that the body had."""
    assert len(list(sse.parse(body))) <= body.count(b"data")
    assert len(list(ndjson.parse(body))) <= body.count(b"\n") + 1


def test_ndjson_lines_are_events() -> None:
    """Lines become events without a type; empty ones are left out, a cut last one is not."""
    found = list(ndjson.parse([b'{"a":1}\n\r\n{"b"', b':2}\n{"c"']))
    assert [e.data for e in found] == ['{"a":1}', '{"b":2}', '{"c"']
    assert {e.event for e in found} == {None}


@pytest.mark.parametrize(
    ("api", "chunk", "is_last"),
    [
        ("openai.chat", b"data: [DONE]\n\n", True),
        ("openai.chat", b'data: {"id":1}\n\ndata: [DONE]\n\n', True),
        ("openai.chat", b'data: {"content":"say data: [DONE]"}\n\n', False),
        ("openai.responses", b'event: response.completed\ndata: {"type":"response.completed"}\n\n', True),
        ("openai.responses", b'data: {"type":"response.failed","response":{}}\n\n', True),
        (
            "openai.responses",
            b'event: response.output_text.delta\ndata: {"delta":"event: response.completed"}\n\n',
            False,
        ),
        ("anthropic.messages", b'event: message_stop\ndata: {"type":"message_stop"}\n\n', True),
        ("anthropic.messages", b'data: {"text":"event: message_stop"}\n\n', False),
        ("gemini", b"data: {}\n\n", False),
    ],
)
def test_terminal_event_is_seen(api: str, chunk: bytes, is_last: bool) -> None:
    """The terminal event is seen at the beginning of a line only: a message may talk about it."""
    found = by_api(api)
    assert found is not None
    assert has_line(chunk, found.terminal) is is_last
