"""A part of ours that never returns, or takes its time, is nothing that the agent waits for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

IN_THE_WRITER = ("ExchangeBuilder.build", "redact", "decode", "SpoolWriter._append_all", "Writer._handle")
"""Functions that our own thread calls, from one end of its work to the other."""


@pytest.fixture(scope="module")
def ends(flow: Any, warm: Any) -> dict[str, Any]:
    """An agent, run once for each function that hangs."""
    imported = warm("openai")

    def run(name: str) -> Any:
        return flow.run_warm(flow.program("hanging.py"), {"rules": [{"text": "Hello."}]}, imported, name)

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(IN_THE_WRITER, pool.map(run, IN_THE_WRITER), strict=True))


@pytest.mark.parametrize("name", IN_THE_WRITER)
def test_a_thread_of_ours_that_hangs_holds_nobody_up(ends: dict[str, Any], flow: Any, name: str) -> None:
    """The agent gets its answers and ends; every attempt is kept, what hung is not."""
    ran = ends[name]
    assert (0, "Hello.\n" * 3) == (ran.returncode, ran.stdout)
    assert ran.stderr.startswith("hangs\n")
    records = flow.records(ran.home)
    attempts = records.rows("SELECT request_id, parsed FROM attempts")
    assert sorted(entry.request_id for entry in ran.log) == sorted(row["request_id"] for row in attempts)
    assert not all(row["parsed"] for row in attempts)
