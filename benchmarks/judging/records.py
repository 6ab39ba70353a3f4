"""What the tracer says an agent did: the rows of the store after the agent's spool was collected.

In: a home. Out: :class:`Records`, plain rows. Apart from the judgement, so that a test can judge rows that no tracer
would write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab_tracer.collect import Collector
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

Row = dict[str, Any]

QUERIES = {
    "attempts": "SELECT attempt_id, call_id, request_id, body_digest, started_ns, usage_source, input_tokens,"
    " cache_read_tokens, output_tokens FROM attempts ORDER BY started_ns",
    "calls": "SELECT call_id, api, model, file, line, end_line, owner FROM calls JOIN sites USING (site_id)"
    " ORDER BY started_ns",
    "tool_calls": "SELECT tool_id, call_id, provider_id, name, origin FROM tool_calls",
    "losses": "SELECT lost_kind, reason, count FROM losses",
}


@dataclass(slots=True)
class Records:
    """Rows by table; columns as in :data:`QUERIES`."""

    attempts: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)
    tool_calls: list[Row] = field(default_factory=list)
    losses: list[Row] = field(default_factory=list)


def collect(home: Path) -> Records:
    """Everything that processes spooled into ``home``."""
    settings = Settings.resolve(home=home)
    store = Store.open(settings.store_path)
    try:
        Collector(store, settings).collect_once()
        return Records(**{table: _rows(store, sql) for table, sql in QUERIES.items()})
    finally:
        store.close()


def _rows(store: Store, sql: str) -> list[Row]:
    result = store.cursor().execute(sql)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
