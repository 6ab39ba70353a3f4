"""What include_usage adds to a stream is taken out again, and nothing else is touched."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer.wire import usage_chunk
from trimtab_tracer.wire.usage_chunk import UsageFilter, whole_without_usage

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}

texts = st.text(max_size=20) | st.sampled_from(['"usage":null', ',"usage":null}', '"choices":[]', "data: [DONE]\n\n"])
chunks = st.builds(
    lambda text, n: {"id": "c", "choices": [{"index": i, "delta": {"content": text}} for i in range(n)], "model": "m"},
    texts,
    st.integers(0, 2),  # Azure begins with a chunk that has no choices
)
others = st.sampled_from(
    [": keep-alive", "event: ping\ndata: {}", "data: [1, 2", 'data: "usage" "choices"', "retry: 5"]
)


def stream(parts: list[Any], eol: str, with_usage: bool, compact: bool) -> bytes:
    """A provider's stream, with the option or without it."""

    def line(chunk: dict[str, Any]) -> str:
        return "data: " + json.dumps(chunk, separators=(",", ":") if compact else None, ensure_ascii=compact)

    events = []
    for part in parts:
        if isinstance(part, dict):
            events.append(line({**part, "usage": None} if with_usage else part))
        else:
            events.append(part)
    if with_usage:
        events.append(line({"id": "c", "choices": [], "model": "m", "usage": USAGE}))
    return "".join(e.replace("\n", eol) + eol + eol for e in [*events, "data: [DONE]"]).encode()


def passed(body: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    kept = UsageFilter()
    return b"".join(kept.feed(body[a:b]) for a, b in itertools.pairwise(edges)) + kept.rest()


@settings(max_examples=60)
@given(
    parts=st.lists(chunks | others, max_size=6),
    eol=st.sampled_from(["\n", "\r\n", "\r"]),
    compact=st.booleans(),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
def test_caller_gets_the_stream_of_one_who_did_not_ask(
    parts: list[Any], eol: str, compact: bool, cuts: list[int]
) -> None:
    """For any stream and any chunking the bytes equal those of the provider without the option."""
    bare = stream(parts, eol, False, compact)
    assert bare == passed(stream(parts, eol, True, compact), cuts)
    assert bare == passed(bare, cuts)


@given(body=st.binary(max_size=300).filter(lambda body: b'"usage"' not in body), cuts=st.lists(st.integers(0, 300)))
def test_any_other_bytes_pass(body: bytes, cuts: list[int]) -> None:
    """Whatever a server sends instead of a stream reaches the caller as it is."""
    assert body == passed(body, cuts)


def test_events_are_not_kept_waiting() -> None:
    """An event is handed on with its last byte; what is no event, or too long for one with usage, at once."""
    kept = UsageFilter()
    event = b'data: {"choices": [{"delta": {}}]}\n\n'
    assert (b"", event) == (kept.feed(event[:-1]), kept.feed(event[-1:]))
    assert b'{"error": ' == UsageFilter().feed(b'{"error": ')
    long = b"data: " + b"x" * usage_chunk.MAX_HELD_BYTES
    assert long == UsageFilter().feed(long)


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [{"index": 0, "delta": {}}], "usage": USAGE},
        {"choices": [], "usage": None, "x": {"y": 1, "usage": None}},
        {"choices": [], "prompt_filter_results": []},
        {"usage": USAGE},
        [{"choices": [], "usage": USAGE}],
    ],
)
def test_only_the_chunk_of_the_option_is_taken(chunk: Any) -> None:
    """Usage beside choices, or without the key, is what the server always sends; so is anything that is in doubt."""
    event = f"data: {json.dumps(chunk)}\n\n".encode()
    assert event == whole_without_usage(event)


def test_failure_of_ours_lets_the_stream_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should stripping fail, nothing is lost: the rest of the stream passes as it came."""
    monkeypatch.setenv("TRIMTAB_STRICT", "0")
    body = stream([{"id": "c", "choices": []}], "\n", True, True)
    kept = UsageFilter()
    first = kept.feed(body[:10])
    monkeypatch.setattr(usage_chunk, "without_usage", None)
    assert body == first + kept.feed(body[10:40]) + kept.feed(body[40:]) + kept.rest()
