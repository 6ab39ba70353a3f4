"""Shows the verdicts: a line each, figures by split, family and agent, CSV, JSON, and the tables of the document.

In: verdicts. Out: text and files. What each key means is in docs/fault-injection.md.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trimtab_analyzer.findings import Finding
from trimtab_analyzer.statistics import wilson

from .verdicts import Verdict, false_findings

BEGIN, END = "<!-- fault-injection: begin -->", "<!-- fault-injection: end -->"


def line(verdict: Verdict, pins: bool) -> str:
    """One line for people who watch; without ``pins`` it says nothing of what was found."""
    head = f"{verdict.case.name} (seed {verdict.seed})"
    if verdict.problems:
        return f"{head}: INVALID, {'; '.join(verdict.problems)}"
    if not pins:
        return f"{head}: ok"
    if verdict.case.truth is None:
        return f"{head}: {len(false_findings(verdict.ran))} false findings"
    said = "nothing" if verdict.top is None else _pin(verdict.top)
    return f"{head}: {'top 1' if verdict.top_1 else f'rank {verdict.rank}, first is {said}'}"


def figures(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Everything that is counted, by the documented keys."""
    faults = [v for v in verdicts if v.case.truth is not None]
    named = [v for v in verdicts if v.case.truth is None]
    return {
        "faults": {**_pinned(faults), **_by(faults, "split", lambda v: v.case.split or "")},
        "by_family": _by(faults, "family", lambda v: v.case.family)["by_family"],
        "by_mode": _by(faults, "mode", lambda v: str(v.case.mode))["by_mode"],
        "by_agent": _by(faults, "agent", lambda v: v.case.agent)["by_agent"],
        "twins": _false(named),
        "invalid": [{"case": v.case.name, "seed": v.seed, "problems": v.problems} for v in verdicts if v.problems],
        "cases": [row(v) for v in verdicts],
    }


def row(v: Verdict) -> dict[str, Any]:
    """One case, flat, as CSV and JSON have it."""
    truth, top = v.case.truth, v.top
    return {
        "id": v.case.id,
        "agent": v.case.agent,
        "seed": v.seed,
        "split": v.case.split,
        "family": v.case.family,
        "mode": v.case.mode,
        "truth_knob": truth and truth.knobs[0],
        "truth_value": json.dumps(truth.value) if truth and truth.has_value else None,
        "truth_lines": sorted(truth.lines) if truth else [],
        "rank": v.rank,
        "top_1": v.top_1,
        "top_3": v.top_3,
        "first_rule": top and top.rule,
        "first_knob": top and top.knob,
        "first_value": top and top.value,
        "first_line": top.site.line if top and top.site else None,
        "findings": len(v.ran.said.findings),
        "by_first_error": v.by_first_error,
        "by_commonest_knob": v.by_commonest_knob,
        "runs": v.ran.runs,
        "failed": v.ran.failed,
        "requests": v.ran.requests,
        "seconds": round(v.ran.seconds, 3),
        "cost_musd": v.ran.said.cost_musd,
        "sound_failed": v.twin and v.twin.failed,
        "sound_requests": v.twin and v.twin.requests,
        "sound_seconds": v.twin and round(v.twin.seconds, 3),
        "sound_cost_musd": v.twin and v.twin.said.cost_musd,
        "false_findings": None if truth else [_pin(f) for f in false_findings(v.ran)],
        "problems": v.problems,
    }


