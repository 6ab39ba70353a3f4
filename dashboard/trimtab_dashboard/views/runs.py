"""Runs as a table and as points in time.

In: runs as ``/v1/runs`` lists them. Out: rows of a table, the specification of a chart, filters for the API. The result
of a run is said in one way everywhere: a sign, a word, a colour and a shape (:func:`result`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .. import theme
from . import words

HOUR_NS = 3600 * 10**9
MINUTE_NS = 60 * 10**9
BETWEEN = "Between two times"
"""The span whose ends are chosen."""
SPANS = {
    "Last hour": HOUR_NS,
    "Last 24 hours": 24 * HOUR_NS,
    "Last 7 days": 168 * HOUR_NS,
    "Last 30 days": 720 * HOUR_NS,
}
"""What can be chosen as time, in nanoseconds back from now."""
OUTCOMES = {"Succeeded": "success", "Failed": "failure", "Not judged": "unknown"}
"""What can be chosen as outcome, and its name in the API."""
STATUSES = {"Ended well": "ok", "Ended in an error": "error", "Still running": "running"}
"""What can be chosen as status, and its name in the API."""


class Result(NamedTuple):
    """What came of a run."""

    sign: str
    word: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.sign} {self.word}"


SUCCEEDED = Result("✓", "succeeded", theme.GOOD, "circle")
FAILED = Result("✕", "failed", theme.BAD, "cross")
INFERRED = Result("✕", "failed, inferred", theme.BAD, "triangle-up")
BROKE = Result("✕", "ended in an error", theme.BAD, "triangle-down")
RUNNING = Result("…", "still running", theme.IDLE, "diamond")
UNJUDGED = Result("○", "not judged", theme.IDLE, "square")
LOST = (FAILED, INFERRED, BROKE)
"""Results of runs that were lost."""
RESULTS = (SUCCEEDED, FAILED, INFERRED, BROKE, RUNNING, UNJUDGED)
"""All results; their words and colours are a chart's legend."""


def result(run: Any) -> Result:
    """What came of a run: its outcome where somebody said it, else how it ended, else what is inferred from its last
    call. Ending well is not success."""
    if run["success"] is not None and run["outcome_rule"] is None:
        return SUCCEEDED if run["success"] else FAILED
    if run["success"] is False and run["status"] == "ok":
        return INFERRED
    return {"error": BROKE, "running": RUNNING}.get(run["status"], UNJUDGED)


def took_ns(run: Any) -> int | None:
    """How long a run took; None while it runs."""
    return None if run["ended_ns"] is None else run["ended_ns"] - run["started_ns"]


def cost(run: Any) -> str:
    """What a run cost; ``at least`` where some of its requests are of unknown cost."""
    return words.cost_of(run["cost_musd"], run["attempts_unpriced"], run["attempts"])


def name(run: Any) -> str:
    """A run's name with the end of its id, for many runs have one name."""
    return f"{run['name']} {run['run_id'][-6:]}"


def table(runs: Sequence[Any]) -> list[dict[str, Any]]:
    """One row per run, as the table shows it; a column that says nothing in any row is left out."""
    rows = [
        {
            "Run": name(run),
            "Service": run["service"] if run["service"] != run["name"] else "",
            "Started (UTC)": words.when(run["started_ns"]),
            "Result": _with_error(run),
            "Took": words.duration(took_ns(run)),
            "Calls": run["calls"],
            "Requests": run["attempts"],
            "Tools": run["tool_calls"],
            "Tokens": (run["input_tokens"] or 0) + (run["output_tokens"] or 0),
            "Cost": cost(run),
            "Task": words.kept(run["task"], 120),
        }
        for run in runs
    ]
    silent = [column for column in ("Service", "Task") if not any(row[column] for row in rows)]
    return [{column: value for column, value in row.items() if column not in silent} for row in rows]


def _with_error(run: Any) -> str:
    """The result, and the name of the exception that ended the run."""
    error = (run["error_type"] or "").rpartition(".")[2]
    return f"{result(run)}: {error}" if error else str(result(run))


