"""Whether what is known has changed since somebody turned a proposal down. Pure.

In: what was expected then and now, as a recommendation's row has it. Out: what changed, in words, or None. A module of
its own because asking again too early is how people learn not to look: it has to be said in one place what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MORE: Final = 2.0
"""How many times the observations there must be before more of them is news: someone who said no on 20 is asked again
on 40, 80, 160, …, and not every day."""


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What is different: a figure that was not known, one that left its interval, or twice the observations.

    Args:
        then: Per metric an expected change (:func:`~trimtab_tuner.recommend.proposal.association`), or None.
        now: The same, today.
    """
    for metric, new in now.items():
        old = then.get(metric)
        if new is None:
            continue
        if old is None:
            if new["estimate"] is not None:
                return f"its {metric} became known"
            continue
        if _is_outside(new["estimate"], old):
            return f"its expected {metric} went from {_told(old)} to {_told(new)}"
        if old["n"] and new["n"] >= MORE * old["n"]:
            return f"it rests on {new['n']} observations instead of {old['n']}"
    return None


def _is_outside(estimate: float | None, old: Mapping[str, Any]) -> bool:
    low, high = old["low"], old["high"]
    return estimate is not None and ((low is not None and estimate < low) or (high is not None and estimate > high))


def _told(expected: Mapping[str, Any]) -> str:
    found = expected["estimate"]
    return "unknown" if found is None else f"{found:+.3g} {expected['unit']}"
