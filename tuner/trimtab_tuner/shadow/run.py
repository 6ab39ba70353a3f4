"""Asks one call after the other until the sample or the money is used up.

In: recorded calls, a model, a cap. Out: :class:`Pair` after pair, as they come, and a :class:`Summary`. Apart from
:mod:`.asking` because here is what makes it safe: no request begins that could pass the cap, and a model whose price is
not known is not asked at all.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trimtab_tracer.errors import TrimtabError
from trimtab_tracer.prices import PriceList

from . import asking, judge
from .judge import AGREEMENT, Judge
from .sample import Recorded

if TYPE_CHECKING:
    import httpx

LONGER: Final = 4.0
"""How many times longer than the recorded answer another one is allowed for when money is set aside for it. By more
than that the last answer may pass the cap; what timed out counts as much as was set aside."""
MOST_PROBLEMS: Final = 5
"""Requests in a row without an answer after which it ends: something is wrong that more of them won't mend."""


class Pair(NamedTuple):
    """Two answers to one request."""

    call_id: str
    site_id: str
    own_model: str
    model: str
    judge: str
    own_quality: float
    quality: float
    own_cost_musd: int | None
    cost_musd: int | None
    own_latency_s: float
    latency_s: float
    asked_ns: int


@dataclass(slots=True)
class Summary:
    """What came of it."""

    pairs: list[Pair] = field(default_factory=list)
    spent_musd: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    """Requests without an answer, by what went wrong."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Calls that were not asked again, by why."""
    is_capped: bool = False
    """The next request could have passed the cap."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: counts, means, and the mean difference of quality with its 95 % interval."""
        differences = [pair.quality - pair.own_quality for pair in self.pairs]
        low, high = interval(differences)
        priced = [p for p in self.pairs if p.own_cost_musd is not None and p.cost_musd is not None]
        return {
            "pairs": len(self.pairs),
            "spent_usd": self.spent_musd / 1e6,
            "is_capped": self.is_capped,
            "problems": dict(self.problems),
            "left_out": dict(self.left_out),
            "judge": self.pairs[0].judge if self.pairs else None,
            "quality": mean([pair.quality for pair in self.pairs]),
            "own_quality": mean([pair.own_quality for pair in self.pairs]),
            "quality_change": {"estimate": mean(differences), "low": low, "high": high},
            "cost_usd": mean([p.cost_musd / 1e6 for p in priced if p.cost_musd is not None]),
            "own_cost_usd": mean([p.own_cost_musd / 1e6 for p in priced if p.own_cost_musd is not None]),
            "latency_s": mean([pair.latency_s for pair in self.pairs]),
            "own_latency_s": mean([pair.own_latency_s for pair in self.pairs]),
        }


def run(
    client: httpx.Client,
    calls: Sequence[Recorded],
    model: str,
    *,
    cap_usd: float,
    key: str,
    prices: PriceList,
    base: str | None = None,
    by: Judge | None = None,
    judge_name: str = AGREEMENT,
    on_pair: Callable[[Pair], None] = lambda pair: None,
) -> Summary:
    """Ask ``model`` the same as ``calls``.

    Raises:
        TrimtabError: nobody knows what the model costs, or the user's judge failed.
    """
    done = Summary()
    cap_musd = int(cap_usd * 1e6)
    in_a_row = 0
    for call, reply in _replies(client, calls, model, cap_musd, key, prices, base, done):
        if reply.answer is None:
            done.problems[reply.problem or "no answer"] += 1
            in_a_row += 1
            if in_a_row >= MOST_PROBLEMS:
                break
            continue
        in_a_row = 0
        said = judge.judged(by, call.request, call.answer, reply.answer)
        pair = Pair(
            call.call_id, call.site_id, call.model, model, judge_name, said.own, said.other, call.cost_musd,
            reply.cost_musd, call.latency_s, reply.latency_s, time.time_ns(),
        )  # fmt: skip
        done.pairs.append(pair)
        on_pair(pair)
    return done


def _replies(
    client: httpx.Client,
    calls: Sequence[Recorded],
    model: str,
    cap_musd: int,
    key: str,
    prices: PriceList,
    base: str | None,
    done: Summary,
) -> Iterator[tuple[Recorded, asking.Reply]]:
    """Each call with what came back, as long as the next one can't pass the cap."""
    for call in calls:
        if (why := asking.why_not(call)) is not None:
            done.left_out[why] += 1
            continue
        longest = call._replace(output_tokens=int(call.output_tokens * LONGER) + 1)
        expected = asking.estimate_musd(longest, model, prices)
        if expected is None:
            raise TrimtabError(
                f"What {model} costs is not known, so the cap can't be kept and nothing was sent. Give its price in"
                f' trimtab.toml: [prices."{model}"] with input and output in USD per million tokens.'
            )
        if done.spent_musd + expected > cap_musd:
            done.is_capped = True
            return
        reply = asking.ask(client, call, model, base, key, prices)
        was_refused = reply.answer is None and (reply.problem or "").startswith("status")
        done.spent_musd += reply.cost_musd if reply.cost_musd is not None else 0 if was_refused else expected
        yield call, reply


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def interval(differences: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the mean of paired differences, by Student's t; none of fewer than two."""
    n = len(differences)
    if n < 2:
        return None, None
    from scipy import stats  # type: ignore[import-untyped]

    centre = sum(differences) / n
    spread = sqrt(sum((one - centre) ** 2 for one in differences) / (n - 1))
    half = float(stats.t.ppf(0.975, n - 1)) * spread / sqrt(n)
    return centre - half, centre + half