class Chosen(NamedTuple):
    """What was chosen on the page of runs; None is any."""

    service: str | None = None
    status: str | None = None
    outcome: str | None = None
    span: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Of the span :data:`BETWEEN`, in UTC."""
    model: str | None = None
    site: str | None = None
    finding: str | None = None
    min_cost_usd: float | None = None
    max_cost_usd: float | None = None
    text: str | None = None
    harness: str | None = None
    """Version of the harness."""


def filters(chosen: Chosen, now_ns: int) -> dict[str, Any]:
    """The API's filters; None is any."""
    back_ns = SPANS.get(chosen.span or "")
    # to the full minute: a filter that changes with every drawing would never be answered from the cache
    since_ns = None if back_ns is None else (now_ns - back_ns) // MINUTE_NS * MINUTE_NS
    is_between = chosen.span == BETWEEN
    return {
        "service": chosen.service or None,
        "status": STATUSES.get(chosen.status or ""),
        "outcome": OUTCOMES.get(chosen.outcome or ""),
        "since_ns": _ns(chosen.since) if is_between else since_ns,
        "until_ns": _ns(chosen.until) if is_between else None,
        "model": chosen.model or None,
        "site": chosen.site or None,
        "finding": chosen.finding or None,
        "min_cost_musd": _musd(chosen.min_cost_usd),
        "max_cost_musd": _musd(chosen.max_cost_usd),
        "text": (chosen.text or "").strip() or None,
        "harness": chosen.harness or None,
    }


def _ns(at: datetime | None) -> int | None:
    return None if at is None else int(at.replace(tzinfo=UTC).timestamp()) * 10**9


def _musd(usd: float | None) -> int | None:
    return None if usd is None else round(usd * 1e6)


def places(sites: Sequence[Any]) -> dict[str, str]:
    """Ids of places by what they are called; two of one name are told apart by their ids."""
    named: dict[str, str] = {}
    for site in sites:
        name = words.visible(words.place(site))
        named[f"{name} ({site['site_id'][:8]})" if name in named else name] = site["site_id"]
    return named


def searched(page: Any) -> str:
    """How far a search for a text has looked."""
    if page["searched"] is None:
        return ""
    said = f"Looked through names, tasks, errors and kept texts of {words.count(page['searched'], 'run')}"
    return f"{said}; older ones come with the next page." if page["next"] else f"{said}; there are no older ones."


def timeline(runs: Sequence[Any]) -> dict[str, Any]:
    """Vega-Lite: each run as a point, when it began and what it cost."""
    values = [
        {
            "run": run["run_id"],
            "name": name(run),
            "at": run["started_ns"] / 1e6,
            "cost": run["cost_musd"] / 1e6,
            "result": result(run).word,
            "shown_cost": cost(run),
            "took": words.duration(took_ns(run)),
        }
        for run in runs
    ]
    here = [r for r in RESULTS if any(v["result"] == r.word for v in values)]
    return {
        "data": {"values": values},
        "height": 220,
        "config": theme.QUIET_MARKS,
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9},
        "params": [{"name": "pick", "select": {"type": "point", "fields": ["run"]}}],
        "encoding": {
            "x": {
                "field": "at",
                "type": "temporal",
                "scale": {"type": "utc", "padding": 16},
                "title": "started (UTC)",
                "axis": {"format": _time_format(runs), "labelOverlap": True, "tickCount": 6},
            },
            "y": {"field": "cost", "type": "quantitative", "title": "known cost (USD)", "axis": {"tickCount": 4}},
            "color": {
                "field": "result",
                "title": None,
                "scale": {"domain": [r.word for r in here], "range": [r.colour for r in here]},
                "legend": {"orient": "top"},
            },
            "shape": {
                "field": "result",
                "title": None,
                "scale": {"domain": [r.word for r in here], "range": [r.shape for r in here]},
            },
            "opacity": {"condition": {"param": "pick", "value": 0.9}, "value": 0.35},
            "tooltip": [
                {"field": "name", "title": "run"},
                {"field": "result"},
                {"field": "shown_cost", "title": "cost"},
                {"field": "took"},
            ],
        },
    }


def _time_format(runs: Sequence[Any]) -> str:
    """How fine the times of an axis have to be."""
    starts = [run["started_ns"] for run in runs]
    span_ns = max(starts, default=0) - min(starts, default=0)
    return "%H:%M:%S" if span_ns < HOUR_NS else "%H:%M" if span_ns < 24 * HOUR_NS else "%d %b %H:%M"
