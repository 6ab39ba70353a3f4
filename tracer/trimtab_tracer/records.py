"""The frozen records that an agent process spools and the collector ingests.

In: facts measured by the hooks (:mod:`.instrument`), the door (:mod:`trimtab`) and the importers.
Out: one JSON object per record, ``{"kind": "<class name in snake case>", **fields}``.

The records are the contract between the agent and everything behind it, so they import nothing of ours. Their shapes
stand by subject in ``record_*.py``; whoever uses them takes them from here. A published shape never changes: new facts
get new fields with defaults, and a reader that meets a ``SCHEMA_VERSION`` above its own stops (see :mod:`.collect`).

Units: ``*_ns`` are nanoseconds (``ts_ns`` and ``*_ns`` points in time since the Unix epoch, UTC),
``*_s`` seconds, ``*_bytes`` bytes. Ids are opaque strings, unique without a registry. A ``*_digest``
is the first 16 hex digits of an unsalted SHA-256: it tells equal from different, and a short text behind it can be
guessed.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, ClassVar

from .record_calls import Attempt, Exchange, ToolRequest, ToolResult, ToolRun
from .record_decisions import CallDecisions, Choice, Decision
from .record_runs import SCHEMA_VERSION, Harness, Outcome, Process, RunEnd, RunStart, Saga, SagaStep, Site
from .record_spans import Content, GenAiSpan, HttpSpan, Loss

__all__ = [
    "SCHEMA_VERSION",
    "Attempt",
    "CallDecisions",
    "Choice",
    "Content",
    "Decision",
    "Exchange",
    "GenAiSpan",
    "Harness",
    "HttpSpan",
    "Loss",
    "Outcome",
    "Process",
    "Record",
    "RunEnd",
    "RunStart",
    "Saga",
    "SagaStep",
    "Site",
    "ToolRequest",
    "ToolResult",
    "ToolRun",
    "from_dict",
    "kind_of",
    "to_dict",
]

Record = (
    Process
    | Harness
    | RunStart
    | RunEnd
    | Site
    | Attempt
    | Exchange
    | ToolRun
    | Decision
    | CallDecisions
    | Outcome
    | SagaStep
    | Saga
    | Content
    | HttpSpan
    | GenAiSpan
    | Loss
)


def kind_of(record_type: type) -> str:
    """Name of a record type on the wire: ``RunStart`` → ``run_start``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record_type.__name__).lower()


class _Shapes:
    """Which class each kind decodes to, and which of its fields hold nested records."""

    kinds: ClassVar[dict[type, str]] = {t: kind_of(t) for t in Record.__args__}
    by_kind: ClassVar[dict[str, type]] = {kind_of(t): t for t in Record.__args__}
    nested: ClassVar[dict[type, dict[str, type]]] = {
        Exchange: {"tool_requests": ToolRequest, "tool_results": ToolResult},
        CallDecisions: {"choices": Choice},
    }
    names: ClassVar[dict[type, tuple[str, ...]]] = {
        t: tuple(f.name for f in fields(t)) for t in (*Record.__args__, ToolRequest, ToolResult, Choice)
    }


def to_dict(record: Record) -> dict[str, Any]:
    """The record as a JSON-able mapping, with its ``kind``. Shallow except for the nested tool records."""
    out: dict[str, Any] = {"kind": _Shapes.kinds[type(record)]}
    nested = _Shapes.nested.get(type(record), {})
    for name in _Shapes.names[type(record)]:
        value = getattr(record, name)
        if name in nested:
            value = [_said({n: getattr(v, n) for n in _Shapes.names[type(v)]}, type(v)) for v in value]
        out[name] = value
    return _said(out, type(record))


def _said(written: dict[str, Any], shape: type) -> dict[str, Any]:
    """It without later fields that are as by default, so that a sidecar of an earlier version reads what has none."""
    for name, default in _LATER.get(shape, {}).items():
        if written[name] == default:
            del written[name]
    return written


_LATER: dict[type, dict[str, Any]] = {
    Attempt: {"agent": None, "step": None},
    RunStart: {"annotations": {}},
    Decision: {"choices": (), "rule_id": None, "drawn": None, "seen": None, "verdict": None},
    Choice: {"rule_id": None, "drawn": None, "seen": None, "verdict": None},
    Site: {"via": ()},
    ToolRun: {"compensation": None},
    Outcome: {"evaluator": None, "evaluator_version": None},
}
"""Fields that came later than their kind, left out where they say nothing."""


def from_dict(data: dict[str, Any]) -> Record:
    """The record that :func:`to_dict` gave ``data``.

    Raises:
        ValueError: the kind or a field is not one of this version's, or a required field is missing.
    """
    values = dict(data)
    kind = values.pop("kind", None)
    shape = _Shapes.by_kind.get(str(kind))
    if shape is None:
        raise ValueError(f"unknown record kind {kind!r}; this version knows {', '.join(sorted(_Shapes.by_kind))}")
    nested = _Shapes.nested.get(shape, {})
    for name in ("choices", "tool_requests", "tool_results", "tools_offered", "via", "links_in", "links_out"):
        if name in values:
            inner = nested.get(name)
            values[name] = tuple(inner(**v) if inner is not None else v for v in values[name])
    try:
        record: Record = shape(**values)
    except TypeError as error:
        raise ValueError(f"record of kind {kind!r} does not fit its shape: {error}") from error
    return record
