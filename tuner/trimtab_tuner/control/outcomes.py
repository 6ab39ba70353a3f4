"""What came of a run, told later and from outside the agent: by a person, a test suite, an evaluator.

In: a run that the store knows, however long ago it ended. Out: a row of ``outcomes`` and one of the audit. Told again
with the same id it changes nothing; told otherwise with the same id it is refused. Apart from the records' way in
(:mod:`trimtab_tracer.ingest`), where the last one counts, because here the sender waits for an answer.
"""

from __future__ import annotations

import math
import secrets
from typing import Any, NamedTuple

from trimtab_tracer.redact import redact

from ..reads import Row
from . import rows
from .change import Change
from .errors import Conflict, NotThere, Refused

SOURCES = ("explicit", "evaluator")
"""Who may tell: a person or the program itself, or something that judged the run."""
MAX_ID_CHARS = 200
"""Length of an outcome's id."""
MAX_COMMENT_CHARS = 4000
"""Length of a comment."""
MAX_NS = 2**63 - 1
_COMPARED = ("run_id", "success", "score", "source", "comment")


class Recorded(NamedTuple):
    """What became of an outcome."""

    outcome_id: str
    is_new: bool


def record(change: Change, row: Row, ts_ns: int | None) -> Recorded:
    """Keep an outcome.

    Args:
        change: The decision it is.
        row: ``run_id``, ``success``, ``score``, ``source``, ``comment`` and ``outcome_id``, which may be None.
        ts_ns: When it was known; now by default.

    Raises:
        NotThere: there is no such run.
        Refused: it says nothing, or something that can't be kept.
        Conflict: another outcome has this id.
    """
    _check(row, ts_ns)
    if rows.one(change.con, "runs", "run_id", row["run_id"]) is None:
        raise NotThere.named("run", row["run_id"], "/v1/runs")
    outcome_id = row["outcome_id"] or f"api-{secrets.token_hex(8)}"
    kept = row | {"outcome_id": outcome_id, "comment": None if row["comment"] is None else _clean(row["comment"])}
    there = rows.one(change.con, "outcomes", "outcome_id", outcome_id)
    if there is not None:
        is_same = all(there[name] == kept[name] for name in _COMPARED) and ts_ns in (None, there["recorded_ns"])
        if not is_same:
            raise Conflict(
                f"Outcome {outcome_id!r} was recorded before, for run {there['run_id']!r}, and says something else;"
                " nothing was changed. Send another outcome_id to add a second one."
            )
        return Recorded(outcome_id, False)
    rows.insert(change.con, "outcomes", kept | {"recorded_ns": change.now_ns if ts_ns is None else ts_ns})
    said: dict[str, Any] = {name: kept[name] for name in ("outcome_id", "success", "score", "source")}
    change.audit("outcome", "run", row["run_id"], after=said)
    return Recorded(outcome_id, True)


def _check(row: Row, ts_ns: int | None) -> None:
    if row["success"] is None and row["score"] is None:
        raise Refused.unusable("the outcome", None, "success, score or both")
    if row["score"] is not None and not math.isfinite(row["score"]):
        raise Refused.unusable("score", str(row["score"]), "a finite number")
    if row["source"] not in SOURCES:
        raise Refused.unusable("source", row["source"], f"one of {', '.join(SOURCES)}")
    if row["outcome_id"] is not None and not 1 <= len(row["outcome_id"]) <= MAX_ID_CHARS:
        raise Refused.unusable("outcome_id", row["outcome_id"], f"1 to {MAX_ID_CHARS} characters")
    if len(row["comment"] or "") > MAX_COMMENT_CHARS:
        raise Refused.unusable("comment", row["comment"], f"at most {MAX_COMMENT_CHARS} characters")
    if ts_ns is not None and not 0 <= ts_ns <= MAX_NS:
        raise Refused.unusable("ts_ns", ts_ns, "nanoseconds since 1970")


def _clean(comment: str) -> str:
    return rows.sound(redact(comment))
