"""Records turned into table rows, one pure function per table.

In: records (:mod:`.records`). Out: mappings from column to value, as ``migrations/*.sql`` names them. The attempt's
row is the one with work in it: it is put together from two records that come in any order, priced, and given its
error class. Apart from :mod:`.ingest`, which knows about transactions and nothing about fields. Imports no database.
"""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .records import (
    Attempt,
    Content,
    Decision,
    Exchange,
    GenAiSpan,
    HttpSpan,
    Loss,
    Outcome,
    Process,
    RunEnd,
    RunStart,
    Saga,
    SagaStep,
    Site,
    ToolRun,
)
from .wire.errors import classify
from .wire.tokens import usage

if TYPE_CHECKING:
    from .prices import PriceList

Row: TypeAlias = dict[str, Any]

ONLY_SPANS = "otel"
"""``attempts.api`` of a call that only spans tell of."""

NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"})
"""Exceptions of the HTTP libraries that say the request never reached a server: nothing can have been billed."""

_USAGE = (
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("cache_write_1h_tokens", "input_audio_tokens", "cache_audio_read_tokens", "output_audio_tokens"),
    *("output_image_tokens", "web_searches", "service_tier", "speed", "inference_geo"),
)
_EXCHANGE = (
    *("response_model", "response_id", "previous_response_id", "finish_reason", "finish_reason_raw"),
    *("provider_error_type", "provider_error_code", "provider_error_message", "message_count"),
    *("output_chars", "output_digest", "prompt_digest", "tools_digest", "tools_offered"),
    *("rejects_call_id", "rejection_text"),
)
"""Columns that only the exchange fills. Usage, model and reported cost may also come from the attempt."""
_ATTEMPT = tuple(f.name for f in fields(Attempt) if f.name not in ("ts_ns", "duration_ns", "usage_fragment"))


def json_text(value: Any) -> str:
    """JSON that any reader takes: what is no JSON value becomes text, also NaN and infinity."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(json.loads(json.dumps(value, default=str), parse_constant=str), ensure_ascii=False)


class Tokens(NamedTuple):
    """Counts of one attempt that cost money."""

    input: int
    """All of it: cached tokens and audio are part of it."""
    cache_read: int
    cache_write: int
    output: int
    """All of it: reasoning, audio and pictures are part of it."""
    reasoning: int
    cache_write_1h: int = 0
    """Part of ``cache_write``."""
    input_audio: int = 0
    cache_audio_read: int = 0
    """Part of ``cache_read`` and of ``input_audio``."""
    output_audio: int = 0
    output_image: int = 0
    web_searches: int = 0


class Terms(NamedTuple):
    """What a request's price depends on beside its tokens."""

    service_tier: str | None = None
    """``flex``, ``priority``, ``batch``, …: as served, or where the provider does not say, as asked for."""
    speed: str | None = None
    """Anthropic's ``fast`` mode."""
    inference_geo: str | None = None
    """Where Anthropic ran the model."""


def micro_usd(usd: str | None) -> int | None:
    """Integer micro-USD (half-even) of a price in decimal text; None where it is no sensible amount."""
    if usd is None:
        return None
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount < 1_000_000:
        return None
    return int((amount * 1_000_000).to_integral_value(ROUND_HALF_EVEN))


def attempt_row(attempt: Attempt) -> Row:
    """What an attempt says by itself: everything but the exchange, with the tokens of its usage fragment."""
    row: Row = dict.fromkeys(_EXCHANGE) | dict.fromkeys(_USAGE)
    row |= {name: getattr(attempt, name) for name in _ATTEMPT}
    row |= {"started_ns": attempt.ts_ns, "ended_ns": attempt.ts_ns + attempt.duration_ns}
    row |= {"params": None, "signals": None, "parsed": False, "usage_source": "unknown", "cost_reported_musd": None}
    try:
        seen = usage(attempt.api, json.loads(attempt.usage_fragment)) if attempt.usage_fragment else None
    except ValueError:
        seen = None
    if seen is not None:
        row |= {name: getattr(seen, name) for name in _USAGE}
        row |= {"usage_source": "reported", "cost_reported_musd": micro_usd(seen.cost_reported_usd)}
    return row


