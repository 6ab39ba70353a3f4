"""Streams that are long, break, or are left early."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

LONG = {"words": 600, "chunk_delay_s": 0.001, "usage": {"input_tokens": 20, "output_tokens": 600}}
SLOW = {"words": 400, "chunk_delay_s": 0.002}
CUT = {"words": 40, "fault": {"kind": "drop_mid_stream", "after_chunks": 5}}

CASES: dict[str, dict[str, Any]] = {
    "stream": LONG, "stream_messages": LONG, "break_off": CUT, "leave": SLOW, "leave_async": SLOW, "forget": SLOW,
}  # fmt: skip
"""How the program reads, and what the provider sends it."""


@pytest.fixture(scope="module")
def asked(flow: Any, warm: Any) -> Iterator[dict[str, Future[Any]]]:
    """The program, run for every case, two at a time."""
    program, imported = flow.program("ask.py"), warm("openai")
    with ThreadPoolExecutor(2) as pool:
        yield {
            way: pool.submit(flow.run_warm, program, {"rules": [rule]}, imported, way) for way, rule in CASES.items()
        }


@pytest.mark.parametrize("way", ["stream", "stream_messages"])
def test_600_chunks_have_first_token_usage_and_end(flow: Any, asked: Any, way: str) -> None:
    """A stream of 600 chunks has its time to first token, its usage and its end, as the provider sent them."""
    ran = asked[way].result()
    attempt = flow.records(ran.home).row("FROM attempts")
    (entry,) = ran.log
    assert len(ran.stdout.split()) == 600
    assert entry.chunks >= 600
    assert attempt["chunks"] >= 300  # two events of the provider may arrive as one
    duration = attempt["ended_ns"] - attempt["started_ns"]
    assert duration > 600 * 1_000_000
    assert 0 < attempt["ttft_ns"] < duration / 2
    assert (attempt["input_tokens"], attempt["output_tokens"]) == (20, 600)
    assert (attempt["end"], attempt["finish_reason"], attempt["stream"]) == ("complete", "stop", True)
    assert attempt["response_bytes"] == entry.response_bytes


def test_drop_in_the_middle_is_a_broken_stream(flow: Any, asked: Any) -> None:
    """A stream that the provider cuts is an error of its own class, with the bytes that had come."""
    ran = asked["break_off"].result()
    records = flow.records(ran.home)
    attempt = records.row("FROM attempts")
    assert ran.stdout.startswith("openai.APIConnectionError")
    assert (attempt["end"], attempt["error_class"], attempt["http_status"]) == ("error", "stream_broken", 200)
    assert attempt["ttft_ns"] > 0
    assert attempt["response_bytes"] == ran.log[0].response_bytes
    assert (attempt["finish_reason"], records.row("FROM calls")["status"]) == (None, "error")
    assert ("unknown", None) == (attempt["usage_source"], attempt["output_tokens"]), "an error is not estimated"


@pytest.mark.parametrize("way", ["leave", "leave_async", "forget"])
def test_stream_left_early_is_abandoned(flow: Any, asked: Any, way: str) -> None:
    """A stream that the agent stops reading is abandoned: neither complete nor an error."""
    ran = asked[way].result()
    records = flow.records(ran.home)
    attempt = records.row("FROM attempts")
    assert ran.returncode == 0
    assert (attempt["end"], attempt["error_class"], attempt["error_type"]) == ("abandoned", None, None)
    assert records.row("FROM calls")["status"] == "abandoned"
    assert attempt["chunks"] < 400
    assert "estimated" == attempt["usage_source"] == records.row("FROM calls")["usage_source"]
    assert (way != "forget") <= attempt["output_tokens"] < 400 * 1.5  # words that came before it was left
