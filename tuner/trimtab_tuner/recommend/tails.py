"""Proposals about slow answers: a second request where few answers take many times as long as the others.

In: how long answers were waited for, where they came and where they did not. Out: proposals for ``hedge_delay_s``.
Apart from :mod:`.limits` because nothing failed here: it rests on no finding, but on the distribution of the answers.
The delay follows it: where the tail has moved, another delay is proposed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from trimtab_analyzer.wording import count, seconds

from ..learn.waits import Hedge, Waits, hedge
from .proposal import MICRO_USD, SECONDS, Expected, Proposal, association, expected
from .scene import Scene

ENOUGH: Final = 200
"""Answers from which on a delay is proposed: two of them in the slowest hundredth."""
WORTH: Final = 0.7
"""The slowest hundredth must come down to this part of what it takes …"""
WORTH_S: Final = 1.0
"""… and by this many seconds."""
LEAST_S: Final = 0.05
MOST_S: Final = 600.0
"""Bounds of the knob (docs/policy.md)."""
MOVED: Final = 1.5
"""Times by which the delay in force must be off before another one is proposed."""
BY_LENGTH: Final = 0.6
"""Rank correlation of time and tokens above which answers are slow because they are long, as a second one would be."""
DRAWS: Final = 200
"""Resamples for the interval of the time that is saved."""


def hedge_tails(scene: Scene) -> Iterator[Proposal | None]:
    """A second request at the line and model whose slowest answers take much longer than the others."""
    found = scene.waits.filter(~pl.col("stream"))
    for (site_id, model), rows in found.group_by("site_id", "model", maintain_order=True):
        if rows["answered"].sum() >= ENOUGH and not _is_by_length(rows):
            yield _proposal(scene, str(site_id), str(model), rows)


def _proposal(scene: Scene, site_id: str, model: str, rows: pl.DataFrame) -> Proposal | None:
    waits = Waits(rows["waited_s"], rows["answered"])
    would, site = hedge(waits), scene.sites.get(site_id)
    if would is None or site is None or site["line"] <= 0 or not LEAST_S <= would.delay_s <= MOST_S:
        return None
    if would.after_s > WORTH * would.before_s or would.before_s - would.after_s < WORTH_S:
        return None
    to, now = _written(would.delay_s), scene.in_force(site_id, "hedge_delay_s", model)
    if now is None or now.source == "experiment":
        return None
    if isinstance(now.value, int | float) and max(now.value / to, to / now.value) < MOVED:
        return None
    n, cut = waits.count, rows.height - waits.count
    seen = f"{count(n, 'answer')}" + (f" and {count(cut, 'wait')} that ended before one" if cut else "")
    tail = f"the slowest hundredth took {seconds(would.before_s)} and more, one in twenty {seconds(would.delay_s)}"
    return Proposal(
        finding_id="",
        rule="slow_tail",
        knob="hedge_delay_s",
        service=None,
        model=model,
        site_id=site_id,
        file=site["file"],
        function=site["function"],
        line=site["line"],
        title=f"Ask {model} a second time at {scene.place(site_id)} where nothing came for {to:g} s",
        why=f"Of {seen}, {tail}. The first of two answers counts; if they take their time independently of each other,"
        f" the slowest hundredth begins at {seconds(would.after_s)}.",
        from_value=now.value,
        to_value=to,
        match={"site": site_id, "service": None, "model": model},
        expected=expected(cost=_cost(rows, would), latency=_latency(rows, would)),
        evidence={"findings": [], "calls": [], "runs": [], "attempts": [], "numbers": _numbers(waits, would, cut)},
        risk=f"One call in {round(1 / max(would.extra.share, 1e-9)):,} is sent and paid for twice.",
        wrong_if="answers are slow for what is asked of them, or the provider is slow for all at once: then the second"
        " request takes as long as the first",
    )


def _is_by_length(rows: pl.DataFrame) -> bool:
    """Whether answers take long because they are long."""
    told = rows.filter(pl.col("answered") & pl.col("output_tokens").is_not_null())
    if told.height < ENOUGH or told["output_tokens"].n_unique() < 2:
        return False
    ((together,),) = told.select(pl.corr("waited_s", "output_tokens", method="spearman")).rows()
    return bool(together > BY_LENGTH)


def _latency(rows: pl.DataFrame, would: Hedge) -> Expected:
    """Mean seconds per call, with a percentile interval over resampled waits."""
    rng, n = np.random.default_rng(0), rows.height
    waited, answered = rows["waited_s"].to_numpy(), rows["answered"].to_numpy()
    saved = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, n, n)
        again = hedge(Waits(waited[drawn], answered[drawn]))
        if again is not None:
            saved.append(again.saved_s)
    low, high = np.quantile(saved, [0.025, 0.975]) if saved else (0.0, would.saved_s)
    return association(
        SECONDS,
        low=-float(high),
        high=-float(low),
        estimate=-would.saved_s,
        n=n,
        basis="how long answers took, as if both requests took their time independently of each other",
    )


def _cost(rows: pl.DataFrame, would: Hedge) -> Expected | None:
    known = rows.filter("answered")["cost_musd"].drop_nulls()
    if known.is_empty():
        return None
    each = float(known.mean())  # type: ignore[arg-type]
    return association(
        MICRO_USD,
        low=would.extra.low * each,
        high=would.extra.high * each,
        estimate=would.extra.share * each,
        n=len(known),
        basis=f"{would.extra.share:.1%} of the calls are sent twice, at the mean cost of an answer",
    )


def _numbers(waits: Waits, would: Hedge, cut: int) -> dict[str, Any]:
    return {
        "answers": waits.count,
        "cut": cut,
        "delay_s": would.delay_s,
        "p99_s": would.before_s,
        "p99_hedged_s": would.after_s,
        "extra": would.extra.share,
        "extra_low": would.extra.low,
        "extra_high": would.extra.high,
    }


def _written(delay_s: float) -> float:
    """As a person would write it: two digits."""
    return float(f"{delay_s:.2g}")
