"""How an experiment that is learned from was drawn: weights by version of the policy, and draws by stretch of time.

In: the store and the experiment's row. Out: rows for ``/v1/tuning/{id}/history``. Apart from :mod:`.reads` because it
chooses how wide a stretch is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .reads import Row, fetch, statement

if TYPE_CHECKING:
    import duckdb

BINS: Final = 60
"""Stretches of time that draws are counted in, at most."""
MOST_SHARES: Final = 500
"""Versions of the policy that a history goes back."""
WIDTHS_NS: Final = tuple(minutes * 60 * 10**9 for minutes in (1, 5, 15, 60, 360, 1440, 7 * 1440))
SKEW_NS: Final = 60 * 10**9
"""How far an agent's clock may be behind ours."""
HOUR_NS: Final = 3_600 * 10**9


def history(con: duckdb.DuckDBPyConnection, campaign: Row, now_ns: int) -> Row:
    """``bin_ns``, ``shares`` and ``draws`` of the experiment whose row :func:`.reads.campaigns` gave."""
    spanned_ns = max(now_ns - campaign["started_ns"], 1)
    bin_ns = next((width for width in WIDTHS_NS if spanned_ns <= BINS * width), WIDTHS_NS[-1])
    rule, knob, since_ns = campaign["rule_id"], campaign["knob"], campaign["started_ns"] - SKEW_NS
    shares = fetch(con, statement("tuning_shares"), rule=rule, most=MOST_SHARES)
    draws = fetch(con, statement("tuning_draws"), rule=rule, knob=knob, bin_ns=bin_ns, since_ns=since_ns)
    return {"bin_ns": bin_ns, "shares": shares, "draws": draws}


def explored_usd(campaign: Row, now_ns: int) -> float | None:
    """What runs with other values than the code's cost in the last 24 hours and the begun one; None where none did."""
    spent: dict[str, float] = campaign["spent"] or {}
    return sum(usd for hour, usd in spent.items() if int(hour) >= now_ns // HOUR_NS - 24) if spent else None
