"""What the store knows of changes that were not made yet: how retries fared, which models answer, what is in force now.

In: a connection to the store. Out: one polars frame per question, with exactly the columns written down here; what they
mean is said in ``queries/``. Apart from :mod:`.load` because no rule looks at these: they are for whoever proposes a
change. Everything here is what was seen, under the conditions it was seen under.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from .ask import Connection, Schema, ask

RETRY_FATES: Final[Schema] = {
    "host": pl.String,
    "error_class": pl.String,
    "retried": pl.Int64,
    "answered": pl.Int64,
    "extra_s": pl.Float64,
}
MODELS_SEEN: Final[Schema] = {
    "host": pl.String,
    "api": pl.String,
    "model": pl.String,
    "requests": pl.Int64,
    "answers": pl.Int64,
    "cost_musd": pl.Float64,
    "priced": pl.Int64,
    "response_models": pl.List(pl.String),
}
LATEST_CALLS: Final[Schema] = {
    "site_id": pl.String,
    "model": pl.String,
    "call_id": pl.String,
    "started_ns": pl.Int64,
}
WAITS: Final[Schema] = {
    "site_id": pl.String,
    "model": pl.String,
    "host": pl.String,
    "stream": pl.Boolean,
    "waited_s": pl.Float64,
    "answered": pl.Boolean,
    "output_tokens": pl.Int64,
    "cost_musd": pl.Int64,
}
CALLS_ASKED: Final[Schema] = {
    "call_id": pl.String,
    "site_id": pl.String,
    "host": pl.String,
    "api": pl.String,
    "service": pl.String,
    "origin": pl.String,
    "attempts": pl.Int64,
    "is_lost": pl.Boolean,
    "is_embedding": pl.Boolean,
    "model": pl.String,
    "response_models": pl.List(pl.String),
}


def retry_fates(con: Connection) -> pl.DataFrame:
    """One row per host and error class: how calls that were sent again after it fared (:data:`RETRY_FATES`)."""
    return ask(con, "retry_fates", RETRY_FATES)


def models_seen(con: Connection) -> pl.DataFrame:
    """One row per host, wire format and model (:data:`MODELS_SEEN`)."""
    return ask(con, "models_seen", MODELS_SEEN)


def latest_calls(con: Connection, knobs: Sequence[str], last: int) -> pl.DataFrame:
    """One row per place and each of the ``last`` calls to each model there (:data:`LATEST_CALLS`), the latest first."""
    return ask(con, "latest_calls", LATEST_CALLS, knobs=list(knobs), last=last)


def waits(con: Connection, most: int, days: float) -> pl.DataFrame:
    """One row for each of the newest ``most`` waits for an answer at each place, of so many days (:data:`WAITS`)."""
    return ask(con, "waits", WAITS, most=most, days=days)


def calls_asked(con: Connection, call_ids: Sequence[str]) -> pl.DataFrame:
    """One row per call (:data:`CALLS_ASKED`)."""
    return ask(con, "calls_asked", CALLS_ASKED, call_ids=list(call_ids))
