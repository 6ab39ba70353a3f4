"""Rules about tools as they ran: broken, failing now and then, or failing without saying so.

In: the tool calls of a case and the health of each tool over all runs. Out: blame per tool. A tool that fails most of
its calls in many runs is a fault of the tool, not of the models that call it; one that fails now and then is blamed
only in runs that failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case, Group
from ..statistics import Interval, wilson
from ..wording import count, of, quoted
from .contracts import MISFIT
from .places import definition, moved
from .side_effects import stayed

MOSTLY_EMPTY: Final = 0.5
"""Share of empty results above which a tool has none as a rule."""


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


def tool_error(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls in failed runs that failed although the tool works most of the time.

    What has a rule of its own is left to it: repeats, broken tools, arguments that do not fit, what was denied, was not
    there or is not installed. A command's exit code is the command's. A failure that ended a run which had changed
    something is left to what should have taken the change back: the tool may refuse, the harness may not leave it so.
    """
    # of failed runs alone, so that the share is one of the calls that could have been hit
    requested = facts.steps(case).filter(pl.col("call_id").is_not_null() & pl.col("is_lost"))
    is_other = (
        pl.col("is_broken")
        | pl.col("is_malformed")
        | pl.col("is_unknown")
        | pl.col("repeats").is_not_null()
        | pl.col("schema_error").is_not_null()
        | pl.col("error_type").is_in(["exit_code", "validation"]).fill_null(False)
        | pl.col("error_message").str.contains(MISFIT).fill_null(False)
        | pl.col("looks").is_in(["denied", "absent", "missing"]).fill_null(False)
        | (pl.col("ran_status") == "ok").fill_null(False)
    )
    left_open = stayed(case).filter(pl.col("hit") & pl.col("by_exception"))["ended_by"].drop_nulls().unique()
    hit = (pl.col("status") == "error") & ~is_other & ~pl.col("tool_id").is_in(left_open.to_list())
    for group in moved(case.groups(requested, knob, hit=hit, subject=pl.col("name")), definition):
        n, total = group.hits.height, group.exposed.height
        interval = wilson(n, total)
        said = quoted(next(iter(group.hits["error_message"].drop_nulls()), None) or group.hits["error_type"][0])
        yield Blame(
            group,
            f"The tool {group.subject} failed {n:,} of {count(total, 'time')} (95 % interval {interval}) in runs that"
            " failed" + (f", for example with {said}" if said else ""),
            f"Retry {group.subject} or hand its error to the model in words that help, at {case.place(group.site_id)};"
            " give it a time limit.",
            interval.numbers(n, total),
        )


def silent_tool_error(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls in failed runs that ended well although their result reads like an error, is empty, or shows an object
    instead of what it holds.

    Empty results count where the tool has others more often: one that is empty as a rule has nothing to say.
    """
    rows = facts.steps(case)
    is_empty = (pl.col("looks") == "empty").fill_null(False)
    rows = rows.with_columns(often_empty=is_empty.mean().over("name") > MOSTLY_EMPTY)
    swallowed = (pl.col("ran_status") == "ok") & (pl.col("status") == "error")
    reads_so = (pl.col("looks").is_in(["soft", "object"]) | (is_empty & ~pl.col("often_empty"))) & (
        pl.col("status") != "error"
    )
    hit = (swallowed | reads_so).fill_null(False) & ~pl.col("is_broken") & pl.col("repeats").is_null()
    # an agent that is a tool of another one hands on what its own tool said: the first to say it is where it comes from
    lost = rows.filter("is_lost").with_columns(hit=hit)
    origin = pl.col("tool_site_id").filter(pl.col("hit")).is_not_null().any().over("run_id", "looks")
    hit = pl.col("hit") & (pl.col("tool_site_id").is_not_null() | ~origin.fill_null(False))
    for group in moved(case.groups(lost, knob, hit=hit, subject=pl.col("name")), definition):
        looks = dict(group.hits.group_by("looks").len().iter_rows())
        n, empty, objects = group.hits.height, looks.get("empty", 0), looks.get("object", 0)
        how = "is empty" if empty == n else "shows an object, not its text" if objects == n else "reads like an error"
        yield Blame(
            group,
            f"{of(n, group.exposed.height, 'call')} of the tool {group.subject} in runs that failed ended well"
            f" with a result that {how}",
            f"Return the text of what {group.subject} ({case.place(group.site_id)}) found: what the model reads is a"
            " name and an address in memory."
            if objects == n
            else f"Raise where {group.subject} ({case.place(group.site_id)}) has none: the agent takes it for one.",
            {"hit": n, "of": group.exposed.height, "empty": empty, "objects": objects},
        )
