"""What the tuner did today, and what that saved.

In: the audit, the experiments that are learned from, and what they drew today, as the API gives them. Out: sentences.

Saved is, for each arm that was drawn instead of the code's own value, the number of units that drew it today times how
much one costs less than the code's own, by the experiment's own estimate over all that it has learned (values were
drawn at random, so this is an effect; its interval holds at every moment). Bounds of several arms are added up, which
makes the interval too wide rather than too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import changes, words

SIDECAR = "sidecar"
"""How the audit names what nobody was asked for."""
DAY_NS = 86_400 * 10**9


class Saved(NamedTuple):
    """Money saved today, in USD; negative where it cost more."""

    estimate: float
    low: float
    high: float
    units: int


def did(audit: Iterable[Any], now_ns: int) -> list[str]:
    """What happened today (UTC) without a person, each kind once with its count."""
    begun_ns = now_ns - now_ns % DAY_NS
    kinds = Counter(e["action"] for e in audit if e["at_ns"] >= begun_ns and e["via"] == SIDECAR)
    return [f"{changes.action(kind)}{f' ({n:,} times)' if n > 1 else ''}" for kind, n in kinds.most_common()]


def saved(campaigns: Iterable[Any], drawn: Sequence[Any]) -> Saved | None:
    """What the values that were drawn today saved; None where nothing is known yet."""
    units = {(row["experiment_id"], row["arm"]): row["units"] for row in drawn}
    total = Saved(0.0, 0.0, 0.0, 0)
    for campaign in campaigns:
        for arm in campaign["verdict"].get("arms", ()):
            n = units.get((campaign["experiment_id"], arm["arm"]), 0)
            change = arm["cost_change_usd"]
            if arm["arm"] != "incumbent" and n and None not in (change["low"], change["high"], change["estimate"]):
                total = Saved(
                    total.estimate - n * change["estimate"],
                    total.low - n * change["high"],
                    total.high - n * change["low"],
                    total.units + n,
                )
    return total if total.units else None


def saved_said(found: Saved | None, drawn: Sequence[Any]) -> str:
    """The same as a sentence."""
    if found is None:
        n = sum(row["units"] for row in drawn)
        return "" if not n else f"Drew values for {words.count(n, 'unit')} today; what that saved is not known yet."
    return (
        f"Saved today: ${found.estimate:,.4g} (95 % interval ${found.low:,.4g} to ${found.high:,.4g}), over"
        f" {words.count(found.units, 'unit')} that drew another value than the code's."
    )
