"""Findings with every place they hit, and the blame of every failed run: what ``trimtab findings --json`` prints.

In: the store. Out: one mapping of plain values (docs/findings.md documents each key). A module of its own because a
:class:`.findings.Finding` lists ids by kind, which is what the store keeps, and a reader wants places: this run, this
step of it, this agent, this line. Numbers are those of the findings; nothing is computed here but where things stand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import polars as pl

from trimtab_tracer import __version__
from trimtab_tracer.prices import PriceList

from . import load
from .ask import ask
from .blame import Blamed, blame
from .case import Case
from .failures import RULES
from .findings import Finding, Quote, analyze
from .load import Connection

FORMAT: Final = 1
"""Version of the form; keys are only ever added to it."""

_CALLS: Final = {
    "call_id": pl.String,
    "run_id": pl.String,
    "step": pl.Int64,
    "agent": pl.String,
    "spans": pl.List(pl.String),
}
_TOOLS: Final = {"tool_id": pl.String, "run_id": pl.String, "call_id": pl.String, "name": pl.String}
_RUNS: Final = {
    "run_id": pl.String,
    "service": pl.String,
    "name": pl.String,
    "task": pl.String,
    "harness": pl.String,
}
_RULES: Final = {rule.id: rule for rule in RULES}

Json = dict[str, Any]


def pins(
    con: Connection,
    run_id: str | None = None,
    *,
    case: Case | None = None,
    found: Sequence[Finding] | None = None,
    prices: PriceList | None = None,
) -> Json:
    """The findings over all runs of a store, or over one, and the blame of those that failed.

    Args:
        con: A connection or cursor onto the store; nothing is written.
        run_id: The only run to look at.
        case: The case of all runs, where it is loaded already; ``con`` is inside its snapshot.
        found: What the analysis of all runs says, where it was made already.
        prices: For the ledger of what is not (:func:`~.cost.ledger`).

    Raises:
        StoreError: the store is of another version.
        LookupError: there is no run ``run_id``.
    """
    ids = None if run_id is None else [run_id]
    with load.snapshot(con):
        outcomes = {row["run_id"]: row for row in load.outcomes(con, ids).iter_rows(named=True)}
        if run_id is not None and not outcomes:
            raise LookupError(f"no run {run_id!r} in the store")
        whole = case or Case.load(con, prices=prices)
        if ids is not None:
            found = analyze(con, ids, case=whole)
        elif found is None:
            found = analyze(con, case=whole)
        gone = _gone(con, whole, {f.finding_id for f in found}) if ids is None else []
        blamed = blame(con, ids, case=whole)
        places = _Places(con, outcomes, whole, [*found, *gone], blamed)
    return {
        "format": FORMAT,
        "version": __version__,
        "generated_ns": time.time_ns(),
        "run": run_id,
        "files": {},
        "totals": _totals(outcomes, whole, ids),
        "findings": [places.finding(finding, rank) for rank, finding in enumerate([*found, *gone], 1)],
        "failed_runs": places.failed_runs(blamed),
    }


def _totals(outcomes: dict[str, Any], case: Case, ids: Sequence[str] | None) -> Json:
    attempts = case.attempts if ids is None else case.attempts.filter(pl.col("run_id").is_in(list(ids)))
    cost = int(attempts["cost_musd"].sum())
    failed = [row for row in outcomes.values() if row["failed"]]
    return {
        "runs": len(outcomes),
        "failed_runs": len(failed),
        "inferred_failed_runs": sum(row["rule"] is not None and row["status"] != "error" for row in failed),
        "calls": attempts["call_id"].n_unique(),
        "cost_musd": cost,
        "cost_usd": cost / 1e6,
    }


def _gone(con: Connection, case: Case, known: set[str]) -> list[Finding]:
    """Findings of earlier analyses that nothing shows any more: resolved, as they were last."""
    rows = [row for row in load.findings_stored(con).iter_rows(named=True) if row["finding_id"] not in known]
    rows.sort(key=lambda row: (-row["last_seen_ns"], row["finding_id"]))
    made = []
    for row in rows:
        kept = {name: row[name] for name in row if name not in ("status", "updated_ns", "evidence")}
        evidence = json.loads(row["evidence"])
        made.append(Finding(**kept, site=_quote(case, row["site_id"]), evidence=evidence, is_current=False))
    return made


def _quote(case: Case, site_id: str | None) -> Quote | None:
    site = case.sites.get(site_id or "")
    return Quote(**{k: site[k] for k in ("site_id", "file", "function", "line", "source")}) if site else None


class _Places:
    """Looks up where the ids that findings name stand."""

    def __init__(
        self,
        con: Connection,
        outcomes: dict[str, Any],
        case: Case,
        findings: Sequence[Finding],
        blamed: Sequence[Blamed],
    ) -> None:
        self._outcomes = outcomes
        self._case = case
        tool_ids = [tool_id for f in findings for tool_id in f.evidence["tools"]]
        found = ask(con, "tools_named", _TOOLS, tool_ids=list(dict.fromkeys(tool_ids)))
        self._tools = {row["tool_id"]: row for row in found.iter_rows(named=True)}
        of_tools = [row["call_id"] for row in self._tools.values() if row["call_id"] is not None]
        self._calls = _calls(con, [*(call for f in findings for call in f.evidence["calls"]), *of_tools])
        ids = {one.run_id for one in blamed} | {run for f in findings for run in f.evidence["runs"]}
        named = ask(con, "runs_named", _RUNS, run_ids=sorted(ids))
        self._runs = {row["run_id"]: row for row in named.iter_rows(named=True)}

    def finding(self, f: Finding, rank: int) -> Json:
        """One finding."""
        occurrences = self._occurrences(f)
        run = self._telling_run(f)
        first = next((one for one in occurrences if one["run"] == run), {"step": None, "agent": None})
        rule = _RULES.get(f.rule)
        return {
            "rank": rank,
            "finding_id": f.finding_id,
            "mode": f.rule,
            "mode_name": rule.taxonomy if rule else None,
            "question": rule.question if rule else None,
            "status": "open" if f.is_current else "resolved",
            "title": f.title,
            "advice": f.advice,
            "subject": f.subject,
            "run": run,
            "step": first["step"],
            "agent": first["agent"],
            "knob": f.knob,
            "value": json.loads(f.value),
            "value_source": f.evidence["numbers"].get("source"),
            "site": self._site(f.site_id),
            "amounts": _amounts(f),
            "runs": f.evidence["runs"],
            "ended_runs": f.evidence["ended_runs"],
            "agents": list(dict.fromkeys(one["agent"] for one in occurrences if one["agent"] is not None)),
            "calls": f.evidence["calls"],
            "attempts": f.evidence["attempts"],
            "tools": f.evidence["tools"],
            "spans": [key for one in occurrences for key in one["spans"]],
            "occurrences": occurrences,
            "numbers": f.evidence["numbers"],
            "first_seen_ns": f.first_seen_ns,
            "last_seen_ns": f.last_seen_ns,
        }

    def failed_runs(self, blamed: Sequence[Blamed]) -> list[Json]:
        """Each failed run with its blame, in the order of the analysis."""
        of_run: dict[str, list[Blamed]] = {}
        for one in blamed:
            of_run.setdefault(one.run_id, []).append(one)
        return [self._failed_run(run_id, entries) for run_id, entries in of_run.items()]

    def _failed_run(self, run_id: str, entries: Sequence[Blamed]) -> Json:
        run, outcome = self._runs[run_id], self._outcomes[run_id]
        named = {name: run[name] for name in ("service", "name", "task", "harness")}
        why = {name: outcome[name] for name in ("source", "rule", "confidence", "score")}
        return {"run": run_id, **named, "outcome": why, "blame": [self._blamed(one) for one in entries]}

    def _blamed(self, one: Blamed) -> Json:
        return {
            "rank": one.rank,
            "share": one.share,
            "step": one.step,
            "agent": one.agent or self._runs[one.run_id]["service"],
            "call": one.call_id,
            "tools": list(one.tool_ids),
            "spans": list(one.span_ids),
            "modes": list(one.modes),
            "knob": one.knob,
            "value": json.loads(one.value) if one.value is not None else None,
            "site": self._site(one.site_id),
            "evidence": one.evidence,
        }

    def _occurrences(self, f: Finding) -> list[Json]:
        """Where it hit: one entry per call, with its tool calls; one per tool or run where no call is known."""
        tools: dict[str | None, list[Json]] = {}
        for tool_id in f.evidence["tools"]:
            if (row := self._tools.get(tool_id)) is not None:
                tools.setdefault(row["call_id"], []).append(row)
        ids = dict.fromkeys([*f.evidence["calls"], *(call for call in tools if call is not None)])
        placed = [
            self._at(call, [row["tool_id"] for row in tools.get(call, ())]) for call in ids if call in self._calls
        ]
        placed += [self._nowhere(row["run_id"], [row["tool_id"]]) for row in tools.get(None, ())]
        seen = {one["run"] for one in placed}
        placed += [self._nowhere(run_id, []) for run_id in f.evidence["runs"] if run_id not in seen]
        order = {run_id: i for i, run_id in enumerate(f.evidence["runs"])}
        return sorted(
            placed, key=lambda one: (order.get(one["run"], len(order)), one["step"] is None, one["step"] or 0)
        )

    def _at(self, call_id: str, tool_ids: list[str]) -> Json:
        call = self._calls[call_id]
        place = {"run": call["run_id"], "step": call["step"], "agent": call["agent"], "call": call_id}
        return place | {"tools": tool_ids, "spans": call["spans"], "failed": self._failed(call["run_id"])}

    def _nowhere(self, run_id: str, tool_ids: list[str]) -> Json:
        service = self._runs[run_id]["service"] if run_id in self._runs else None
        place = {"run": run_id, "step": None, "agent": service, "call": None}
        return place | {"tools": tool_ids, "spans": [], "failed": self._failed(run_id)}

    def _telling_run(self, f: Finding) -> str | None:
        """The run to look at first: one that it ended, else one that failed, else any."""
        runs: list[str] = f.evidence["runs"]
        failed = (run_id for run_id in runs if self._failed(run_id))
        return next(iter(f.evidence["ended_runs"]), None) or next(failed, None) or next(iter(runs), None)

    def _failed(self, run_id: str) -> bool:
        return bool(run_id in self._outcomes and self._outcomes[run_id]["failed"])

    def _site(self, site_id: str | None) -> Json | None:
        site = self._case.sites.get(site_id or "")
        return {k: site[k] for k in ("site_id", "file", "function", "line", "source")} if site else None


def _calls(con: Connection, call_ids: Iterable[str]) -> dict[str, Json]:
    con.register(
        "named_calls", pl.DataFrame({"call_id": list(dict.fromkeys(call_ids))}, {"call_id": pl.String}).to_arrow()
    )
    try:
        return {row["call_id"]: row for row in ask(con, "calls_named", _CALLS).iter_rows(named=True)}
    finally:
        con.unregister("named_calls")


def _amounts(f: Finding) -> Json:
    return {
        "runs": f.runs,
        "failed_runs": f.failed_runs,
        "ended_runs": len(f.evidence["ended_runs"]),
        "calls": f.calls,
        "cost_musd": f.cost_musd,
        "cost_usd": f.cost_musd / 1e6,
        "wasted_musd": f.wasted_musd,
        "wasted_usd": f.wasted_musd / 1e6,
    }


def select(document: Json, status: str, since_ns: int | None) -> Json:
    """The document with only the findings of this status (``all`` keeps all), seen at ``since_ns`` or later.

    Ranks stay what they are among all findings.
    """
    kept = [
        one
        for one in document["findings"]
        if status in ("all", one["status"]) and (since_ns is None or one["last_seen_ns"] >= since_ns)
    ]
    return document | {"findings": kept}
