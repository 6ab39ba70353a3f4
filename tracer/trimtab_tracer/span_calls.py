"""Joins the spans of a batch, and those around it, to the calls they tell of; gives calls to those that are alone.

In: the connection of an open write transaction, after the batch's attempts and spans were written. Out: which call
every span near the batch belongs to, a row in ``attempts`` for each span whose call nobody saw on the wire, none for
those whose attempt has come; and the ids of the calls to be derived anew. The rules are in :mod:`.span_joins`; this
module brings them what overlaps the batch in time, as a span's join depends on nothing else. So the rows are the
same whatever the order and batches in which attempts, exchanges and spans arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from .ingest_rows import ONLY_SPANS, Row, attempt_row, finish_attempt
from .records import Attempt
from .span_joins import SLACK_NS, Inside, Sent, Told, Views
from .store import execute_for, replace_rows

if TYPE_CHECKING:
    import duckdb

    from .prices import PriceList

ALONE: Final = "alone"
"""``joined_by`` of a span that stands in for its call."""

MAX_STRETCHES: Final = 8
"""Stretches of time that are looked at apart; each is a look into the store."""

_TOLD: Final = Told._fields
_KEPT: Final = (
    *("response_model", "response_id", "finish_reason"),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
)
"""Columns that a span's attempt has from the span, beyond those of an attempt's record."""

_RUNS_OF_CALLS: Final = """
    UPDATE gen_ai_spans SET run_id = a.run_id FROM attempts AS a
    WHERE gen_ai_spans.call_id = a.call_id AND gen_ai_spans.run_id != a.run_id
      AND span_key IN (SELECT span_key FROM batch_joined)
"""

_PRICED_AS: Final = {
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
}
"""The price list's names of providers, where they are not those of the GenAI conventions."""


def join_spans(
    con: duckdb.DuckDBPyConnection, attempts: Sequence[Row], spans: Iterable[Row], prices: PriceList
) -> set[str]:
    """Join what overlaps these rows, which the batch wrote; the calls that changed.

    Args:
        con: Inside a transaction of :meth:`.store.Store.transaction`.
        attempts: Rows of ``attempts`` as the batch wrote them.
        spans: The same of ``gen_ai_spans``, of any subject.
        prices: For the calls that only spans tell of.
    """
    written = {row["span_key"]: row for row in spans if row["subject"] == "call"}
    touched = [*attempts, *written.values()]
    if not touched or con.execute("SELECT 1 FROM gen_ai_spans LIMIT 1").fetchone() is None:
        return set()
    near = {row["span_key"]: row for row in _near(con, "spans_near", touched)}
    if not near:
        return set()
    # Spans of one call lead to each other's attempts, so what overlaps those near may change its mind too.
    near = {row["span_key"]: row for row in _near(con, "spans_near", near.values())}
    around = {row["span_key"]: row for row in _near(con, "spans_near", near.values())}
    views = Views(
        (Sent(**row) for row in _near(con, "attempts_near", near.values())),
        (_told(row) for row in around.values()),
    )
    found = {key: views.inside(_told(row)) for key, row in near.items()}
    outer = _outer(con, found)
    changed = _changed(near | outer, found, _calls(found, outer, around))
    replace_rows(con, "gen_ai_spans", changed, ("span_key",))
    alone = {key: near[key] for key, inside in found.items() if inside is None}
    gone = {key for key in near.keys() - alone.keys() if near[key]["joined_by"] == ALONE or key in written}
    if gone:
        sql = "DELETE FROM attempts WHERE api = 'otel' AND attempt_id IN (SELECT attempt_id FROM batch_gone)"
        execute_for(con, sql, batch_gone=gone)
    new = {key for key, row in alone.items() if row["joined_by"] != ALONE or key in written}
    replace_rows(con, "attempts", [_attempt(alone[key], prices) for key in sorted(new)], ("attempt_id",))
    if changed or new:  # a span is in the run of its call, which may be a rebuilt one
        execute_for(con, _RUNS_OF_CALLS, batch_joined=near.keys() | outer.keys())
    return gone | new


def _near(con: duckdb.DuckDBPyConnection, query: str, rows: Iterable[Row]) -> list[Row]:
    """Rows that overlap the time of ``rows``, or nearly."""
    found: dict[str, Row] = {}
    times = ((row["started_ns"], max(row["started_ns"], row["ended_ns"])) for row in rows)
    for from_ns, to_ns in stretches((start - SLACK_NS, end + SLACK_NS) for start, end in times):
        for row in _rows(con.execute(_query(query), {"from_ns": from_ns, "to_ns": to_ns})):
            found[row.get("span_key") or row["attempt_id"]] = row
    return list(found.values())


