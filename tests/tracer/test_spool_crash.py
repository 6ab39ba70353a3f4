from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from trimtab_tracer.records import Attempt, Content
from trimtab_tracer.spool import is_closed, list_segments, read_process, read_segment

AGENT = """
import os, sys, time
from dataclasses import replace
from pathlib import Path
from trimtab_tracer.records import Attempt, Content, Process
from trimtab_tracer.segments import read_boot_id
from trimtab_tracer.spool import SpoolWriter

spool, tell = Path(sys.argv[1]), int(sys.argv[2])
process = Process(f"p{os.getpid()}", os.getpid(), time.time_ns(), "s", "a.py", "/", "3", "0", "full", read_boot_id())
writer = SpoolWriter(spool, process, 1 << 30, segment_bytes=50_000)
attempt = Attempt("", "c", "r", process.process_id, 1, 1, 1, "openai.chat", "POST", "h", "/v1", "s", "complete")
n = 0
while True:
    n += 1
    assert writer.write(replace(attempt, attempt_id=f"{process.process_id}/{n}"))
    os.write(tell, n.to_bytes(8, "big"))  # the parent knows that write() has returned
    writer.write(Content("a", "c", "r", "request", 1, "text " * (n % 500)))
"""


def killed_agent(spool: Path, after_s: float) -> tuple[str, int]:
    """Run the agent, kill it some time after its first record; its process id and the last record it had written."""
    told, tell = os.pipe()
    agent = subprocess.Popen([sys.executable, "-c", AGENT, spool, str(tell)], pass_fds=[tell])
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        last = pipe.read(8)
        timer_until = time.monotonic() + after_s
        while time.monotonic() < timer_until:
            last = pipe.read(8)
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        rest = pipe.read()
    whole = len(rest) // 8 * 8
    return f"p{agent.pid}", int.from_bytes(rest[whole - 8 : whole] if whole else last, "big")


def test_sigkill_loses_no_attempt_whose_write_returned(tmp_path: Path) -> None:
    """At 20 random moments of a writing agent's life, SIGKILL loses no record that was written, and adds none."""
    moments = random.Random(20)
    for _ in range(20):
        process_id, written = killed_agent(tmp_path, moments.uniform(0, 0.1))
        segments = [path for path in list_segments(tmp_path) if path.name.startswith(f"{process_id}-")]
        lines = [line for path in segments for line in read_segment(path)]
        found = [line.record.attempt_id for line in lines if isinstance(line.record, Attempt)]
        assert [f"{process_id}/{n}" for n in range(1, len(found) + 1)] == found
        assert written <= len(found) <= written + 1
        assert all(line.problem is None for line in lines)
        begun = [path for path in segments if path.stat().st_size]  # one may have been made and not yet begun
        assert all(is_closed(path, read_process(path)) for path in begun)
        assert len(found) - 2 <= sum(isinstance(line.record, Content) for line in lines) <= len(found)
