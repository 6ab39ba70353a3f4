"""One run, and one call of it, in words and rows.

In: a run as ``/v1/runs/{id}``, a call as ``/v1/calls/{id}`` gives it. Out: rows of attempts, decisions and outcomes,
and the kept texts as a conversation where they are one. A body of an unknown form is shown as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from trimtab_analyzer.inferred import SAYS

from . import conversation, runs, words

BLAMED = 6
"""Steps of a failed run that are named."""


def figures(run: Any) -> list[tuple[str, str]]:
    """Names and values for the top of the page."""
    tokens = (
        "not known" if run["input_tokens"] is None else f"{run['input_tokens']:,} in, {run['output_tokens'] or 0:,} out"
    )
    return [
        ("Result", str(runs.result(run))),
        ("Cost", runs.cost(run)),
        ("Took", words.duration(runs.took_ns(run))),
        ("Calls", f"{run['calls']:,} ({words.count(run['attempts'], 'request')})"),
        ("Tokens", tokens),
    ]


def facts(detail: Any) -> list[str]:
    """Sentences on where the run comes from and how it ended."""
    run = detail["run"]
    started = f"Started {words.when(run['started_ns'])} UTC by {run['service']}"
    said = [started + (f", harness {run['harness']}" if run["harness"] else "")]
    if run["origin"] == "rebuilt":
        said.append("nobody declared it: put together from what its calls have in common")
    if run["is_split"]:
        said.append("its process led several conversations, and their calls are in runs of their own")
    conversations = len({call["conversation_id"] for call in detail["calls"] if call["conversation_id"]})
    if conversations > 1:
        said.append(f"{conversations} conversations: agents of their own are told apart")
    if run["end_rule"]:
        said.append(f"ended by {run['end_rule']}")
    if run["outcome_rule"]:
        why = SAYS.get(run["outcome_rule"], run["outcome_rule"])
        said.append(f"outcome (inferred, confidence {run['outcome_confidence']:g}): failure, {why}")
    said += [_undone(saga) for saga in detail["sagas"]]
    for outcome in detail["outcomes"]:
        score = f", score {outcome['score']:g}" if outcome["score"] is not None else ""
        verdict = {True: "success", False: "failure", None: "no verdict"}[outcome["success"]]
        comment = f": {outcome['comment']}" if outcome["comment"] else ""
        by = f" {outcome['evaluator']}" if outcome["evaluator"] else ""
        said.append(f"outcome ({outcome['source']}{by}): {verdict}{score}{comment}")
    return said


def _undone(saga: Any) -> str:
    what = {"compensated": "all of them", "partly": "some of them", "failed": "none of them"}
    if saga["outcome"] not in what:
        return "it failed, and had no side effects to undo"
    return (
        f"it failed, and its side effects were undone: {what[saga['outcome']]} ({words.count(saga['steps'], 'step')})"
    )


def site(detail: Any, site_id: str | None) -> Any | None:
    """The place with this id, of those that the run names."""
    return next((s for s in detail["sites"] if s["site_id"] == site_id), None)


def truncated(detail: Any) -> str:
    """That a run is larger than what the API gives at once."""
    return f"Only the first 5,000 {words.listing([t.replace('_', ' ') for t in detail['truncated']])} are shown."


def blame(items: Sequence[Any], detail: Any, sites: Sequence[Any]) -> list[dict[str, Any]]:
    """Where a failed run may have been lost: one row per step, the first ones; their shares are of the whole run."""
    numbers = {call["call_id"]: n for n, call in enumerate(detail["calls"], 1)}
    places = {site["site_id"]: site for site in sites}
    rows = [
        {
            "Share of the blame": f"{100 * item['share']:.1f} %",
            "Call": str(numbers.get(item["call_id"], "–")),
            "Agent": item["agent"] or "",
            "Shows": "; ".join(_signs(item)) or "nothing of its own",
            "Setting": "" if item["knob"] is None else f"{item['knob']} = {words.value(item['value'])}",
            "Where": words.place(places.get(item["site_id"])),
        }
        for item in items[:BLAMED]
    ]
    if not any(row["Agent"] for row in rows):
        for row in rows:
            del row["Agent"]
    return rows


def blame_note(items: Sequence[Any]) -> str:
    """How to read the shares, and how many steps are not shown."""
    left = max(0, len(items) - BLAMED) + (items[0]["evidence"].get("left_out", 0) if items else 0)
    more = f" {words.count(left, 'step')} with less are not shown." if left > 0 else ""
    return (
        "Shares rank the steps, they do not promise: read them as a set, and each as give or take one step. Judged by"
        f" what this run alone shows.{more}"
    )


def _signs(item: Any) -> list[str]:
    """What a step shows, in words where there are some, else by name."""
    said = [sign.get("says") or sign["mode"].replace("_", " ") for sign in item["evidence"].get("signals", ())]
    return list(dict.fromkeys(said or [mode.replace("_", " ") for mode in item["modes"]]))[:4]


def call_names(detail: Any) -> dict[str, str]:
    """A name per call id: its number, model, result and time."""
    return {call["call_id"]: f"{i}  {call_title(call)}" for i, call in enumerate(detail["calls"], start=1)}


def call_title(call: Any) -> str:
    """``gpt-5: answered after 2 attempts, 1.4 s, $0.0013``."""
    result = {"ok": "answered", "error": "failed", "abandoned": "left before its end"}.get(
        call["status"], call["status"]
    )
    if call["finish_reason"] == "length":
        result = "answer cut by the token limit"
    if call["rejected_by_call_id"]:
        result += ", turned down by the agent"
    tries = f" after {call['attempts']} attempts" if call["attempts"] > 1 else ""
    why = f" ({call['error_class'].replace('_', ' ')})" if call["error_class"] else ""
    took = words.duration(call["ended_ns"] - call["started_ns"])
    cost = "cost not known" if call["cost_musd"] is None else words.usd_fine(call["cost_musd"])
    return f"{call['model'] or call['api']}: {result}{why}{tries}, {took}, {cost}"


class InForce(NamedTuple):
    """A setting that held for calls of a run, once per value and source."""

    knob: str
    value: Any
    source: str
    propensity: float
    policy_version: int | None
    site_id: str


def decisions(rows: Iterable[Any], sites: Sequence[Any]) -> list[dict[str, Any]]:
    """What was in force, one row per knob, value, source and place, the steered ones first.

    ``rows`` are decisions, or settings, which say for how many calls they held (``times``).
    """
    places = {site["site_id"]: site for site in sites}
    calls: dict[str, tuple[InForce, int]] = {}
    for row in rows:
        one = InForce(
            row["knob"], row["value"], row["source"], row["propensity"], row["policy_version"], row["site_id"]
        )
        key = json.dumps(one)
        calls[key] = (one, calls.get(key, (one, 0))[1] + row.get("times", 1))
    steered = ("human", "experiment")
    ordered = sorted(calls.values(), key=lambda c: (c[0].source not in steered, c[0].knob, -c[1]))
    return [
        {
            "Setting": one.knob,
            "Value": words.kept(words.value(one.value), 200),
            "Set by": {
                "human": "a person, through trimtab",
                "experiment": "an experiment",
                "default": "nobody: the default",
                "code": "the code",
            }.get(one.source, one.source),
            "Propensity": f"{one.propensity:.3g}" if one.propensity < 1 else "1 (not drawn)",
            "Policy": "" if one.policy_version is None else f"version {one.policy_version}",
            "Times": n,
            "Where": words.place(places.get(one.site_id)),
        }
        for one, n in ordered
    ]


def attempts(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """A call's attempts."""
    return [
        {
            "Attempt": row["number"],
            "Result": {"complete": "✓ answered", "error": "✕ failed", "abandoned": "⊘ left"}.get(
                row["end"], row["end"]
            ),
            "Status": "" if row["http_status"] is None else str(row["http_status"]),
            "Error": (row["error_class"] or "").replace("_", " "),
            "Took": words.duration(row["ended_ns"] - row["started_ns"]),
            "First token": words.duration(row["ttft_ns"]) if row["stream"] else "",
            "Retry-After": "" if row["retry_after_s"] is None else words.seconds(row["retry_after_s"]),
            "Time limit": "" if row["timeout_s"] is None else words.seconds(row["timeout_s"]),
            "Model": row["response_model"] or row["model"] or "",
            "Finish": row["finish_reason"] or "",
            "Tokens in": _tokens(row, "input_tokens"),
            "Tokens out": _tokens(row, "output_tokens"),
            "Cost": words.usd_fine(row["cost_musd"]),
        }
        for row in rows
    ]