def stretches(times: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches of time that ``times`` cover together, at most :data:`MAX_STRETCHES`: the widest gaps stay.

    A batch may hold what a process left behind long ago, and nothing of the time in between.
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted(times):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    gaps = sorted(range(1, len(merged)), key=lambda n: merged[n][0] - merged[n - 1][1], reverse=True)
    cuts = [0, *sorted(gaps[: MAX_STRETCHES - 1]), len(merged)]
    return [(merged[a][0], merged[b - 1][1]) for a, b in pairwise(cuts) if a < b]


def _rows(result: duckdb.DuckDBPyConnection) -> list[Row]:
    found = result.fetchall()
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, values, strict=True)) for values in found]


def _told(row: Mapping[str, Any]) -> Told:
    return Told(**{name: row[name] for name in _TOLD})


def _outer(con: duckdb.DuckDBPyConnection, found: Mapping[str, Inside | None]) -> dict[str, Row]:
    """Spans farther off that stand around these: their call is what these say."""
    outer: dict[str, Row] = {}
    keys = set(found)
    while keys:
        sql = "SELECT * FROM gen_ai_spans WHERE joined_to IN (SELECT joined_to FROM batch_inner)"
        rows = {row["span_key"]: row for row in _rows(execute_for(con, sql, batch_inner=keys))}
        keys = rows.keys() - found.keys() - outer.keys()
        outer |= {key: rows[key] for key in keys}
    return outer


def _calls(
    found: Mapping[str, Inside | None], outer: Mapping[str, Row], around: Mapping[str, Row]
) -> dict[str, str | None]:
    """The call of each span: what is innermost says it."""
    calls: dict[str, str | None] = {}
    for key in [*found, *outer]:
        at, inside = key, found.get(key)
        while at in outer or (inside is not None and inside.call_id is None):
            at = outer[at]["joined_to"] if inside is None else inside.key
            inside = found.get(at)
        if inside is not None:
            calls[key] = inside.call_id
        else:
            calls[key] = at if at in found else around[at]["call_id"]
    return calls


def _changed(
    rows: Mapping[str, Row],
    found: Mapping[str, Inside | None],
    calls: Mapping[str, str | None],
) -> list[Row]:
    """The spans whose joins are others now."""
    changed = []
    for key, call_id in calls.items():
        row = rows[key]
        if key in found:
            inside = found[key]
            joined = (inside.rule, inside.key) if inside is not None else (ALONE, None)
        else:
            joined = (row["joined_by"], row["joined_to"])
        if (row["call_id"], row["joined_by"], row["joined_to"]) != (call_id, *joined):
            changed.append(row | {"call_id": call_id, "joined_by": joined[0], "joined_to": joined[1]})
    return changed


def _attempt(span: Row, prices: PriceList) -> Row:
    """The attempt that stands for a call which only this span tells of."""
    row = attempt_row(
        Attempt(
            attempt_id=span["span_key"],
            call_id=span["span_key"],
            run_id=span["home"],
            process_id=span["process_id"],
            number=1,
            ts_ns=span["started_ns"],
            duration_ns=span["ended_ns"] - span["started_ns"],
            api=ONLY_SPANS,
            method="",
            host=span["host"] or "",
            path="",
            site_id=span["site_id"] or "unknown",
            end="error" if span["status"] == "error" else "complete",
            stream=span["stream"],
            http_status=span["http_status"],
            error_type=span["error_type"],
            error_message=span["error_message"],
            ttft_ns=span["ttft_ns"],
            request_id=span["request_id"],
            model=span["model"],
            trace_id=span["trace_id"],
            span_id=span["span_id"],
        )
    )
    row |= {name: span[name] for name in _KEPT}
    row |= {"parsed": True, "usage_source": "unknown" if span["input_tokens"] is None else "reported"}
    if span["operation"] == "embeddings" and row["output_tokens"] is None:
        row["output_tokens"] = 0
    row["provider"] = _PRICED_AS.get(span["provider"], span["provider"])
    finish_attempt(row, prices)
    return row


@cache
def _query(name: str) -> str:
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
