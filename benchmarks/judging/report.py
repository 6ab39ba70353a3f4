"""Shows verdicts: a line each, a table in a document, CSV and JSON.

In: verdicts. Out: text and files. The table of a document stands between two markers, and nothing else of it changes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from .judge import Verdict

BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"

HEADS = (
    "agent", "packages", "requests", "missed", "doubled", "tool calls by id", "without id", "executions seen running",
    "tokens wrong", "site right", "same result",
)  # fmt: skip


def line(verdict: Verdict) -> str:
    """One line for people who watch."""
    outcome = "ok" if verdict.ok else "; ".join(verdict.problems)
    return f"{verdict.agent}@{verdict.environment}: {verdict.calls} calls, {verdict.tool_calls} tool calls: {outcome}"


def write(verdicts: Sequence[Verdict], csv_path: Path | None, json_path: Path | None, document: Path | None) -> None:
    """Write the verdicts wherever they are wanted.

    Raises:
        SystemExit: The document lost its markers.
    """
    rows = [verdict.as_dict() for verdict in verdicts]
    if json_path:
        json_path.write_text(json.dumps(rows, indent=2) + "\n")
    if csv_path:
        with csv_path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(
                row
                | {
                    "packages": _packages(v, " "),
                    "sites_wrong": " ".join(v.sites_wrong),
                    "problems": "; ".join(v.problems),
                }
                for row, v in zip(rows, verdicts, strict=True)
            )
    if document:
        before, begin, rest = document.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f"{document} lost a marker: {BEGIN} or {END}.")
        document.write_text(f"{before}{BEGIN}\n{table(verdicts)}\n{END}{after}")


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as Markdown, and their sums."""
    rows = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    rows += ["| " + " | ".join(_cells(verdict)) + " |" for verdict in verdicts]
    return "\n".join([*rows, "", _sums(verdicts)])


def _cells(v: Verdict) -> list[str]:
    judged = v.sites_right + len(v.sites_wrong)
    sites = f"{v.sites_right}/{judged}{' (one line)' if v.constant_site else ''}"
    nameless = f"{v.tool_calls_without_id - v.tool_calls_without_id_missed}/{v.tool_calls_without_id}"
    return [
        f"{v.agent} ({v.environment})",
        _packages(v, ", "),
        str(v.requests),
        str(v.requests_missed),
        str(max(v.requests_doubled, v.calls_doubled)),
        f"{v.tool_calls - v.tool_calls_missed}/{v.tool_calls}" if v.tool_calls else "–",
        nameless if v.tool_calls_without_id else "–",
        f"{v.tools_observed}/{v.tools_ran}" if v.tools_ran is not None else str(v.tools_observed),
        f"{v.tokens_wrong}/{v.tokens_sent}",
        sites,
        "yes" if v.same_result else "no",
    ]


def _packages(verdict: Verdict, between: str) -> str:
    return between.join(f"{name} {version}" for name, version in verdict.packages.items())


def _sums(verdicts: Sequence[Verdict]) -> str:
    free = [v for v in verdicts if not v.constant_site]
    fixed = [v for v in verdicts if v.constant_site]

    def sites(some: Sequence[Verdict]) -> str:
        right = sum(v.sites_right for v in some)
        judged = right + sum(len(v.sites_wrong) for v in some)
        return f"{right} of {judged}"

    return (
        f"{len(verdicts)} runs, {sum(v.requests for v in verdicts)} requests: "
        f"{sum(v.requests_missed for v in verdicts)} missed, "
        f"{sum(max(v.requests_doubled, v.calls_doubled) for v in verdicts)} doubled; "
        f"{sum(v.tool_calls for v in verdicts)} tool calls with an id: "
        f"{sum(v.tool_calls_missed for v in verdicts)} missed, "
        f"{sum(v.tool_calls_doubled for v in verdicts)} doubled; "
        f"calls on the right line: {sites(free)}, and {sites(fixed)} where the framework leaves an agent one line."
    )
