"""Reads of the store for the API: one thin typed function per question, each over one file in ``queries/``.

In: a cursor that belongs to the caller's thread, and filters (None for "any"). Out: rows as plain mappings with
JSON columns decoded, which :mod:`.models` check. The statements themselves are in the ``.sql`` files; only plain
"all rows of this table for this id" are spelled here. A column that is not there, a store that is gone: DuckDB's
own error leaves here, and the API answers 500 without quoting it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, get_type_hints

if TYPE_CHECKING:
    import duckdb

Row = dict[str, Any]


@cache
def statement(name: str) -> str:
    """Text of ``queries/<name>.sql``."""
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def fetch(con: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> list[Row]:
    """All rows of ``sql``, JSON columns decoded."""
    result = con.execute(sql, parameters)
    columns = [(str(name), str(kind) == "JSON") for name, kind, *_ in result.description or ()]
    return [
        {
            name: json.loads(v) if is_json and v is not None else v
            for (name, is_json), v in zip(columns, row, strict=True)
        }
        for row in result.fetchall()
    ]


class Filters(TypedDict, total=False):
    """What runs and calls are chosen by; a key left out, or None, is "any". Meanings stand in the ``.sql`` files."""

    service: str | None
    status: str | None
    since_ns: int | None
    until_ns: int | None
    site: str | None
    model: str | None


class RunFilters(Filters, total=False):
    """Filters of runs."""

    run_ids: Sequence[str] | None
    outcome: str | None
    harness: str | None
    finding: str | None
    min_cost_musd: int | None
    max_cost_musd: int | None


class CallFilters(Filters, total=False):
    """Filters of calls."""

    run_id: str | None
    call_id: str | None


def runs(
    con: duckdb.DuckDBPyConnection, *, limit: int, after: tuple[int, str] | None = None, **filters: Unpack[RunFilters]
) -> list[Row]:
    """Runs, newest first, behind the run ``after`` (start and id); columns as in ``queries/runs.sql``."""
    return _page(con, "runs", RunFilters, filters, after, limit)


def calls(
    con: duckdb.DuckDBPyConnection, *, limit: int, after: tuple[int, str] | None = None, **filters: Unpack[CallFilters]
) -> list[Row]:
    """Logical calls, newest first, behind the call ``after``; columns as in ``queries/calls.sql``."""
    return _page(con, "calls", CallFilters, filters, after, limit)


def _page(
    con: duckdb.DuckDBPyConnection,
    name: str,
    known: type,
    filters: Mapping[str, object],
    after: tuple[int, str] | None,
    limit: int,
) -> list[Row]:
    parameters = dict.fromkeys(get_type_hints(known)) | dict(filters)
    after_ns, after_id = after or (None, None)
    return fetch(con, statement(name), **parameters, after_ns=after_ns, after_id=after_id, limit=limit)


def sites(
    con: duckdb.DuckDBPyConnection, *, site: str | None, service: str | None, limit: int, offset: int
) -> list[Row]:
    """Sites, the most expensive first; columns as in ``queries/sites.sql``."""
    return fetch(con, statement("sites"), site=site, service=service, limit=limit, offset=offset)


def findings(
    con: duckdb.DuckDBPyConnection,
    *,
    status: str | None = None,
    rule: str | None = None,
    site: str | None = None,
    finding: str | None = None,
    ranked_by: str | None = None,
    ids: int = 1000,
    limit: int,
    offset: int = 0,
) -> list[Row]:
    """Findings, what lost most first; columns as in ``queries/findings.sql``. ``ids``: most ids of each kind."""
    chosen = {"status": status, "rule": rule, "site": site, "finding": finding, "ranked_by": ranked_by}
    rows = fetch(con, statement("findings"), **chosen, limit=limit, offset=offset)
    for row in rows:
        row["evidence"] = {k: v[:ids] if isinstance(v, list) else v for k, v in row["evidence"].items()}
    return rows


def losses(con: duckdb.DuckDBPyConnection, *, limit: int, offset: int) -> list[Row]:
    """Losses, the latest first; columns as in ``queries/losses.sql``."""
    return fetch(con, statement("losses"), limit=limit, offset=offset)


def knobs(
    con: duckdb.DuckDBPyConnection, *, knob: str | None, site: str | None, max_values: int, limit: int, offset: int
) -> list[Row]:
    """What the harness decides, by knob and site; columns as in ``queries/knobs.sql``."""
    bounds = {"max_values": max_values, "limit": limit, "offset": offset}
    return fetch(con, statement("knobs"), knob=knob, site=site, **bounds)


def recommendations(
    con: duckdb.DuckDBPyConnection,
    *,
    recommendation_id: str | None = None,
    status: str | None = None,
    limit: int = 1,
    offset: int = 0,
) -> list[Row]:
    """Recommendations, undecided ones first; columns as in ``queries/recommendations.sql``."""
    chosen = {"recommendation_id": recommendation_id, "status": status}
    return fetch(con, statement("recommendations"), **chosen, limit=limit, offset=offset)


def accepted_as(con: duckdb.DuckDBPyConnection, recommendation_id: str) -> int | None:
    """Version of the policy by which a recommendation was accepted last; None where it never was."""
    chosen = "action = 'accept' AND subject_kind = 'recommendation' AND subject_id = $id"
    found = fetch(con, f"SELECT max(policy_version) AS version FROM audit WHERE {chosen}", id=recommendation_id)
    version: int | None = found[0]["version"]
    return version


def experiments(
    con: duckdb.DuckDBPyConnection,
    *,
    experiment_id: str | None = None,
    status: str | None = None,
    limit: int = 1,
    offset: int = 0,
) -> list[Row]:
    """Experiments, running ones first; columns as in ``queries/experiments.sql``."""
    return fetch(con, statement("experiments"), experiment_id=experiment_id, status=status, limit=limit, offset=offset)


def campaigns(con: duckdb.DuckDBPyConnection, *, experiment_id: str | None = None) -> list[Row]:
    """Experiments whose weights are learned, running ones first; columns as in ``queries/campaigns.sql``."""
    return fetch(con, statement("campaigns"), experiment_id=experiment_id)


def policy_versions(
    con: duckdb.DuckDBPyConnection, *, version: int | None = None, limit: int = 1, offset: int = 0
) -> list[Row]:
    """Policies that were ever in force, newest first; columns as in ``queries/policy_versions.sql``."""
    return fetch(con, statement("policy_versions"), version=version, limit=limit, offset=offset)


def audit(con: duckdb.DuckDBPyConnection, *, before_id: int | None, limit: int) -> list[Row]:
    """Decisions of people and of the sidecar, newest first; columns as in ``queries/audit.sql``."""
    return fetch(con, statement("audit"), before_id=before_id, limit=limit)


def events(con: duckdb.DuckDBPyConnection, *, after_id: int, limit: int) -> list[Row]:
    """Decisions after a known one, oldest first; columns as in ``queries/events.sql``."""
    return fetch(con, statement("events"), after_id=after_id, limit=limit)


def last_freeze(con: duckdb.DuckDBPyConnection) -> Row | None:
    """Who last stopped steering or let it go on; columns as in ``queries/freeze.sql``."""
    found = fetch(con, statement("freeze"))
    return found[0] if found else None


_ORDER = {
    "attempts": "started_ns, attempt_id",
    "calls": "started_ns, call_id",
    "decisions": "decided_ns, decision_id",
    "outcomes": "recorded_ns, outcome_id",
    "saga_steps": "saga_id, number",
    "sagas": "started_ns, saga_id",
    "tool_calls": "started_ns NULLS LAST, tool_id",
}


def of_run(con: duckdb.DuckDBPyConnection, table: _Table, run_id: str, limit: int) -> list[Row]:
    """The first ``limit`` rows of a core table that belong to a run, in the order in which they happened."""
    return fetch(con, f"SELECT * FROM {table} WHERE run_id = $id ORDER BY {_ORDER[table]} LIMIT $n", id=run_id, n=limit)


def of_call(con: duckdb.DuckDBPyConnection, table: _Table, call_id: str, limit: int) -> list[Row]:
    """The first ``limit`` rows of a core table that belong to a call, in the order in which they happened."""
    return fetch(
        con, f"SELECT * FROM {table} WHERE call_id = $id ORDER BY {_ORDER[table]} LIMIT $n", id=call_id, n=limit
    )


def settings_of_run(con: duckdb.DuckDBPyConnection, run_id: str) -> list[Row]:
    """What was in force in a run, one row per knob, value, source and place; see ``queries/run_settings.sql``."""
    return fetch(con, statement("run_settings"), run_id=run_id)


def choices(con: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """Values that runs can be chosen by; see ``queries/choices.sql``."""
    (row,) = fetch(con, statement("choices"))
    return row


def agents_of_run(con: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, str]:
    """Who made each call of a run, by call, where anything says."""
    chosen = "call_id IN (SELECT call_id FROM calls WHERE run_id = $id) AND agent IS NOT NULL"
    found = fetch(con, f"SELECT call_id, agent FROM call_agents WHERE {chosen}", id=run_id)
    return {row["call_id"]: row["agent"] for row in found}


def parts_of_run(con: duckdb.DuckDBPyConnection, run_id: str, limit: int) -> list[Row]:
    """The first runs that began inside a run, or that its process was found to hold."""
    found = fetch(
        con,
        "SELECT run_id FROM runs WHERE parent_run_id = $id ORDER BY started_ns, run_id LIMIT $n",
        id=run_id,
        n=limit,
    )
    return runs(con, run_ids=[row["run_id"] for row in found], limit=limit)[::-1] if found else []


def site_ids(*tables: list[Row]) -> set[str]:
    """Every site that any of the rows names."""
    columns = ("site_id", "error_site_id")
    return {row[c] for rows in tables for row in rows for c in columns if row.get(c) is not None}


def sites_named(con: duckdb.DuckDBPyConnection, site_ids: set[str]) -> list[Row]:
    """The sites with these ids, without their costs."""
    return fetch(
        con, "SELECT * FROM sites WHERE site_id IN (SELECT unnest($ids)) ORDER BY site_id", ids=sorted(site_ids)
    )


_Table = Literal["attempts", "calls", "decisions", "outcomes", "saga_steps", "sagas", "tool_calls"]
