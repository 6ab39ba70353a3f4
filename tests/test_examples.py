"""The example programs run as they stand and record what they say they do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from trimtab_tracer.records import Decision, Outcome, RunStart, ToolRun
from trimtab_tracer.spool import read_segment
from trimtab_tuner.provider import Provider, Scenario

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_say_more_records_run_outcome_tool_and_knob(tmp_path: Path) -> None:
    """The example's run, its outcome, its tool's execution and its knob are in the spool, each once."""
    with Provider(Scenario.load(EXAMPLES / "scenarios" / "tool_loop.toml")) as provider:
        environment = os.environ | {
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "OPENAI_API_KEY": "any",
            "TRIMTAB_HOME": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, EXAMPLES / "say_more.py"], env=environment, capture_output=True, text=True, check=True
        )
    assert (done.stdout, done.stderr) == ("The answer is 5.\n", "")
    records = [r.record for segment in (tmp_path / "spool").iterdir() for r in read_segment(segment)]
    kinds = Counter(type(r) for r in records)
    assert (kinds[RunStart], kinds[Outcome], kinds[ToolRun]) == (1, 1, 1)
    knobs = {r.knob: r.value for r in records if isinstance(r, Decision)}
    assert knobs["max_steps"] == 4