def write(found: dict[str, Any], folder: Path) -> None:
    """``cases.csv``, ``figures.json`` and ``tables.md`` into ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(found, indent=2) + "\n")
    (folder / "tables.md").write_text(tables(found) + "\n")
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found["cases"][0]) if found["cases"] else ["id"])
        writer.writeheader()
        writer.writerows({k: _cell(value) for k, value in case.items()} for case in found["cases"])


def tables(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    heads = ("", "cases", "top 1", "95 % interval", "top 3", "knob alone", "first error", "commonest knob")
    rows = [heads, ("---",) * len(heads)]
    rows += [("all", *_figures_row(found["faults"]))]
    groups = {"split": found["faults"]["by_split"], **{k: found[f"by_{k}"] for k in ("family", "agent")}}
    for kind, parts in groups.items():
        rows += [(f"{kind}: {name}", *_figures_row(part)) for name, part in parts.items()]
    healthy = f"Healthy twins: {_healthy(found['twins'])}."
    return "\n".join([*("| " + " | ".join(cells) + " |" for cells in rows), "", healthy])


def into_document(found: dict[str, Any], document: Path) -> None:
    """Replace what stands between the markers of a document.

    Raises:
        SystemExit: The document lost its markers.
    """
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{document} lost a marker: {BEGIN} or {END}.")
    document.write_text(f"{before}{BEGIN}\n{tables(found)}\n{END}{after}")


def _pinned(some: Sequence[Verdict]) -> dict[str, Any]:
    counted = [v for v in some if not v.problems]
    n, hits = len(counted), sum(v.top_1 for v in counted)
    interval = wilson(hits, n) if n else None
    knobs = sum(v.top is not None and v.case.truth is not None and v.top.knob in v.case.truth.knobs for v in counted)
    return {
        "cases": n,
        "invalid": len(some) - n,
        "top_1": hits,
        "top_1_share": hits / n if n else None,
        "top_1_low": interval and interval.low,
        "top_1_high": interval and interval.high,
        "top_3_share": sum(v.top_3 for v in counted) / n if n else None,
        "knob_share": knobs / n if n else None,
        "first_error_share": sum(v.by_first_error for v in counted) / n if n else None,
        "commonest_knob_share": sum(v.by_commonest_knob for v in counted) / n if n else None,
    }


def _by(some: Sequence[Verdict], name: str, of: Callable[[Verdict], str]) -> dict[str, Any]:
    keys = sorted({of(v) for v in some}, key=lambda key: (key.zfill(3), key))
    return {f"by_{name}": {key: _pinned([v for v in some if of(v) == key]) for key in keys}}


def _false(some: Sequence[Verdict]) -> dict[str, Any]:
    healthy = [v.ran for v in some if not v.problems]
    found = [f for ran in healthy for f in false_findings(ran)]
    named = sum(len({i for f in false_findings(ran) for i in f.evidence["runs"]}) for ran in healthy)
    runs = sum(ran.runs for ran in healthy)
    return {
        "sets": len(healthy),
        "runs": runs,
        "false_findings": len(found),
        "false_per_run": len(found) / runs if runs else None,
        "runs_named_share": named / runs if runs else None,
        "rules": {rule: sum(f.rule == rule for f in found) for rule in sorted({f.rule for f in found})},
    }


def _healthy(part: dict[str, Any]) -> str:
    if not part["runs"]:
        return "none were run"
    rules = ", ".join(f"{rule} {n}" for rule, n in part["rules"].items())
    return (
        f"{part['runs']} runs in {part['sets']} sets, {part['false_findings']} false findings"
        f" = {part['false_per_run']:.3f} per run{f' ({rules})' if rules else ''}; {part['runs_named_share']:.1%} of the"
        " runs are named by one"
    )


def _figures_row(part: dict[str, Any]) -> tuple[str, ...]:
    if not part["cases"]:
        return ("0", *("–",) * 6)
    return (
        str(part["cases"]) + (f" (+{part['invalid']} invalid)" if part["invalid"] else ""),
        f"{part['top_1_share']:.3f}",
        f"{part['top_1_low']:.2f} to {part['top_1_high']:.2f}",
        f"{part['top_3_share']:.3f}",
        f"{part['knob_share']:.3f}",
        f"{part['first_error_share']:.3f}",
        f"{part['commonest_knob_share']:.3f}",
    )


def _pin(finding: Finding) -> str:
    place = f"{Path(finding.site.file).name}:{finding.site.line}" if finding.site else "no line"
    return f"{finding.rule}: {finding.knob} = {finding.value} at {place}"


def _cell(value: Any) -> Any:
    return "; ".join(str(item) for item in value) if isinstance(value, list) else value
