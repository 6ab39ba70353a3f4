"""The report as Markdown, short enough for a pull request.

In: a :class:`.model.Report`, and verdicts of :mod:`.gates`. Out: text. Everything from the store is escaped, so that
what a model or a tool wrote can be no link, picture, mention or heading where the text is shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from . import words
from .gates import Verdict
from .model import Report

MAX_FINDINGS: Final = 5
MAX_CHARS: Final = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:@&=\"'])")
_MENTION = re.compile(r"[@#]")
_MARKS: Final = {"FAILED": "❌", "ok": "✅", "not compared": "➖"}
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")


def as_markdown(report: Report, verdicts: Sequence[Verdict] = ()) -> str:
    """The text, ending with a line break."""
    parts = [f"### {escaped(report.headline[0], 400)}"]
    parts += [f"- {_MARKS[v.word]} {code(v.condition)}: {escaped(v.told, 400)}" for v in verdicts]
    parts += [_findings(report), _ledger(report)]
    parts.append("<sub>" + escaped(_about(report), 400) + "</sub>")
    blocks = [part for part in parts if part]
    text, is_list = "", False
    for block in blocks:
        text += ("" if is_list and block.startswith("- ") else "\n" if text else "") + block + "\n"
        is_list = block.startswith("- ")
    return text


def escaped(text: object, most: int = MAX_CHARS) -> str:
    """``text`` as Markdown that shows exactly it, on one line."""
    plain = " ".join(_UNSEEN.sub(" ", str(text)).split())
    cut = plain if len(plain) <= most else plain[: most - 1] + "…"
    # a backslash hides a sign from Markdown, but not from whoever looks for mentions in what it made
    return _MENTION.sub("\\\\\\g<0>\u2060", _SPECIAL.sub(r"\\\1", cut).replace("\\@", "@").replace("\\#", "#"))


def code(text: str) -> str:
    """``text`` between backticks."""
    plain = " ".join(_UNSEEN.sub(" ", text).split())[:MAX_CHARS].replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    return f"{fence} {plain} {fence}" if "`" in plain else f"`{plain}`"


def _findings(report: Report) -> str:
    current = [finding for finding in report.findings if finding.is_current]
    if not current:
        return ""
    lines = ["| what to fix | where | lost |", "|---|---|---|"]
    for finding in current[:MAX_FINDINGS]:
        place = code(words.where(finding.place)) if finding.place else "not known"
        lost = f"{words.usd(finding.wasted_musd)}, {words.count(finding.failed_runs, 'failed run')}"
        lines.append(f"| {escaped(finding.title)} | {place} | {escaped(lost)} |")
    if (more := len(current) - MAX_FINDINGS) > 0:
        lines.append(f"| and {more:,} more | | |")
    return "\n".join(lines)


def _ledger(report: Report) -> str:
    total = report.totals.cost_musd
    if not total:
        return ""
    lines = ["| what was paid for | cost | share |", "|---|---:|---:|"]
    for line in report.ledger:
        sign = "⚠ " if line.is_waste else ""
        cost, share = escaped(words.usd(line.cost_musd)), escaped(words.share(line.cost_musd, total))
        lines.append(f"| {sign}{escaped(line.label)} | {cost} | {share} |")
    known = words.cost_of(total, report.totals.unpriced, report.totals.attempts)
    return "\n".join([*lines, f"| total | {escaped(known)} | |"])


def _about(report: Report) -> str:
    totals = report.totals
    said = f"trimtab {report.version}: n = {words.count(totals.runs, 'run')}, "
    said += f"{words.period(totals.first_ns, totals.last_ns)}. Findings are associations."
    return said + (" Synthetic: answers of a scripted provider are among them." if report.scripted else "")