def apply_exchange(row: Row, exchange: Exchange) -> None:
    """Complete an attempt's row, in place. What the exchange does not know stays as the fragment had it."""
    row |= {name: getattr(exchange, name) for name in _EXCHANGE}
    row["tools_offered"] = list(exchange.tools_offered)
    row["params"] = json_text(exchange.params)
    row["signals"] = json_text(exchange.signals) if exchange.signals else None
    row["parsed"] = True
    # What the provider reported is never replaced by what we estimate.
    is_known = exchange.usage_source == "estimated" and row["usage_source"] == "reported" and _tokens(row) is not None
    for name in ("model",) if is_known else (*_USAGE, "model"):
        if (value := getattr(exchange, name)) is not None:
            row[name] = value
    if exchange.usage_source != "unknown" and not is_known:
        row["usage_source"] = exchange.usage_source
    if (reported := micro_usd(exchange.cost_reported_usd)) is not None:
        row["cost_reported_musd"] = reported


def finish_attempt(row: Row, prices: PriceList) -> None:
    """Give an attempt's row its error class, provider and cost, in place; they follow from the rest of the row."""
    row["error_class"] = _error_class(row)
    price_attempt(row, prices)


def price_attempt(row: Row, prices: PriceList) -> None:
    """Give an attempt's row its provider and cost, in place, by ``prices``.

    Of a call that only spans tell of, the row has a provider already: without a host it says whose price it is.
    """
    told = row.get("provider") if row["api"] == ONLY_SPANS else None
    models = [name for name in (row["response_model"], row["model"]) if name]
    if told:
        models = [spelling for name in models for spelling in (name, f"{told}/{name}")]
    tokens = _tokens(row)
    cost = prices.cost(row["api"], row["host"], row["path"], models, row["started_ns"], tokens, _terms(row))
    provider = told if told and cost.provider == row["host"] else cost.provider
    row |= {"provider": provider, "cost_computed_musd": cost.musd, "price_version": cost.version}
    if row["cost_reported_musd"] is not None:
        row |= {"cost_musd": row["cost_reported_musd"], "cost_source": "reported"}
    elif cost.musd is not None:
        row |= {"cost_musd": cost.musd, "cost_source": "estimated"}
    elif row["input_tokens"] is None and row["output_tokens"] is None and _is_unbilled(row):
        row |= {"cost_musd": 0, "cost_source": "unbilled"}
    else:
        row |= {"cost_musd": None, "cost_source": "unknown"}


def _error_class(row: Row) -> str | None:
    found = classify(
        row["http_status"],
        row["error_type"],
        row["provider_error_type"],
        row["provider_error_code"],
        row["provider_error_message"],
    )
    if found is None and row["end"] == "error":  # it failed, and nothing says why
        return "stream_broken" if row["stream"] else "other"
    return found


def _tokens(row: Row) -> Tokens | None:
    """Counts to multiply; None where the decisive ones are missing (an embedding has no output)."""
    given, written = row["input_tokens"], row["output_tokens"]
    if given is None or (written is None and row["api"] != "openai.embeddings"):
        return None
    return Tokens(
        input=given,
        cache_read=row["cache_read_tokens"] or 0,
        cache_write=row["cache_write_tokens"] or 0,
        output=written or 0,
        reasoning=row["reasoning_tokens"] or 0,
        cache_write_1h=row["cache_write_1h_tokens"] or 0,
        input_audio=row["input_audio_tokens"] or 0,
        cache_audio_read=row["cache_audio_read_tokens"] or 0,
        output_audio=row["output_audio_tokens"] or 0,
        output_image=row["output_image_tokens"] or 0,
        web_searches=row["web_searches"] or 0,
    )


