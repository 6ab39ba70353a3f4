"""Rules about tools as they ran: broken, or called again for nothing.

In: the tool calls of a case and the health of each tool over all runs. Out: blame per tool. Both rules look beyond one
call: a tool that fails most of its calls in many runs is a fault of the tool, not of the models that call it.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ..case import Blame, Case, Group
from ..statistics import Interval
from ..wording import count, of, quoted


def broken_tool(case: Case, knob: str) -> Iterator[Blame]:
    """Tools whose error rate over all runs lies above one half (:func:`~trimtab_analyzer.cost.broken_tools`).

    One finding per name, wherever it was called from and among whatever other tools it was offered: its line is the
    tool's definition where the tool was seen running, else the first line that offered it.
    """
    for name, _, answered, errors, runs, low, high in case.broken.iter_rows():
        same = case.tools.filter(pl.col("name") == name)
        groups = list(case.groups(same, knob, hit=pl.col("is_broken"), subject=pl.col("name")))
        if not groups:  # broken over all runs, but not in the ones looked at
            continue
        hits, exposed = (pl.concat([getattr(g, part) for g in groups]) for part in ("hits", "exposed"))
        defined = hits["tool_site_id"].drop_nulls()
        values = {group.value for group in groups}
        group = Group(
            subject=name,
            knob=knob,
            value="null" if len(values) > 1 else groups[0].value,
            site_id=defined[0] if len(defined) else groups[0].site_id,
            hits=hits,
            exposed=exposed,
            has_many_values=len(values) > 1 or any(group.has_many_values for group in groups),
        )
        kinds = hits.group_by("error_type").len().sort(["len", "error_type"], descending=True, nulls_last=True)
        said = quoted(next(iter(hits["error_message"].drop_nulls()), None) or kinds["error_type"][0])
        interval = Interval(errors / answered, low, high)
        line = f"{'defined at' if len(defined) else 'the line that offers it is'} {case.place(group.site_id)}"
        yield Blame(
            group,
            f"The tool {name} failed {errors:,} of {count(answered, 'time')} it ran (95 % interval {interval}),"
            f" in {count(runs, 'run')}" + (f", for example with {said}" if said else ""),
            f"Mend {name} ({line}) or take it out of the tools.",
            {
                **interval.numbers(errors, answered),
                "runs_with_errors": runs,
                "tools_digests": sorted(set(hits["tools_digest"].drop_nulls())),
            },
        )


def repeated_call(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls that repeat an earlier one of their run: same tool, arguments and result, nothing changed between.

    What counts as a change is written in ``queries/tool_calls.sql``. Failed calls of a broken tool are that rule's. A
    cache is advised only for a tool that is known to change nothing: any other may have to run each time it is called.
    """
    requested = case.tools.filter(pl.col("call_id").is_not_null())
    hit = pl.col("repeats").is_not_null() & ~pl.col("is_broken")
    for group in case.groups(requested, knob, hit=hit, subject=pl.col("name")):
        n, total, runs = group.hits.height, group.exposed.height, group.hits["run_id"].n_unique()
        worst = int(group.hits.group_by("run_id").len()["len"].max())  # type: ignore[arg-type]
        errors = group.hits.filter(pl.col("status") == "error").height
        loop = f"the loop around {case.place(group.site_id)}"
        if errors:
            advice = f"Stop {loop} after the same error twice: {of(errors, n, 'repeat')} gave the same error again."
        elif group.hits["is_harmless"].all():
            advice = (
                f"Answer a repeated {group.subject} from a cache in {loop}, or break it after the second identical call"
                f" (up to {count(worst, 'repeat')} in a run)."
            )
        else:
            advice = (
                f"Break {loop} after the second identical call of {group.subject}, unless it waits for something"
                f" (up to {count(worst, 'repeat')} in a run)."
            )
        yield Blame(
            group,
            f"{n:,} of {count(total, 'call')} of the tool {group.subject} gave again what the run had already seen"
            f" (same arguments, same {'error' if errors == n else 'result'}), in {count(runs, 'run')}",
            advice,
            {"hit": n, "of": total, "most_in_a_run": worst, "errors": errors},
        )
