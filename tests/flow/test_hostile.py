"""Bodies of any size, encoding and shape: the agent gets what it would have got, and each request is in the store."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

UNSEEN = {"empty", "a list"}
"""Bodies that name no model, and so are no calls of one."""


class Met(NamedTuple):
    """What a program met without and with tracing, and what we kept."""

    said: dict[str, Any]
    records: Any


@pytest.fixture(scope="module")
def met(flow: Any) -> Met:
    """The program ran."""
    ran = flow.run(flow.program("hostile.py"), {}, limit_s=240)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return Met(json.loads(ran.stdout), flow.records(ran.home))


def test_results_are_those_without_us(met: Met) -> None:
    """Bytes and exceptions of every request are the same with tracing, also in strict mode, where our errors raise."""
    bare, traced = met.said["bare"], met.said["traced"]
    assert bare == traced
    assert len(bare) >= 100
    assert len({text.partition(" ")[0] for text in bare.values()}) >= 8


def test_every_request_is_kept(met: Met) -> None:
    """Each request that names a model is one attempt, whatever else its body or its answer says."""
    asked = [name for name in met.said["traced"] if name.partition(", ")[2] not in UNSEEN]
    kept = met.records.rows("FROM attempts WHERE request_bytes < 3000000 OR request_bytes > 9000000")
    assert len(asked) == len(kept)
    large = [row for row in kept if row["request_bytes"] > 9_000_000]
    assert [2, 20_000_000] == [len(large), min(row["request_bytes"] for row in large) // 1_000_000 * 1_000_000]


def test_a_very_long_history_costs_little(met: Met) -> None:
    """A call with 100,000 messages takes hardly longer with tracing than without."""
    history = met.said["history"]
    assert history["traced"] < 1.5 * history["bare"]
    assert len(met.records.rows("FROM attempts WHERE message_count = 100000")) == 5
