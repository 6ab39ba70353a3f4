"""Keeps an eye on what people accepted: a value under which runs fail more often than before is rolled back.

In: recommendations that are in force, and what runs came to under them and before. Out: a rollback by the control, in
the sidecar's name, with the figures as its reason. Apart from :mod:`.live` because nothing is drawn here: before and
after is an association, so the bar is high (:class:`~..learn.gate.Rollback`: one false alarm in 2,000 runs that are as
good as the worst that before allows), and a rollback is the safe side.

It holds no state: everything is asked of the store again, and only when runs have ended since.
"""

from __future__ import annotations

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
        self._seen: dict[str, tuple[int, int]] = {}

    def step(self) -> None:
        """Look once; roll back what has to be."""
        with closing(self._store.cursor()) as con:
            for row in fetch(con, statement("accepted")):
                known = {"knob": row["knob"], "rule": row["rule_id"], "site": row["match"].get("site")}
                found = fetch(con, statement("kept"), **known, since_ns=row["since_ns"], most=MOST)
                before = [one["quality"] for one in found if not one["obeyed"]]
                after = [one["quality"] for one in found if one["obeyed"]]
                if self._seen.get(row["recommendation_id"]) != (len(before), len(after)):
                    self._seen[row["recommendation_id"]] = len(before), len(after)
                    self._judge(row, before, after)

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