def _tokens(row: Any, name: str) -> str:
    """A count of tokens; one that nobody reported says that it is about so many."""
    if row[name] is None:
        return "not known"
    return f"{'about ' if row['usage_source'] == 'estimated' else ''}{row[name]:,}"


def errors(rows: Iterable[Any]) -> list[tuple[str, str]]:
    """Title and text for each attempt that says why it failed."""
    found = []
    for row in rows:
        said = [row["error_type"], row["error_message"]]
        if row["provider_error_message"] and row["provider_error_message"] not in (row["error_message"] or ""):
            kind = row["provider_error_type"] or row["provider_error_code"] or ""
            said.append(f"provider: {kind} {row['provider_error_message']}".strip())
        text = "\n".join(part for part in said if part)
        if row["end"] != "complete" and text:
            found.append((f"Attempt {row['number']}", words.kept(text, conversation.TEXT_LIMIT)))
    return found


def tools(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Tool calls that a call asked for."""
    return [
        {
            "Tool": row["name"],
            "Result": {"ok": "✓ ok", "error": "✕ failed"}.get(row["status"], "○ not known"),
            "Took": _tool_time(row),
            "Seen": row["origin"],
            "Arguments": "" if row["args_valid"] is not False else f"no JSON: {row['args_error'] or ''}".strip(" :"),
            "Error": " ".join(part for part in (row["error_type"], row["error_message"]) if part),
        }
        for row in rows
    ]


def _tool_time(row: Any) -> str:
    if row["started_ns"] is None or row["ended_ns"] is None:
        return "not known"
    return f"{'at most ' if row['is_upper_bound'] else ''}{words.duration(row['ended_ns'] - row['started_ns'])}"
