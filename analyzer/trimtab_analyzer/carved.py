"""What the input of an answer cost beyond need: prompts that missed the cache, and oversized results carried along.

In: the store. Out: per attempt, the part of its cost that each of the two took. They are parts of calls that were
useful otherwise, which no other class of the ledger knows, and they need prices: apart from :mod:`.cost` for that.
What was paid for but has no price in the list gives no part, because a split by guess would be worse than none.

*Cache miss.* Only the extra counts: the price of the answer less the price it would have had with those tokens read
from the cache; the tokens themselves were needed. Which tokens those are is said in ``queries/cache_misses.sql``.

*Oversized result.* The request that brings a result of more than :data:`~.load.OVERSIZED_CHARS` characters has use of
it; each later one of the conversation pays for it again. Its tokens are its characters by
:data:`CHARS_PER_TOKEN`, and never more than the prompt grew by when it came in, because a harness may have cut it;
one that was cut below the limit is oversized no more.
It counts as carried until a request of the conversation has fewer messages or a smaller prompt than the one that
brought it: then it may have been dropped, and stays out also where the prompt grows again. Its cost is its share of
the input's, after the extra of a cache miss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from trimtab_tracer.ingest import bundled_prices
from trimtab_tracer.ingest_rows import price_attempt
from trimtab_tracer.prices import PriceList

from . import load
from .load import Connection, RunIds

CHARS_PER_TOKEN: Final = 4
"""Of a tool result; the rule of thumb that OpenAI gives for English text."""

CARVED: Final[load.Schema] = {
    "attempt_id": pl.String,
    "miss_musd": pl.Int64,
    "miss_knob": pl.String,
    "carried_musd": pl.Int64,
    "carried_tokens": pl.Int64,
    "carried_site_id": pl.String,
}

_NOT_INPUT: Final = ("output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens")


@dataclass(slots=True)
class _Carried:
    """An oversized result in the prompt of a conversation."""

    tokens: int
    site_id: str | None
    prompt_tokens: int
    messages: int


def carved(
    con: Connection, run_ids: RunIds = None, prices: PriceList | None = None, cached: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The parts of answers that went into cache misses and carried results.

    Args:
        con: The store.
        run_ids: The runs; None for all.
        prices: The price list; the bundled one by default.
        cached: :func:`~.load.cached_models`, where known already.

    Returns:
        One row per attempt with such a part: ``attempt_id``; ``miss_musd`` micro-USD of extra price and ``miss_knob``,
        what changed (``prompt_version`` or ``tools``; NULL where nothing was missed); ``carried_musd`` and
        ``carried_tokens`` of oversized results, and ``carried_site_id``, the line that defines the largest one's tool
        (NULL where it is not known). Together they are at most the attempt's cost and input.
    """
    misses = load.cache_misses(con, run_ids, cached)
    carrying = load.carrying_calls(con, run_ids)
    heavy = pl.DataFrame(carried(carrying.iter_rows(named=True)), schema=_HEAVY, orient="row")
    both = misses.join(heavy, on="attempt_id", how="full", coalesce=True)
    priced = load.attempts_priced(con, both["attempt_id"])
    rates = prices or bundled_prices()
    rows = [_carve(row, rates) for row in priced.join(both, on="attempt_id").iter_rows(named=True)]
    found = pl.DataFrame([row for row in rows if row is not None], schema=CARVED, orient="row")
    return found.sort("attempt_id")


_HEAVY: Final[load.Schema] = {"attempt_id": pl.String, "carried_tokens": pl.Int64, "carried_site_id": pl.String}


def carried(attempts: Iterable[dict[str, Any]]) -> list[tuple[str, int, str | None]]:
    """Which attempts carry oversized results along: id, tokens, and the site of the largest result's tool.

    Args:
        attempts: Rows of :data:`~.load.CARRYING_CALLS`, conversation by conversation in their order.
    """
    found: list[tuple[str, int, str | None]] = []
    conversation, held, before, waiting = None, list[_Carried](), 0, 0
    for row in attempts:
        if row["conversation"] != conversation:
            conversation, held, before, waiting = row["conversation"], [], 0, 0
        waiting += row["came_chars"]
        if not row["is_answer"]:
            continue
        prompt, messages = row["input_tokens"], row["message_count"] or 0
        # Whatever came in later stands later in the prompt, so the last ones are dropped first.
        while held and (held[-1].prompt_tokens > prompt or held[-1].messages > messages):
            held.pop()
        if tokens := sum(one.tokens for one in held):
            found.append((row["attempt_id"], tokens, max(held, key=lambda one: one.tokens).site_id))
        brought = min(waiting // CHARS_PER_TOKEN, prompt - before)
        if brought > load.OVERSIZED_CHARS // CHARS_PER_TOKEN:
            held.append(_Carried(brought, row["tool_site_id"], prompt, messages))
        before, waiting = prompt + row["output_tokens"], 0
    return found


def _carve(row: dict[str, Any], prices: PriceList) -> tuple[Any, ...] | None:
    """The row of :data:`CARVED` for an attempt; None where its price can't be taken apart, or nothing is to be said."""
    missed, heavy = row["missed_tokens"] or 0, row["carried_tokens"] or 0
    if not row["cost_musd"]:  # free or of unknown cost: its tokens were carried all the same
        return (row["attempt_id"], 0, None, 0, heavy, row["carried_site_id"]) if heavy else None
    total = _price(row, prices)
    if not total:
        return None
    read = _price(row | {"cache_read_tokens": (row["cache_read_tokens"] or 0) + missed}, prices) if missed else total
    given = _price(row | dict.fromkeys(_NOT_INPUT, 0) | {"web_searches": 0}, prices) if heavy else 0
    if read is None or given is None:
        return None
    extra = max(0, total - read)
    # What was paid may be another amount than the list's: its parts stand to it as theirs to the list's.
    miss = row["cost_musd"] * extra // total
    carried_musd = 0
    if heavy:
        rest = max(0, row["cost_musd"] * min(given, total) // total - miss)
        carried_musd = rest * heavy // max(row["input_tokens"], 1)
    if not miss and not carried_musd:
        return None
    knob = ("prompt_version" if row["prompt_changed"] else "tools") if miss else None
    return row["attempt_id"], miss, knob, carried_musd, heavy if carried_musd else 0, row["carried_site_id"]


def is_cheaper_cached(row: dict[str, Any], prices: PriceList | None = None) -> bool:
    """Whether the list has a lower price for the attempt's input where it is read from the cache."""
    rates = prices or bundled_prices()
    plain = _price(row | {"cache_read_tokens": 0}, rates)
    cached = _price(row | {"cache_read_tokens": row["input_tokens"]}, rates)
    return plain is not None and cached is not None and cached < plain


def _price(row: dict[str, Any], prices: PriceList) -> int | None:
    """Micro-USD by the list; None where it has no price."""
    priced = dict(row)
    price_attempt(priced, prices)
    found: int | None = priced["cost_computed_musd"]
    return found