def _terms(row: Row) -> Terms:
    """What the provider says it served; where it says nothing, the tier that was asked for."""
    asked = None
    if row["service_tier"] is None and (params := row["params"]) is not None and '"service_tier"' in params:
        asked = json.loads(params).get("service_tier")
    tier = row["service_tier"] or (asked if isinstance(asked, str) else None)
    return Terms(tier, row["speed"], row["inference_geo"])


def _is_unbilled(row: Row) -> bool:
    if row["http_status"] is not None:
        return bool(row["http_status"] >= 400)
    return (row["error_type"] or "").rpartition(".")[2] in NEVER_SENT


def tool_request_rows(exchange: Exchange) -> list[Row]:
    """What the model asked for in this response."""
    ids = {"attempt_id": exchange.attempt_id, "call_id": exchange.call_id, "run_id": exchange.run_id}
    return [ids | {"schema_error": None} | _plain(request) for request in exchange.tool_requests]


def tool_result_rows(exchange: Exchange) -> list[Row]:
    """The tool answers that this request carried."""
    return [{"attempt_id": exchange.attempt_id} | _plain(result) for result in exchange.tool_results]


def tool_run_row(run: ToolRun) -> Row:
    """An observed execution, not joined to a request yet."""
    return _timed(run) | {"tool_id": None, "same_as": None}


def span_row(span: HttpSpan) -> Row:
    """Another HTTP request of the agent."""
    return _timed(span)


def gen_ai_span_row(span: GenAiSpan) -> Row:
    """A span of another tracer, not joined to a call yet."""
    joined = dict.fromkeys(("call_id", "joined_by", "joined_to"))
    return _timed(span) | {"span_key": span.trace_id + span.span_id, "home": span.run_id} | joined


def process_row(process: Process) -> Row:
    """A process, without its harness, which another record tells."""
    row = _plain(process)
    del row["schema_version"]
    return row | {"started_ns": row.pop("ts_ns")}


def run_start_row(run: RunStart) -> Row:
    """The beginning of a run; its service may still be the process's."""
    row = _plain(run)
    row |= {"attributes": json_text(run.attributes), "service": run.service or ""}
    row["annotations"] = json_text(run.annotations) if run.annotations else None
    return row | {"started_ns": row.pop("ts_ns")}


def run_end_row(run: RunEnd) -> Row:
    """The end of a run."""
    row = _plain(run)
    return row | {
        "ended_ns": row.pop("ts_ns"),
        "end_rule": row.pop("rule"),
        "error_site_id": row.pop("site_id"),
    }


def decision_row(decision: Decision) -> Row:
    """A knob's value in force."""
    row = _plain(decision)
    choices = json_text(list(decision.choices)) if decision.choices else None
    seen = json_text(decision.seen) if decision.seen is not None else None
    said = {"value": json_text(decision.value), "choices": choices, "seen": seen}
    return row | said | {"decided_ns": row.pop("ts_ns")}


def outcome_row(outcome: Outcome) -> Row:
    """What came of a run."""
    row = _plain(outcome)
    return row | {"recorded_ns": row.pop("ts_ns")}


def saga_row(saga: Saga) -> Row:
    """The compensations of a failed run."""
    return _timed(saga)


def saga_step_row(step: SagaStep) -> Row:
    """One of them."""
    return _timed(step)


def content_row(content: Content) -> Row:
    """Text of a request or response, for the Parquet segment."""
    row = _plain(content)
    return row | {"recorded_ns": row.pop("ts_ns")}


def site_row(site: Site) -> Row:
    """A place in the user's code; without the column ``via`` where the record does not know it."""
    row = _plain(site)
    row["via"] = list(site.via)
    return row if site.via else {name: value for name, value in row.items() if name != "via"}


def plain_row(record: Loss) -> Row:
    """Records whose fields are the columns."""
    return _plain(record)


def _plain(record: Any) -> Row:
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _timed(record: ToolRun | HttpSpan | GenAiSpan | Saga | SagaStep) -> Row:
    row = _plain(record)
    started = row.pop("ts_ns")
    return row | {"started_ns": started, "ended_ns": started + row.pop("duration_ns")}
