"""What a reader has to know to trust a report's numbers.

In: the rows and sums that a report was built from. Out: sentences, the gravest first; none where nothing is to be said.
A module of its own because each is a promise of honesty: unknown costs, estimates, imports without times or lines,
losses, data that was made up, and what the page left out are said here or nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..wording import count, were
from .model import LossLine, Totals, UnpricedModel
from .words import listing, usd

MAX_NAMED = 5
"""Models without a price that are named one by one."""


def notes(
    rows: Sequence[dict[str, Any]],
    totals: Totals,
    sources: dict[str, Any],
    losses: Sequence[LossLine],
    unpriced: Sequence[UnpricedModel] = (),
    *,
    listed: int,
    opened: int,
    is_of_all: bool = False,
) -> Iterator[str]:
    """The sentences; where data is synthetic the first one says so.

    Args:
        rows: All runs (``queries/runs.sql``).
        totals: Their sums.
        sources: Where the numbers come from (``queries/sources.sql``).
        losses: What could not be kept.
        unpriced: Models without a known price.
        listed: Runs in the report's table.
        opened: Those of them whose calls are listed.
        is_of_all: Whether this is one run, with findings that are told over all.
    """
    requests = count(totals.attempts, "request")
    if n := sources["scripted"]:
        yield (
            f"Synthetic data: {n:,} of {requests} {were(n)} answered by trimtab's own scripted provider."
            " Answers, faults and token counts are made up."
        )
    if lost := sum(loss.count for loss in losses):
        kinds = listing([f"{loss.count:,} of kind {loss.lost_kind} ({loss.reason})" for loss in losses])
        yield f"{count(lost, 'record')} could not be kept: {kinds}. What they held is missing here."
    yield from _money(totals, sources, requests)
    yield from _unpriced(unpriced)
    if n := totals.untold:
        yield f"{count(n, 'answer')} came without token counts, which count as 0 tokens here."
    if n := sources["unparsed"]:
        yield (
            f"For {n:,} of {requests} only time, status and tokens are known, because the agent's process ended before"
            " what was said could be read."
        )
    yield from _imports(rows)
    if is_of_all:
        yield (
            "The findings are those of all runs, as far as they hit this one: the shares in their titles are over all"
            " runs, the calls, costs and losses below them are this run's."
        )
    yield from _outcomes(totals)
    if listed < totals.runs or opened < listed:
        yield (
            f"The table shows {listed:,} of {count(totals.runs, 'run')}, and the calls of {opened:,} of them: the"
            " failed, the blamed and the most expensive. All sums are over all runs."
        )


def _outcomes(totals: Totals) -> Iterator[str]:
    if n := totals.inferred_runs:
        yield (
            f"{n:,} of {count(totals.failed_runs, 'failed run')} ended without an error, and nobody said that they"
            " failed: it is inferred from their last call. What the agent says with trimtab.outcome() counts before it."
        )
    if n := totals.unjudged_runs:
        yield (
            f"{n:,} of {count(totals.runs, 'run')} {were(n)} not judged: nobody recorded whether they reached their"
            " goal, and ending without an error is not success. The agent can say so with trimtab.outcome()."
        )


def _money(totals: Totals, sources: dict[str, Any], requests: str) -> Iterable[str]:
    if n := totals.unpriced:
        yield (
            f"What {n:,} of {requests} cost is not known, because no usage was reported or no price list has the model."
            f" {'It counts' if n == 1 else 'They count'} as $0 here."
        )
    if sources["estimated"]:
        reported = f", {usd(totals.reported_musd)} was reported by the provider" if sources["reported"] else ""
        lists = listing(sources["price_versions"])
        yield f"{usd(totals.estimated_musd)} is computed from tokens and list prices ({lists}){reported}."
    if n := sources["guessed"]:
        cost = f", and so is the {usd(sources['guessed_musd'])} computed from them" if sources["guessed_musd"] else ""
        yield (
            f"The provider reported no tokens for {n:,} of {requests}, or not all: their {sources['guessed_tokens']:,}"
            f" tokens are estimated from the text{cost}. Pictures and hidden reasoning are not in it, so it is rather"
            " too little. A stream reports its tokens when it is asked to (stream_options include_usage)."
        )


def _unpriced(models: Sequence[UnpricedModel]) -> Iterable[str]:
    if not models:
        return
    named = [
        f"{line.model or 'a model without a name'} at {line.provider} ({count(line.calls, 'call')},"
        f" {line.input_tokens + line.output_tokens:,} tokens)"
        for line in models[:MAX_NAMED]
    ]
    if len(models) > MAX_NAMED:
        named.append(f"{len(models) - MAX_NAMED:,} more")
    yield (
        f"No price is known for {listing(named)}. Give one in trimtab.toml, as"
        f' [prices."{models[0].model}"] with input and output in USD per million tokens; `trimtab reprice` brings it'
        " to what was recorded before."
    )


def _imports(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    imported = sum(row["origin"] == "import" for row in rows)
    if not imported:
        return
    undated = sum(row["times"] == "file" for row in rows)
    yield (
        f"{imported:,} of {count(len(rows), 'run')} {were(imported)} imported from files. Files name no line of code,"
        " so these are pinned to the harness and its settings, and files do not say how long a request took."
        + (f" {count(undated, 'run')} carried no time at all; the file's own date stands in." if undated else "")
    )
