"""A comparison for the terminal.

In: a :class:`~.build.Comparison` and a rich console. Out: one table per part, each with what it means in a line below
it. Apart from :mod:`.build` because words change more often than numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from ..effects import Comparisons, Effect
from ..effects.answers import Pair
from .build import Comparison
from .frontier import Frontier
from .gap import Gap
from .scorecard import DIMENSIONS, Score
from .shares import Shares

MAX_GAPS = 10
"""Models shown with their gap; JSON has all."""
MAX_CONFIGURATIONS = 15
"""Configurations shown besides those on the frontier; JSON has all."""
MAX_VALUES = 30
"""Comparisons of values shown; JSON has all."""

_SCALES = {"share": "", "log": " (logarithm)", "raw": ""}


def print_text(found: Comparison, console: Console) -> None:
    """Print the comparison."""
    levels = ", ".join(f"{count} of {name}" for name, count in found.levels.items())
    console.print(f"\n[bold]{escape(found.source)}[/bold]: {found.runs} runs in {found.rows} rows; {escape(levels)}")
    console.print(", ".join(_mean(*one) for one in found.means.items()), highlight=False)
    if found.shares:
        _print_shares(found.shares, {name for name, count in found.levels.items() if count > 1}, console)
    if found.gaps:
        _print_gaps(found.gaps, console)
    if found.frontier:
        _print_frontier(found.frontier, console)
    if found.scores:
        print_scores(found.scores, console)
    if found.knobs:
        _print_effects(found.knobs, console)
        _print_associations(found.knobs, console)
        console.print(_outcomes(found.knobs), highlight=False)
    for note in found.notes:
        console.print(f"- {escape(note)}", highlight=False)


def _mean(measure: str, told: dict[str, float]) -> str:
    mean, runs = told["mean"], f"{told['runs']:,} runs"
    if measure == "success":
        return f"success of {100 * mean:.1f} % ({runs})"
    return f"{mean:.4g} {'USD' if measure == 'cost' else 's'} per run ({runs})"


def _grid(title: str, *columns: str) -> Grid:
    grid = Grid(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        grid.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return grid


def _print_shares(shares: tuple[Shares, ...], varied: set[str], console: Console) -> None:
    names: dict[str, None] = {}
    if all(len(one.components) == 1 for one in shares):
        said = "No two runs differ in one thing alone or were the same twice, so what varies can't be split."
        console.print(f"\n[bold]How much varies with what[/bold]\n{said}", highlight=False)
        return
    for one in shares:
        names |= dict.fromkeys(component.name for component in one.components if component.name != "noise")
    grid = _grid("\nHow much varies with what", "", *(one.measure + _SCALES[one.scale] for one in shares))
    for name in (*names, "noise"):
        cells = []
        for one in shares:
            found = next((c for c in one.components if c.name == name), None)
            cells.append(_percent(found.share, found.low, found.high) if found else "–")
        grid.add_row(escape(name), *cells)
    console.print(grid, highlight=False)
    console.print(
        "[dim]Shares of the variance between runs, with 95 % intervals. Noise differs without any of them.[/dim]",
        highlight=False,
    )
    for one in shares:
        hidden = [
            f"{', '.join(mixed)} from {c.name}"
            for c in one.components
            if (mixed := [name for name in c.includes if set(name.split(" x ")) <= varied])
        ]
        alone = [f"{c.name} {100 * c.alone:.0f} %" for c in one.components if c.alone is not None]
        if alone:
            console.print(f"[dim]{one.measure}, all else equal: {escape(', '.join(alone))}[/dim]", highlight=False)
        if hidden:
            said = escape("; ".join(hidden))
            console.print(f"[dim]{one.measure}: this table can't tell {said}[/dim]", highlight=False)


def _percent(share: float, low: float, high: float) -> str:
    return f"{100 * share:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def _print_gaps(gaps: tuple[Gap, ...], console: Console) -> None:
    is_told = any(gap.never_started is not None for gap in gaps)
    heads = ("model", "best", "worst", "gap", "corrected", *(("never started",) if is_told else ()))
    grid = _grid("\nBest and worst harness with the same model", *heads)
    for gap in gaps[:MAX_GAPS]:
        ratio = f", x{gap.ratio:.2f}" if gap.ratio is not None else ""
        grid.add_row(
            escape(gap.model),
            f"{escape(gap.best)} {100 * gap.best_mean:.0f} %",
            f"{escape(gap.worst)} {100 * gap.worst_mean:.0f} %",
            f"{100 * gap.difference:+.0f} ({100 * gap.low:+.0f} to {100 * gap.high:+.0f}){ratio}",
            f"{100 * gap.corrected:+.0f}" if gap.corrected == gap.corrected else "–",
            *(("–" if gap.never_started is None else f"{100 * gap.never_started:+.0f}",) if is_told else ()),
        )
    console.print(grid, highlight=False)
    console.print(
        "[dim]Points of success. The interval holds for all pairs at once; corrected: one half of the runs chooses best"
        " and worst, the other measures."
        + (" Never started: the part from runs in which the agent made no call.[/dim]" if is_told else "[/dim]"),
        highlight=False,
    )
    if len(gaps) > MAX_GAPS:
        console.print(f"[dim]{len(gaps) - MAX_GAPS} more models in --json.[/dim]", highlight=False)


def _print_frontier(frontier: Frontier, console: Console) -> None:
    grid = _grid("\nCost and quality", "configuration", "runs", "success", "USD per run", "on the frontier")
    shown = [one for one in frontier.configurations if one.on_frontier]
    others = [one for one in frontier.configurations if not one.on_frontier]
    for one in (*shown, *others[:MAX_CONFIGURATIONS]):
        grid.add_row(
            escape(one.name),
            str(one.runs),
            _percent(one.quality, one.quality_low, one.quality_high),
            f"{one.cost:.4g}{_interval(one.cost_low, one.cost_high)}" + ("*" if one.unknown_cost else ""),
            ("yes, " if one.on_frontier else "no, ") + f"{100 * one.frontier_share:.0f} % of draws",
        )
    console.print(grid, highlight=False)
    console.print(
        "[dim]On the frontier: no other one is at least as good and at least as cheap. Draws are those of a bootstrap."
        "[/dim]",
        highlight=False,
    )
    console.print(escape(frontier.answer), highlight=False)
    if hidden := len(others) - MAX_CONFIGURATIONS if len(others) > MAX_CONFIGURATIONS else 0:
        console.print(f"[dim]{hidden} more configurations in --json.[/dim]", highlight=False)
    if partly := [one for one in frontier.configurations if one.unknown_cost]:
        runs = sum(one.unknown_cost for one in partly)
        said = f"* mean of the runs of known cost; that of {runs} runs of {len(partly)} configurations is unknown."
        console.print(f"[dim]{said}[/dim]", highlight=False)
    if frontier.left_out:
        named = ", ".join(frontier.left_out[:5]) + (" …" if len(frontier.left_out) > 5 else "")
        said = f"Not compared, as fewer than 5 runs have a known success or a known cost: {named}"
        console.print(f"[dim]{escape(said)} ({len(frontier.left_out)}).[/dim]", highlight=False)


def _interval(low: float, high: float) -> str:
    """Nothing where a single row gave the mean of many runs: how far that may be off is unknown."""
    bounds = f"{low:.4g}", f"{high:.4g}"
    return f" ({'–'.join(bounds)})" if bounds[0] != bounds[1] else ""


def print_scores(scores: Sequence[Score], console: Console) -> None:
    """Print the scorecard: one line per harness version, and the formulas below."""
    grid = _grid("\nScorecard", "harness version", *(one.id.replace("_", " ") for one in DIMENSIONS))
    for version in dict.fromkeys(score.version for score in scores):
        cells = []
        for score in (one for one in scores if one.version == version):
            n = f"{score.n:.4g}" if score.unit == "USD" else f"{score.n:.0f}"
            said = f"{score.score:.0f} ({score.low:.0f}–{score.high:.0f}), n={n}" if score.score is not None else "–"
            cells.append(said)
        grid.add_row(escape(version), *cells)
    console.print(grid, highlight=False)
    for dimension in DIMENSIONS:
        known = any(score.n for score in scores if score.dimension == dimension.id)
        hint = "" if known else f" ({dimension.hint})"
        line = f"{dimension.id.replace('_', ' ')}: {dimension.formula}{hint}"
        console.print(f"[dim]{escape(line)}[/dim]", highlight=False)


def _print_effects(knobs: Comparisons, console: Console) -> None:
    if not knobs.effects:
        return
    grid = _grid("\nEffects (values were drawn)", "knob at line", "value", "against", "measure", "runs", "effect", "")
    for one in knobs.effects[:MAX_VALUES]:
        grid.add_row(*_place(one), _difference(one.measure, one.dr.estimate, one.low, one.high), _verdict(one))
    console.print(grid, highlight=False)


def _verdict(one: Effect) -> str:
    return ("declared" if one.is_declared else "open") + ("" if one.is_exact else ", asymptotic")


def _print_associations(knobs: Comparisons, console: Console) -> None:
    if not knobs.associations:
        return
    grid = _grid(
        "\nAssociations (nobody drew the values)",
        "knob at line",
        "value",
        "against",
        "measure",
        "runs",
        "difference",
        "q",
    )
    for one in sorted(knobs.associations, key=lambda one: one.q)[:MAX_VALUES]:
        said = _difference(one.measure, one.difference, one.low, one.high)
        grid.add_row(*_place(one), said, f"{one.q:.3f}" + (" clear" if one.is_clear else ""))
    console.print(grid, highlight=False)
    console.print(
        "[dim]Within strata of model, task and day; whatever else differs between those runs is in it.[/dim]",
        highlight=False,
    )


def _place(one: Pair) -> tuple[str, str, str, str, str]:
    runs = f"{one.runs_value} / {one.runs_base}"
    return escape(f"{one.knob} at {one.place}"), escape(one.value), escape(one.base), one.measure, runs


def _difference(measure: str, estimate: float, low: float, high: float) -> str:
    if measure == "success":
        return f"{100 * estimate:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    unit = "USD" if measure == "cost" else "s"
    return f"{estimate:+.4g} {unit} ({low:+.4g} to {high:+.4g})"


def _outcomes(knobs: Comparisons) -> str:
    told = knobs.outcomes
    counts = ", ".join(f"{count} {source}" for source, count in told["by_source"].items())
    said = f"Outcomes that count: {counts}; {told['without_outcome']} of {told['runs']} runs have none"
    if told["uncounted"]:
        said += f", and {told['uncounted']} have one of a source that does not count here (--outcomes)"
    return said + "."
