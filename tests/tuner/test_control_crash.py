"""Killed anywhere, the control starts again with a file that says what the store says."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import closing

from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Control
from trimtab_tuner.control.control import INTERRUPTED
from trimtab_tuner.reads import fetch

KILLS = 10
DECIDER = """
import os
import sys
from pathlib import Path
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.control import Actor, Control
settings = Settings(home=Path(sys.argv[1]))
with Store.open(settings.store_path) as store:
    control, actor = Control(store, settings), Actor("a", "cli")
    control.refresh()
    print("ready", flush=True)
    n = 0
    while True:
        n += 1
        # Never what the process before left in force, or the change would not be one.
        rule = {"rule_id": "mine", "knob": "pad", "value": f"{os.getpid()}" + "x" * (n % 3000)}
        control.put_rule(rule, seen=control.published().version, actor=actor)
        if n % 5 == 0:
            control.freeze(actor)
            control.unfreeze(actor, seen=control.published().version)
        print(control.published().version, flush=True)
"""


def killed_at_work(settings: Settings, after_s: float) -> int:
    """Version that a killed process saw published last."""
    process = subprocess.Popen([sys.executable, "-c", DECIDER, settings.home], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    return max((int(line) for line in said.splitlines() if line.isdigit()), default=0)


def test_killed_at_any_moment_file_and_store_agree(settings: Settings) -> None:
    """After each of 10 kills amid decisions the file parses, and after a start it is the store's newest version.

    Nothing whose caller was told of it is lost, versions and audit have no gaps, and a freeze that had reached the file
    is in force.
    """
    draw = random.Random(20261121)
    for _ in range(KILLS):
        told = killed_at_work(settings, draw.uniform(0.0, 0.15))
        left = parse(settings.policy_path.read_bytes(), time.time_ns())
        with Store.open(settings.store_path) as store:
            with closing(store.cursor()) as con:
                stored = fetch(con, "SELECT document FROM policy_versions ORDER BY version DESC LIMIT 1")[0]["document"]
            control = Control(store, settings)
            control.refresh()
            check(control, store, settings, told)
            is_half_frozen = left.is_frozen and left.version == stored["version"]
            assert control.published().is_frozen == (stored["frozen"] or is_half_frozen)


def check(control: Control, store: Store, settings: Settings, told: int) -> None:
    """File and store agree."""
    document = json.loads(settings.policy_path.read_bytes())
    with closing(store.cursor()) as con:
        versions = fetch(con, "SELECT version, document FROM policy_versions ORDER BY version")
        audit = fetch(con, "SELECT audit_id, why, policy_version, from_value, to_value FROM audit ORDER BY audit_id")
    newest = versions[-1]["document"]
    assert list(range(1, len(versions) + 1)) == [row["version"] for row in versions]
    assert list(range(1, len(audit) + 1)) == [row["audit_id"] for row in audit]
    changes = [row for row in audit if row["from_value"] != row["to_value"]]
    assert list(range(2, len(versions) + 1)) == [row["policy_version"] for row in changes]
    assert (newest["version"], newest["rules"], newest["frozen"]) == tuple(
        document[key] for key in ("version", "rules", "frozen")
    )
    assert told <= newest["version"]
    assert all(row["why"] == INTERRUPTED for row in audit if row["why"])
    assert control.published().text == settings.policy_path.read_bytes()
