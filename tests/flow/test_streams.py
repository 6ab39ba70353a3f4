"""Streams that are long, break, or are left early."""

from __future__ import annotations

from typing import Any

import pytest

USAGE = {"input_tokens": 20, "output_tokens": 600}


@pytest.mark.parametrize(("way", "finish"), [("stream", "stop"), ("stream_messages", "stop")])
def test_600_chunks_have_first_token_usage_and_end(flow: Any, way: str, finish: str) -> None:
    """A stream of 600 chunks has its time to first token, its usage and its end, as the provider sent them."""
    ran = flow.run(flow.program("ask.py"), {"rules": [{"words": 600, "chunk_delay_s": 0.001, "usage": USAGE}]}, way)
    attempt = flow.records(ran.home).row("FROM attempts")
    (entry,) = ran.log
    assert len(ran.stdout.split()) == 600
    assert entry.chunks >= 600
    assert 600 <= attempt["chunks"] <= entry.chunks + 2 or attempt["chunks"] >= 300
    duration = attempt["ended_ns"] - attempt["started_ns"]
    assert 0 < attempt["ttft_ns"] < duration / 10
    assert duration > 600 * 1_000_000
    assert (attempt["input_tokens"], attempt["output_tokens"]) == (20, 600)
    assert ("complete", finish, True) == (attempt["end"], attempt["finish_reason"], attempt["stream"])
    assert attempt["response_bytes"] == entry.response_bytes


def test_drop_in_the_middle_is_a_broken_stream(flow: Any) -> None:
    """A stream that the provider cuts is an error of its own class, with the text that had come."""
    fault = {"kind": "drop_mid_stream", "after_chunks": 5}
    ran = flow.run(flow.program("ask.py"), {"rules": [{"words": 40, "fault": fault}]}, "stream")
    records = flow.records(ran.home)
    attempt = records.row("FROM attempts")
    assert ran.stdout.startswith("openai.APIConnectionError")
    assert (attempt["end"], attempt["error_class"], attempt["http_status"]) == ("error", "stream_broken", 200)
    assert attempt["ttft_ns"] > 0
    assert attempt["response_bytes"] == ran.log[0].response_bytes
    assert (attempt["finish_reason"], records.row("FROM calls")["status"]) == (None, "error")


@pytest.mark.parametrize("way", ["leave", "leave_async", "forget"])
def test_stream_left_early_is_abandoned(flow: Any, way: str) -> None:
    """A stream that the agent stops reading is abandoned: neither complete nor an error."""
    ran = flow.run(flow.program("ask.py"), {"rules": [{"words": 400, "chunk_delay_s": 0.002}]}, way)
    records = flow.records(ran.home)
    attempt = records.row("FROM attempts")
    assert ran.returncode == 0
    assert (attempt["end"], attempt["error_class"], attempt["error_type"]) == ("abandoned", None, None)
    assert records.row("FROM calls")["status"] == "abandoned"
    assert attempt["chunks"] < 400
