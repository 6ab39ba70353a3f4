"""The questions to the store, and the shape of each answer.

In: a DuckDB connection or cursor onto the store. Out: one polars frame per question, with exactly the columns and
types written down here. Everything above works on these frames and knows no SQL, so each rule can be tested on a
dozen rows. What a column means is written in the header of its query; how a question is asked, and what stops it,
is in :mod:`.ask`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from .ask import Connection as Connection
from .ask import Schema as Schema
from .ask import ask
from .ask import snapshot as snapshot

REPEATABLE: Final = ("auth", "not_found", "bad_request", "context_overflow", "quota")
"""Error classes that the same request meets again: sending it once more is futile. ``cancelled`` and ``other`` may
pass, so they are in neither this list nor that of errors worth a retry."""

LOOP_WITHIN_S: Final = 90.0
"""Seconds between the end of a call and the next one of the same body within which a loop around the SDK sent it again:
the longest pause that a common framework makes (smolagents: a minute), and some."""

CACHE_KEPT_S: Final = 300.0
"""Seconds for which providers keep a prompt in their cache at the least: Anthropic's default lifetime, and the lower
end of what OpenAI states for its automatic cache."""

OVERSIZED_CHARS: Final = 20_000
"""Characters above which a tool result is oversized: about 5,000 tokens, several times what a page of source code, a
search or a listing takes, and what coding agents cut their own observations to (mini-SWE-agent: 10,000)."""

_TEXT, _INT, _REAL, _FLAG = pl.String, pl.Int64, pl.Float64, pl.Boolean

ATTEMPTS: Final[Schema] = {
    "run_id": _TEXT,
    "call_id": _TEXT,
    "attempt_id": _TEXT,
    "site_id": _TEXT,
    "host": _TEXT,
    "model": _TEXT,
    "started_ns": _INT,
    "ended_ns": _INT,
    "call_started_ns": _INT,
    "call_ended_ns": _INT,
    "duration_s": _REAL,
    "wait_s": _REAL,
    "pause_s": _REAL,
    "limited_s": _REAL,
    "stream": _FLAG,
    "is_failed": _FLAG,
    "is_last": _FLAG,
    "is_answer": _FLAG,
    "is_truncated": _FLAG,
    "is_rejected": _FLAG,
    "futile": _TEXT,
    "is_client_timeout": _FLAG,
    "http_status": pl.Int32,
    "error_class": _TEXT,
    "error_message": _TEXT,
    "retry_after_s": _REAL,
    "timeout_s": _REAL,
    "input_tokens": _INT,
    "output_tokens": _INT,
    "reasoning_tokens": _INT,
    "cost_musd": _INT,
    "is_estimated": _FLAG,
    "max_retries": pl.Int32,
    "rejection_text": _TEXT,
}
RETRY_LOOPS: Final[Schema] = {"call_id": _TEXT, "question_id": _TEXT, "is_meant": _FLAG, "is_storm": _FLAG}
TOOL_CALLS: Final[Schema] = {
    "run_id": _TEXT,
    "call_id": _TEXT,
    "tool_id": _TEXT,
    "idx": _INT,
    "at_ns": _INT,
    "name": _TEXT,
    "model": _TEXT,
    "site_id": _TEXT,
    "tool_site_id": _TEXT,
    "tools_digest": _TEXT,
    "tools_offered": pl.List(pl.String),
    "finish_reason": _TEXT,
    "args_error": _TEXT,
    "is_malformed": _FLAG,
    "is_unknown": _FLAG,
    "origin": _TEXT,
    "status": _TEXT,
    "error_type": _TEXT,
    "error_message": _TEXT,
    "repeats": _TEXT,
    "schema_error": _TEXT,
    "stalls": _FLAG,
}
TOOL_HEALTH: Final[Schema] = {"name": _TEXT, "tools_digest": _TEXT, "answered": _INT, "errors": _INT, "runs": _INT}
DECISIONS: Final[Schema] = {"call_id": _TEXT, "knob": _TEXT, "value": _TEXT, "source": _TEXT, "site_id": _TEXT}
DECIDED_RUNS: Final[Schema] = {"run_id": _TEXT, "decided_ns": _INT}
CACHED_MODELS: Final[Schema] = {"host": _TEXT, "model": _TEXT}
CACHE_MISSES: Final[Schema] = {"attempt_id": _TEXT, "missed_tokens": _INT, "prompt_changed": _FLAG}
CARRYING_CALLS: Final[Schema] = {
    "conversation": _TEXT,
    "attempt_id": _TEXT,
    "message_count": pl.Int32,
    "input_tokens": _INT,
    "output_tokens": _INT,
    "is_answer": _FLAG,
    "came_chars": _INT,
    "tool_site_id": _TEXT,
}
OUTCOMES: Final[Schema] = {
    "run_id": _TEXT,
    "status": _TEXT,
    "success": _FLAG,
    "score": _REAL,
    "source": _TEXT,
    "rule": _TEXT,
    "confidence": _REAL,
    "failed": _FLAG,
}
INFERRED: Final[Schema] = {"run_id": _TEXT, "success": _FLAG, "rule": _TEXT, "confidence": _REAL, "call_id": _TEXT}
RUN_ERRORS: Final[Schema] = {
    "run_id": _TEXT,
    "error_type": _TEXT,
    "is_exception": _FLAG,
    "error_message": _TEXT,
    "site_id": _TEXT,
    "started_ns": _INT,
    "ended_ns": _INT,
    "last_call_id": _TEXT,
    "last_start_ns": _INT,
    "from_child": _FLAG,
}
SITES: Final[Schema] = {
    "site_id": _TEXT,
    "file": _TEXT,
    "function": _TEXT,
    "line": pl.Int32,
    "source": _TEXT,
    "owner": _TEXT,
    "via": pl.List(pl.String),
}
FINDINGS: Final[Schema] = {
    "finding_id": _TEXT,
    "rule": _TEXT,
    "subject": _TEXT,
    "knob": _TEXT,
    "value": _TEXT,
    "site_id": _TEXT,
    "title": _TEXT,
    "advice": _TEXT,
    "status": _TEXT,
    "runs": pl.Int32,
    "failed_runs": pl.Int32,
    "calls": pl.Int32,
    "cost_musd": _INT,
    "wasted_musd": _INT,
    "evidence": _TEXT,
    "first_seen_ns": _INT,
    "last_seen_ns": _INT,
    "updated_ns": _INT,
}

ATTEMPTS_PRICED: Final[Schema] = {
    "attempt_id": _TEXT,
    "api": _TEXT,
    "provider": _TEXT,
    "host": _TEXT,
    "path": _TEXT,
    "started_ns": _INT,
    "model": _TEXT,
    "response_model": _TEXT,
    "params": _TEXT,
    "http_status": pl.Int32,
    "error_type": _TEXT,
    "input_tokens": _INT,
    "cache_read_tokens": _INT,
    "cache_write_tokens": _INT,
    "output_tokens": _INT,
    "reasoning_tokens": _INT,
    "cache_write_1h_tokens": _INT,
    "input_audio_tokens": _INT,
    "cache_audio_read_tokens": _INT,
    "output_audio_tokens": _INT,
    "output_image_tokens": _INT,
    "web_searches": _INT,
    "service_tier": _TEXT,
    "speed": _TEXT,
    "inference_geo": _TEXT,
    "cost_musd": _INT,
    "cost_reported_musd": _INT,
}

TIMES: Final[Schema] = {
    "state": _TEXT,
    "run_id": _TEXT,
    "id": _TEXT,
    "call_id": _TEXT,
    "site_id": _TEXT,
    "started_ns": _INT,
    "ended_ns": _INT,
    "is_bound": _FLAG,
}
RUN_WINDOWS: Final[Schema] = {
    "run_id": _TEXT,
    "parent_run_id": _TEXT,
    "agent": _TEXT,
    "started_ns": _INT,
    "ended_ns": _INT,
    "is_split": _FLAG,
}
CALL_AGENTS: Final[Schema] = {"call_id": _TEXT, "call_agent": _TEXT}
NOT_ANALYSABLE: Final[Schema] = {
    "what": _TEXT,
    "reason": _TEXT,
    "subject": _TEXT,
    "n": _INT,
    "examples": pl.List(pl.String),
}

RunIds = Sequence[str] | None
"""The runs to look at; None for all."""


def _ids(run_ids: RunIds) -> list[str] | None:
    return None if run_ids is None else list(run_ids)


def attempts(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per attempt, ordered by start (:data:`ATTEMPTS`)."""
    return ask(con, "attempts", ATTEMPTS, run_ids=_ids(run_ids), repeatable=list(REPEATABLE))


