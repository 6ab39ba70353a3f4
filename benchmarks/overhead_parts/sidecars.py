"""Sidecars of the subjects that have one, and what they cost.

In: a home, and the rules it is to have. Out: a running `trimtab up` and its CPU. Its collector and its analysis wait
until the end of the run, where they would disturb nobody's turn: what they then take is measured apart from what
receiving takes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LATER = {"TRIMTAB_COLLECT_INTERVAL_S": "3600", "TRIMTAB_ANALYZE_INTERVAL_S": "86400"}


class Sidecar:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def cpu_us(self) -> float:
        """CPU that it has used so far, all threads."""
        fields = Path(f"/proc/{self._process.pid}/schedstat")
        threads = fields.parent.glob("task/*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e3

    def finish(self) -> float:
        """End it, as a user does; the CPU in microseconds that it then takes to collect, price and analyse all."""
        before = os.times()
        used = self.cpu_us()
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(timeout=120):
            raise RuntimeError(f"{self._process.args} ended with code {self._process.returncode}")
        after = os.times()
        spent = after.children_user - before.children_user + after.children_system - before.children_system
        return spent * 1e6 - used


@contextmanager
def sidecar(home: Path, rules: Sequence[Mapping[str, Any]], variables: Mapping[str, str]) -> Iterator[Sidecar]:
    """Run one in ``home`` that publishes ``rules``."""
    trimtab = [sys.executable, "-m", "trimtab"]
    command = [*trimtab, "up", "--no-dashboard", "--port", "0", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**variables, **LATER}) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError(f"{command} ended with code {process.wait()}")
            for number, rule in enumerate(rules):
                said = [rule["knob"], json.dumps(rule["value"]), "--id", f"r{number}", "--home", str(home)]
                only = ["--model", rule["match"]["model"]] if "model" in rule["match"] else []
                subprocess.run([*trimtab, "policy", "rule", "add", *said, *only], check=True, stdout=subprocess.DEVNULL)
            yield Sidecar(process)
        finally:
            process.kill()
