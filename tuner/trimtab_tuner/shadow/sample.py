"""Which recorded calls are asked again.

In: a client of the sidecar or the home, a line, how many. Out: :class:`Recorded` calls with request and answer as JSON.
A module of its own because everything that can't be asked again is left out here, counted by its reason.
"""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trimtab_tracer.wire.facts import ResponseFacts
from trimtab_tracer.wire.formats import by_api

if TYPE_CHECKING:
    from ..client import Client

APIS: Final = ("openai.chat", "openai.responses", "anthropic.messages")
"""Formats that can be asked again: their model stands in the body."""
RUNS_AT_ONCE: Final = 50
"""Runs whose texts are fetched at once."""
KEPT_THERE: Final = ("previous_response_id", "conversation", "container")
"""In a request: what it goes on with lies at the provider, and belongs to the model that wrote it."""

Json = dict[str, Any]


class Recorded(NamedTuple):
    """One call that was answered, and can be asked again."""

    call_id: str
    site_id: str
    api: str
    host: str
    path: str
    model: str
    request: Json
    answer: ResponseFacts
    input_tokens: int
    output_tokens: int
    cost_musd: int | None
    latency_s: float


def sample(
    client: Client, site: str | None, model: str | None, n: int, seed: int
) -> tuple[list[Recorded], Counter[str]]:
    """At most ``n`` calls, drawn at random, and why others were left out, by how many of them were looked at.

    Args:
        client: Of the sidecar or the home.
        site: Id of the line that made the calls; None for all.
        model: That they asked for; None for any.
        n: How many.
        seed: Of the draw: the same one gives the same calls.
    """
    calls = [row for row in _rows(client, "calls") if _is_wanted(row, site, model)]
    calls.sort(key=lambda row: row["call_id"])
    random.Random(seed).shuffle(calls)
    found: list[Recorded] = []
    left_out: Counter[str] = Counter()
    for start in range(0, len(calls), RUNS_AT_ONCE):
        if len(found) >= n:
            break
        portion = calls[start : start + RUNS_AT_ONCE]
        texts, paths = _texts(client, portion)
        for call in portion:
            made = _recorded(call, texts, paths)
            if isinstance(made, Recorded):
                found.append(made)
            else:
                left_out[made] += 1
    return found[:n], left_out


def _is_wanted(row: Json, site: str | None, model: str | None) -> bool:
    return row["status"] == "ok" and site in (None, row["site_id"]) and model in (None, row["model"])


def _texts(client: Client, calls: list[Json]) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Texts by attempt and role, and the path of each call's answered attempt, as ``attempt id`` → path."""
    runs = sorted({call["run_id"] for call in calls})
    texts = {(row["call_id"], row["role"]): row["body"] for row in _rows(client, "content", runs)}
    paths = {row["call_id"]: row["path"] for row in _rows(client, "attempts", runs) if row["end"] == "complete"}
    return texts, paths


def _recorded(call: Json, texts: Mapping[tuple[str, str], str], paths: Mapping[str, str]) -> Recorded | str:
    """The call, or why it can't be asked again."""
    reader = by_api(call["api"])
    if call["api"] not in APIS or reader is None or not call["model"] or call["call_id"] not in paths:
        return f"of the format {call['api']}"
    request = _object(texts.get((call["call_id"], "request")))
    answer = _object(texts.get((call["call_id"], "response")))
    if request is None or answer is None:
        return "without kept texts"
    if any(request.get(key) for key in KEPT_THERE):
        return "part of a conversation that lies at the provider"
    return Recorded(
        call_id=call["call_id"],
        site_id=call["site_id"],
        api=call["api"],
        host=call["host"],
        path=paths[call["call_id"]],
        model=call["model"],
        request=request,
        answer=reader.response(answer),
        input_tokens=call["input_tokens"] or 0,
        output_tokens=call["output_tokens"] or 0,
        cost_musd=call["cost_musd"],
        latency_s=(call["ended_ns"] - call["started_ns"]) / 1e9,
    )


def _object(text: str | None) -> Json | None:
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _rows(client: Client, table: str, runs: list[str] | None = None) -> list[Json]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    rows: list[Json] = pq.read_table(io.BytesIO(client.table(table, run=runs))).to_pylist()
    return rows