def retry_loops(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per call that a loop around the SDK sent again, or sends again (:data:`RETRY_LOOPS`)."""
    return ask(con, "retry_loops", RETRY_LOOPS, run_ids=_ids(run_ids), within_s=LOOP_WITHIN_S)


def tool_calls(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per tool call, in the order of its run (:data:`TOOL_CALLS`)."""
    return ask(con, "tool_calls", TOOL_CALLS, run_ids=_ids(run_ids))


def tool_health(con: Connection) -> pl.DataFrame:
    """One row per tool name and set of tools: executions and failures over all runs (:data:`TOOL_HEALTH`)."""
    return ask(con, "tool_health", TOOL_HEALTH)


def decisions_in_force(
    con: Connection, knobs: Sequence[str], run_ids: RunIds = None, call_ids: pl.Series | None = None
) -> pl.DataFrame:
    """One row per call and knob where a decision was recorded (:data:`DECISIONS`), in no order.

    It is the call's own decision, else the run's latest one before the call began. There are about ten decisions to a
    call, so they are the bulk of a store: name the calls wherever they are known.

    Args:
        con: The store.
        knobs: Which knobs; most are names of code that an agent does not have.
        run_ids: Only calls of these runs; None for all.
        call_ids: Only these calls, NULLs left out; None for all.
    """
    only = pl.Series(dtype=pl.String) if call_ids is None else call_ids.drop_nulls().unique()
    none = pl.DataFrame(schema=DECISIONS)
    decided = [] if call_ids is not None and only.is_empty() else _decided(con, knobs)
    which = {"run_ids": _ids(run_ids), "knobs": list(knobs), "every_call": call_ids is None}
    # As a relation: a parameter of a hundred thousand ids would be planned as a hundred thousand constants.
    con.register("only_calls", only.alias("call_id").to_frame().to_arrow())
    try:
        own = none
        if "call" in decided:
            own = ask(con, "decisions_of_calls", DECISIONS, **which, latest=False)
            if own.select(pl.struct("call_id", "knob").is_duplicated().any()).item():
                own = ask(con, "decisions_of_calls", DECISIONS, **which, latest=True)
        if "run" not in decided:
            return own
        of_runs = ask(con, "decisions_of_runs", DECISIONS, **which)
        return pl.concat([own, of_runs.join(own, on=["call_id", "knob"], how="anti")])
    finally:
        con.unregister("only_calls")


def _decided(con: Connection, knobs: Sequence[str]) -> list[str]:
    """What these knobs were ever decided for: ``call``, ``run``, both or nothing."""
    return ask(con, "is_decided", {"level": _TEXT}, knobs=list(knobs))["level"].to_list()


def decided_runs(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per run that went on after its verdict was given (:data:`DECIDED_RUNS`)."""
    return ask(con, "decided_runs", DECIDED_RUNS, run_ids=_ids(run_ids))


def cached_models(con: Connection) -> pl.DataFrame:
    """One row per host and model that was seen to read from a cache (:data:`CACHED_MODELS`)."""
    return ask(con, "cached_models", CACHED_MODELS)


def cache_misses(con: Connection, run_ids: RunIds = None, cached: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per answer that a changed beginning kept from the provider's cache (:data:`CACHE_MISSES`).

    Args:
        con: The store.
        run_ids: The runs; None for all.
        cached: :func:`cached_models`, where known already.
    """
    models = (cached_models(con) if cached is None else cached).to_dicts()
    return ask(con, "cache_misses", CACHE_MISSES, run_ids=_ids(run_ids), within_s=CACHE_KEPT_S, cached=models)


def carrying_calls(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per attempt of a conversation in which an oversized result came in (:data:`CARRYING_CALLS`)."""
    return ask(con, "carrying_calls", CARRYING_CALLS, run_ids=_ids(run_ids), oversized_chars=OVERSIZED_CHARS)


def attempts_priced(con: Connection, attempt_ids: pl.Series) -> pl.DataFrame:
    """One row per attempt among these: what its price depends on (:data:`ATTEMPTS_PRICED`)."""
    con.register("only_attempts", attempt_ids.unique().alias("attempt_id").to_frame().to_arrow())
    try:
        return ask(con, "attempts_priced", ATTEMPTS_PRICED)
    finally:
        con.unregister("only_attempts")


def times(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per attempt, tool execution and pause before a retry (:data:`TIMES`)."""
    return ask(con, "times", TIMES, run_ids=_ids(run_ids))


def run_windows(con: Connection) -> pl.DataFrame:
    """One row per run: when it was, and inside which other one (:data:`RUN_WINDOWS`)."""
    return ask(con, "run_windows", RUN_WINDOWS)


def call_agents(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per call whose agent was recorded (:data:`CALL_AGENTS`)."""
    return ask(con, "call_agents", CALL_AGENTS, run_ids=_ids(run_ids))


def not_analysable(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per reason why something of these runs can't be analysed (:data:`NOT_ANALYSABLE`)."""
    return ask(con, "not_analysable", NOT_ANALYSABLE, run_ids=_ids(run_ids))


def outcomes(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per run: its effective outcome, and whether it failed (:data:`OUTCOMES`)."""
    return ask(con, "outcomes", OUTCOMES, run_ids=_ids(run_ids))


def run_errors(con: Connection, run_ids: RunIds = None) -> pl.DataFrame:
    """One row per run that an exception ended (:data:`RUN_ERRORS`)."""
    return ask(con, "run_errors", RUN_ERRORS, run_ids=_ids(run_ids))


def sites(con: Connection) -> pl.DataFrame:
    """One row per place in the user's code (:data:`SITES`)."""
    return ask(con, "sites", SITES)


def findings_stored(con: Connection) -> pl.DataFrame:
    """One row per finding as last persisted (:data:`FINDINGS`)."""
    return ask(con, "findings_stored", FINDINGS)
