"""A run told as steps: who said what, what it had been told before, what it did, and what came of that.

In: the store, ids of runs. Out: :class:`Step` objects, one per call, in order. A module of its own because whoever
judges a step needs words and facts together, and they lie apart: facts in DuckDB, words in Parquet segments
(:mod:`trimtab_tracer.content`). Without words (content is off, or its files are gone) a step has empty texts and its
facts; a damaged file costs its texts and nothing else.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from trimtab_tracer.wire.formats import CHAT, by_api
from trimtab_tracer.wire.values import joined, obj, objs, spoken

from .ask import Connection, Schema, ask

STEPS: Final[Schema] = {
    "run_id": pl.String,
    "call_id": pl.String,
    "step": pl.Int64,
    "agent": pl.String,
    "site_id": pl.String,
    "api": pl.String,
    "body_of": pl.String,
    "failed": pl.Boolean,
    "rejected": pl.Boolean,
    "spans": pl.List(pl.String),
}
STEP_TOOLS: Final[Schema] = {
    "run_id": pl.String,
    "call_id": pl.String,
    "tool_id": pl.String,
    "name": pl.String,
    "args_digest": pl.String,
    "status": pl.String,
    "is_empty": pl.Boolean,
}

MAX_CHARS: Final = 20_000
"""Characters of one text that are looked at: its beginning and its end, half each."""

_HISTORY: Final = ("messages", "input", "contents")
"""Where the wire formats keep a request's messages."""
_OWN: Final = frozenset({"assistant", "model"})
"""Roles of what the model itself said."""
_OWN_TYPES: Final = frozenset({"function_call", "reasoning", "custom_tool_call"})
"""Items of the responses API that the model itself made."""
_DAMAGED: Final = (OSError, pa.ArrowException, KeyError, ValueError)


@dataclass(frozen=True, slots=True)
class Action:
    """A tool call, or code that a machine was to run."""

    tool_id: str
    name: str
    args_digest: str | None
    status: str
    """``ok | error | unknown | unanswered``."""
    is_empty: bool | None


@dataclass(frozen=True, slots=True)
class Step:
    """One call."""

    run_id: str
    call_id: str
    step: int
    agent: str | None
    site_id: str | None
    said: str = ""
    """The answer's text."""
    heard: str = ""
    """What came in since the model's own last message: the user's words, tool results, reports of machines."""
    actions: tuple[Action, ...] = ()
    is_failed: bool = False
    is_rejected: bool = False
    spans: tuple[str, ...] = ()


def content_folder(con: Connection) -> Path | None:
    """Where a store keeps its texts: beside its file; None for a store in memory."""
    found = con.execute("SELECT path FROM duckdb_databases() WHERE database_name = current_database()").fetchall()
    return Path(found[0][0]).parent / "content" if found and found[0][0] else None


def steps_of(con: Connection, run_ids: Sequence[str], content_dir: Path | None) -> dict[str, list[Step]]:
    """The steps of each run that has any.

    Args:
        con: The store.
        run_ids: The runs; their texts are in memory together.
        content_dir: Folder of the texts; None for none.
    """
    calls = ask(con, "steps", STEPS, run_ids=list(run_ids))
    actions: dict[str, list[Action]] = defaultdict(list)
    for _, call_id, *facts in ask(con, "step_tools", STEP_TOOLS, run_ids=list(run_ids)).iter_rows():
        actions[call_id].append(Action(*facts))
    bodies = _bodies(con, calls, content_dir) if content_dir is not None else {}
    found: dict[str, list[Step]] = defaultdict(list)
    for row in calls.iter_rows(named=True):
        said, heard = _words(
            row["api"], bodies.get((row["body_of"], "request")), bodies.get((row["body_of"], "response"))
        )
        found[row["run_id"]].append(
            Step(
                run_id=row["run_id"],
                call_id=row["call_id"],
                step=row["step"],
                agent=row["agent"],
                site_id=row["site_id"],
                said=_cut(said),
                heard=_cut(heard),
                actions=tuple(actions[row["call_id"]]),
                is_failed=row["failed"],
                is_rejected=row["rejected"],
                spans=tuple(row["spans"]),
            )
        )
    return dict(found)


def _bodies(con: Connection, calls: pl.DataFrame, folder: Path) -> dict[tuple[str, str], str]:
    """Texts by attempt and role."""
    wanted = calls["body_of"].drop_nulls()
    con.register("wanted_texts", wanted.alias("attempt_id").to_frame().to_arrow())
    try:
        where = con.execute(
            "SELECT segment, attempt_id FROM content SEMI JOIN wanted_texts USING (attempt_id)"
        ).fetchall()
    finally:
        con.unregister("wanted_texts")
    by_segment: dict[str, set[str]] = defaultdict(set)
    for segment, attempt_id in where:
        by_segment[segment].add(attempt_id)
    found: dict[tuple[str, str], str] = {}
    for segment, ids in by_segment.items():
        found |= _read(folder / segment, ids)
    return found


def _read(path: Path, attempt_ids: Iterable[str]) -> dict[tuple[str, str], str]:
    try:
        table = pq.read_table(
            path, columns=["attempt_id", "role", "body"], filters=[("attempt_id", "in", set(attempt_ids))]
        )
    except _DAMAGED:
        return {}  # content.read says so where a person asks for the text
    columns = (table.column(name).to_pylist() for name in ("attempt_id", "role", "body"))
    return {(attempt_id, role): body for attempt_id, role, body in zip(*columns, strict=True)}


def _words(api: str, request: str | None, response: str | None) -> tuple[str, str]:
    """What the model said, and what it heard before."""
    wire = by_api(api) or CHAT  # of calls that only spans tell of, texts are in OpenAI's shape
    said = wire.response(_object(response)).text
    asked = _object(request)
    given = next((value for name in _HISTORY if (value := asked.get(name)) is not None), None)
    if isinstance(given, str):
        return said, given
    new: list[str] = []
    for message in reversed(objs(given)):
        if message.get("role") in _OWN or message.get("type") in _OWN_TYPES:
            break
        new.append(_text(message))
    return said, "\n".join(text for text in reversed(new) if text)


def _text(message: dict[str, Any]) -> str:
    """A message's text, and that of the tool results in it."""
    content = message.get("content", message.get("parts", message.get("output")))
    results = [obj(part).get("content") for part in objs(content) if part.get("type") == "tool_result"]
    replies = [
        obj(part.get("functionResponse")).get("response") for part in objs(content) if "functionResponse" in part
    ]
    return "\n".join(text for text in (joined(content), *(spoken(r) for r in (*results, *replies))) if text)


def _object(body: str | None) -> dict[str, Any]:
    try:
        return obj(json.loads(body)) if body else {}
    except (ValueError, RecursionError):
        return {}


def _cut(text: str) -> str:
    half = MAX_CHARS // 2
    return text if len(text) <= MAX_CHARS else f"{text[:half]}\n{text[-half:]}"
