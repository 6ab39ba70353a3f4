"""Keeps an eye on what people accepted: a value under which runs fail more often than before is rolled back.

In: recommendations that are in force, and what runs came to under them and before. Out: a rollback by the control, in
the sidecar's name, with the figures as its reason. Apart from :mod:`.live` because nothing is drawn here: before and
after is an association, so the bar is high (:class:`~..learn.gate.Rollback`: one false alarm in 2,000 runs that are as
good as the worst that before allows), and a rollback is the safe side.

What a run came to is what somebody said of it. Where nobody says that of any run, on either side, a run succeeded that
no exception ended; the two are never mixed, for runs that raise are known at once, and labels come later, or for some.

It holds no state: everything is asked of the store again, and only when something was written since.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from typing import TYPE_CHECKING, Final

from trimtab_analyzer.statistics import wilson

from ..control import SIDECAR, ControlError
from ..learn.gate import Rollback
from ..reads import Row, fetch
from .units import statement

if TYPE_CHECKING:
    from trimtab_tracer.store import Store

    from ..control import Control

log = logging.getLogger("trimtab.tuner")

LEAST_BEFORE: Final = 30
"""Runs before a change from which on it is known what it must keep."""
MARGIN: Final = 0.02
"""Loss of success that is no reason."""
MOST: Final = 5_000
"""Runs of each side that are looked at, the last ones."""


class Watch:
    """Over all recommendations in force. Not thread-safe."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control
        self._written: tuple[int, ...] = ()

    def step(self, written: tuple[int, ...]) -> None:
        """Look once; roll back what has to be. ``written`` tells whether anything was since the last look."""
        if written == self._written:
            return
        with closing(self._store.cursor()) as con:
            for row in fetch(con, statement("accepted")):
                match = row["match"]
                known = {key: match.get(key) for key in ("site", "service", "model", "name")}
                known |= {"context": json.dumps(match["context"]) if match.get("context") else None}
                known |= {"knob": row["knob"], "rule": row["rule_id"], "since_ns": row["since_ns"], "most": MOST}
                found = fetch(con, statement("kept"), **known)
                self._judge(row, *(came_to(found, obeyed=obeyed) for obeyed in (False, True)))
        self._written = written

    def _judge(self, row: Row, before: list[float], after: list[float]) -> None:
        why = must_go(before, after)
        if why is None:
            return
        name = row["recommendation_id"]
        log.warning("recommendation %s is rolled back: %s", name, why)
        try:
            self._control.roll_back(name, version=row["version"], actor=SIDECAR, why=why)
        except ControlError as error:  # someone was quicker; the next look sees what they decided
            log.info("recommendation %s was not rolled back: %s", name, error)


def came_to(runs: list[Row], *, obeyed: bool) -> list[float]:
    """What the runs of one side came to, 0 to 1 each, in the order of their ends.

    Args:
        runs: Both sides, as ``kept.sql`` has them.
        obeyed: Which side.
    """
    if any(run["quality"] is not None for run in runs):
        return [run["quality"] for run in runs if run["obeyed"] == obeyed and run["quality"] is not None]
    return [float(not run["raised"]) for run in runs if run["obeyed"] == obeyed]


def must_go(before: list[float], after: list[float]) -> str | None:
    """Why a change must go, with the figures; None where it may stay.

    Args:
        before: What runs came to before it, 0 to 1 each.
        after: The same under it, in the order of their ends.
    """
    if len(before) < LEAST_BEFORE:
        return None
    least = wilson(round(sum(before)), len(before)).low - MARGIN
    if least <= 0:
        return None
    gate = Rollback(least)
    for n, quality in enumerate(after, 1):
        if gate.must(quality):
            share = sum(after[:n]) / n
            return (
                f"of {n} runs under it {share:.0%} succeeded, and of {len(before)} before it"
                f" {sum(before) / len(before):.0%}; at least {least:.0%} was to be kept"
            )
    return None
