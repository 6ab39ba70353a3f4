"""The report for the terminal.

In: a :class:`.model.Report` and a rich console. Out: lines on that console, in the order in which one wants to know:
what it cost and what failed, what to do about it, where the money went, the runs, and what the numbers do not say.
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from . import words
from .model import FindingView, Report

MAX_RUNS = 20
"""Runs listed in the terminal; the HTML and the JSON have more."""

MAX_EVIDENCE = 4
"""Calls named below a finding."""

MAX_RETRIES = 8
"""Places listed with the loops around their requests."""

BAR = 24
"""Cells of a full bar."""


def print_text(report: Report, console: Console) -> None:
    """Print the report."""
    console.print()
    console.print(escape(report.headline[0]), style="bold", highlight=False)
    for sentence in report.headline[1:]:
        console.print(escape(sentence), highlight=False)
    if report.scripted:
        console.print(escape(report.notes[0]), style="yellow", highlight=False)
    for n, finding in enumerate(report.findings, 1):
        _print_finding(n, finding, console)
    if report.totals.attempts:
        _print_ledger(report, console)
        _print_retries(report, console)
        _print_runs(report, console)
    notes = report.notes[1:] if report.scripted else report.notes
    if notes:
        console.print("\n[bold]What to know about these numbers[/bold]")
    for note in notes:
        console.print(Padding(escape(f"- {note}"), (0, 0, 0, 2), expand=False), highlight=False)


def _print_finding(n: int, finding: FindingView, console: Console) -> None:
    console.print(f"\n[bold]{n}. {escape(finding.title)}[/bold]", highlight=False)
    place = finding.place
    lines = [f"[cyan]{escape(words.where(place))}[/cyan]   {escape(words.in_force(finding))}"]
    if not finding.is_current:
        lines.append(f"[dim]no longer in force: {words.HISTORY}[/dim]")
    if place and place.source:
        lines += [f"[dim]│[/dim] {escape(line)}" for line in place.source.splitlines()[:8]]
    lines.append(escape(words.extent(finding)))
    lines.append(f"[green]→[/green] {escape(finding.advice)}")
    if finding.explanation:
        lines.append(f"[dim]in a model's words:[/dim] {escape(finding.explanation)}")
    if calls := finding.evidence.get("calls", ()):
        more = f" and {len(calls) - MAX_EVIDENCE} more" if len(calls) > MAX_EVIDENCE else ""
        lines.append(f"[dim]evidence: {escape(', '.join(calls[:MAX_EVIDENCE]) + more)}[/dim]")
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 3), expand=False), highlight=False)


def _print_ledger(report: Report, console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for is_number in (False, True, True, False, False):
        table.add_column(justify="right" if is_number else "left", no_wrap=is_number)
    total = report.totals.cost_musd
    parts = words.usd_parts([line.cost_musd for line in report.ledger], total)
    for line, printed in zip(report.ledger, parts, strict=True):
        filled = round(BAR * line.cost_musd / total) if total else 0
        colour = "red" if line.is_waste else "blue"
        bar = f"[{colour}]{'█' * filled}[/{colour}]"
        unpriced = f" ({line.unpriced:,} of unknown cost)" if line.unpriced else ""
        guessed = f" (tokens of {line.estimated:,} estimated)" if line.estimated else ""
        meaning = f"{line.meaning}{unpriced}{guessed}"
        cost = words.part_of(printed, line.unpriced, line.attempts)
        table.add_row(f"  {line.label}", cost, words.share(line.cost_musd, total), bar, f"[dim]{escape(meaning)}[/dim]")
    known = words.cost_of(total, report.totals.unpriced, report.totals.attempts)
    table.add_row("  [bold]Total[/bold]", f"[bold]{known}[/bold]", "", "", "")
    console.print("\n[bold]Where the money went[/bold]")
    console.print(table)


def _print_retries(report: Report, console: Console) -> None:
    if not report.retries:
        return
    console.print("\n[bold]How often one question goes out[/bold]")
    for line in report.retries[:MAX_RETRIES]:
        stack = line.stack
        model = f", {stack.model}" if stack.model else ""
        shown = [
            f"[cyan]{escape(words.where(line.place))}[/cyan]   {escape(f'{stack.host}{model}')}",
            escape(f"{words.multiplied(stack)}; {words.failure_cost(stack)}"),
        ]
        for n, text in enumerate(shown):
            console.print(Padding(text, (0, 0, 0, 2 + 2 * n), expand=False), highlight=False)
    if (more := len(report.retries) - MAX_RETRIES) > 0:
        console.print(f"  and {more} more", highlight=False)


def _print_runs(report: Report, console: Console) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    names = words.run_names(report.runs)
    table.add_column("  run", overflow="fold")
    for name in ("started (UTC)", "result"):
        table.add_column(name, no_wrap=True)
    for name in ("calls", "turned down", "requests", "tokens", "cost"):
        table.add_column(name, justify="right")
    shown = sorted(report.runs, key=lambda run: (not run.is_failed, -run.cost_musd))[:MAX_RUNS]
    for run in shown:
        state = words.run_state(run)
        table.add_row(
            f"  {escape(names[run.run_id])}",
            words.when(run.started_ns)[:16],
            f"[red]{state}[/red]" if run.is_failed else state,
            f"{run.calls:,}",
            f"{run.rejected:,} ({words.usd(run.rejected_musd)})" if run.rejected else "–",
            f"{run.attempts:,}",
            words.tokens(run.input_tokens + run.output_tokens, run.unpriced),
            words.cost_of(run.cost_musd, run.unpriced, run.attempts),
        )
    more = f" ({len(shown)} of {report.totals.runs:,}: failed ones first, then the most expensive)"
    console.print(f"\n[bold]Runs[/bold]{more if report.totals.runs > len(shown) else ''}", highlight=False)
    console.print(table)
