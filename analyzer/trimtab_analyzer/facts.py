"""What the rules look at beyond the frames of a case, asked for when the first of them needs it.

In: a case. Out: one frame per question, kept for the rules that come after. Apart from :mod:`.case` because the
report and the ledger need none of it, and apart from the rules because several of them look at the same frame. What a
column means is written in the header of its query.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from .ask import Schema, ask
from .case import Case

_TEXT, _INT, _FLAG = pl.String, pl.Int64, pl.Boolean
_TEXTS, _INTS = pl.List(pl.String), pl.List(pl.Int64)

ANSWERS: Final[Schema] = {
    "attempt_id": _TEXT,
    "process_id": _TEXT,
    "number": pl.Int32,
    "end": _TEXT,
    "parsed": _FLAG,
    "conversation_id": _TEXT,
    "continues_call_id": _TEXT,
    "message_count": pl.Int32,
    "previous_response_id": _TEXT,
    "output_chars": _INT,
    "output_digest": _TEXT,
    "prompt_digest": _TEXT,
    "tools_digest": _TEXT,
    "n_offered": _INT,
    "cache_read_tokens": _INT,
    "finish_reason": _TEXT,
    "is_text": _FLAG,
    "opening": _INT,
    "stops": _TEXTS,
    "disobeyed": _TEXTS,
    "refused": _FLAG,
    "compacted": _FLAG,
    "mismatch": _TEXTS,
    "verified": _FLAG,
    "numbers": _INTS,
    "values_out": _INTS,
    "values_in": _INTS,
    "words_out": _INTS,
    "words_in": _INTS,
    "missing": _TEXTS,
    "followed": _INT,
}
STEPS: Final[Schema] = {
    "tool_id": _TEXT,
    "args_digest": _TEXT,
    "result_digest": _TEXT,
    "result_chars": _INT,
    "mutates": _FLAG,
    "ran_ns": _INT,
    "done_ns": _INT,
    "ran_status": _TEXT,
    "schema_error": _TEXT,
    "looks": _TEXT,
    "is_keyed": _FLAG,
    "words": _INTS,
    "compensation": _TEXT,
    "undoing": _TEXT,
    "undo_error": _TEXT,
}
RUNS: Final[Schema] = {
    "run_id": _TEXT,
    "kind": _TEXT,
    "service": _TEXT,
    "task": _TEXT,
    "origin": _TEXT,
    "started_ns": _INT,
    "ended_ns": _INT,
    "status": _TEXT,
    "error_type": _TEXT,
    "error_message": _TEXT,
    "error_site_id": _TEXT,
    "is_vanished": _FLAG,
    "has_children": _FLAG,
    "n_calls": _INT,
    "n_tools": _INT,
}
VERDICTS: Final[Schema] = {"run_id": _TEXT, "source": _TEXT, "success": _FLAG, "comment": _TEXT}

LIMIT_KNOB: Final = (
    r"(?i)(max|limit).*(turn|step|iter|round|request|message|cycle|recursion)"
    r"|(turn|step|iter|round|request|cycle|recursion).*(limit|max)"
)
"""Names of knobs that bound how often an agent turns."""
NO_LIMIT: Final = ("concurren", "parallel", "per_", "rate", "retr", "timeout")
"""Parts of the names of knobs that bound something else."""


def answers(case: Case) -> pl.DataFrame:
    """One row per attempt, in order of start: ``case.attempts`` and :data:`ANSWERS`, with ``asks`` (tool calls that its
    call asked for) and ``is_lost`` (of a run that failed, see :func:`lost_runs`)."""

    def make() -> pl.DataFrame:
        told = ask(case.con, "answers", ANSWERS, run_ids=case.run_ids)
        asks = case.tools.filter(pl.col("call_id").is_not_null()).group_by("call_id").agg(asks=pl.len().cast(_INT))
        return (
            case.attempts.join(told, on="attempt_id", how="left", maintain_order="left")
            .join(asks, on="call_id", how="left", maintain_order="left")
            .with_columns(asks=pl.col("asks").fill_null(0), is_lost=_is_lost(case))
        )

    return case.once("answers", make)


def steps(case: Case) -> pl.DataFrame:
    """One row per tool call, in the order of its run: ``case.tools`` and :data:`STEPS`, with ``is_lost``."""

    def make() -> pl.DataFrame:
        told = ask(case.con, "tool_facts", STEPS, run_ids=case.run_ids)
        joined = case.tools.join(told, on="tool_id", how="left", maintain_order="left")
        return joined.with_columns(is_lost=_is_lost(case))

    return case.once("steps", make)


def runs(case: Case) -> pl.DataFrame:
    """One row per run, in order of start: :data:`RUNS`, with the outcome that counts (``success``, ``failed``) and
    ``is_lost``."""

    def make() -> pl.DataFrame:
        found = ask(case.con, "run_facts", RUNS, run_ids=case.run_ids)
        outcomes = case.outcomes.select("run_id", "success", "failed")
        joined = found.join(outcomes, on="run_id", how="left", maintain_order="left")
        return joined.with_columns(failed=pl.col("failed").fill_null(False), is_lost=_is_lost(case))

    return case.once("runs", make)


def verdicts(case: Case) -> pl.DataFrame:
    """One row per outcome that was reported (:data:`VERDICTS`)."""
    return case.once("verdicts", lambda: ask(case.con, "verdicts", VERDICTS, run_ids=case.run_ids))


def limit_knobs(case: Case) -> list[str]:
    """The knobs that bound how often an agent turns, as far as they were ever decided."""
    found = case.once("limit_knobs", lambda: ask(case.con, "limit_knobs", {"knob": _TEXT}, like=LIMIT_KNOB))
    return [knob for knob in found["knob"] if not any(part in knob.lower() for part in NO_LIMIT)]


def lost_runs(case: Case) -> list[str]:
    """The runs that failed, less those whose verdict is doubted: what candidates are looked for in."""
    return [run_id for run_id in case.outcomes.filter("failed")["run_id"] if run_id not in case.doubted]


def _is_lost(case: Case) -> pl.Expr:
    return pl.col("run_id").is_in(lost_runs(case))
