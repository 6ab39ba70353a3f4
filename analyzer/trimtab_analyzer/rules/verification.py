"""Rules about checking: runs that changed things and never looked again, and runs that call a wrong result right.

In: tool calls and last answers of runs that failed. Out: blame on the verification step, as candidates: that a check
was left out, or passed, is seen; that it is why the run failed is not. A tool is a check by what it says of itself
(``mutates=False``) or by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count
from .ends import ends
from .places import definition, moved

LOOKS: Final = (
    r"(?i)(?:^|[_\W])(?:tests?|check|verify|validate|read|get|list|view|show|cat|diff|lint|status|inspect|run_tests)"
    r"(?:$|[_\W])"
)
"""Names of tools with which an agent looks at what there is."""
JUDGES: Final = r"(?i)(?:^|[_\W])(?:tests?|check|verify|verif\w*|validat\w*|review\w*|critic|judge)(?:$|[_\W])"
"""Names of tools that judge a result."""


def no_verification(case: Case, knob: str) -> Iterator[Blame]:
    """Failed runs that ended by themselves after a change that nothing looked at, though they have a tool for it."""
    rows = facts.steps(case).with_columns(place=pl.int_range(pl.len()))
    changes = pl.col("mutates").fill_null(False) & (pl.col("status") != "error")
    looks = ~pl.col("mutates").fill_null(False) & (pl.col("is_harmless") | pl.col("name").str.contains(LOOKS))
    last_change = pl.col("place").filter(changes).max().over("run_id")
    last_look = pl.col("place").filter(looks).max().over("run_id")
    finished = ends(case).filter((pl.col("asks") == 0) & ~pl.col("is_failed") & (pl.col("status") == "ok"))
    kinds = facts.runs(case).select("run_id", "kind")
    sets = rows.unique("tools_digest").explode("tools_offered").filter(pl.col("tools_offered").str.contains(LOOKS))
    could_look = looks | pl.col("tools_digest").is_in(sets["tools_digest"].drop_nulls().to_list())
    able = rows.filter(could_look.fill_null(False)).join(kinds, on="run_id")["kind"].unique()
    of_able = kinds.filter(pl.col("kind").is_in(able.to_list()))["run_id"].to_list()
    hit = (
        pl.col("is_lost")
        & (pl.col("place") == last_change)
        & (last_look.is_null() | (last_look < last_change))
        & pl.col("run_id").is_in(finished["run_id"].to_list())
        & pl.col("run_id").is_in(of_able)
        & pl.col("call_id").is_not_null()
    )
    for group in moved(case.groups(rows, knob, hit=hit, subject=pl.col("name")), definition):
        n = group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{count(n, 'run')} that failed ended after {group.subject} without a look at what it had changed",
            f"Check what {group.subject} ({case.place(group.site_id)}) did before a run may end.",
            {"runs": n},
        )


def wrong_verification(case: Case, knob: str) -> Iterator[Blame]:
    """Failed runs whose last check passed, or whose final answer says that it was checked."""
    steps = facts.steps(case).filter(pl.col("name").str.contains(JUDGES))
    last_check = steps.unique("run_id", keep="last", maintain_order=True)
    passed = last_check.filter((pl.col("status") == "ok") & pl.col("looks").is_null())["run_id"].to_list()
    hit = (
        (pl.col("asks") == 0)
        & ~pl.col("is_failed")
        & (pl.col("verified").fill_null(False) | pl.col("run_id").is_in(passed))
    )
    for group in case.groups(ends(case).filter("is_lost"), knob, hit=hit, subject=pl.col("kind")):
        n, by_tool = group.hits.height, group.hits.filter(pl.col("run_id").is_in(passed)).height
        how = "whose check had passed" if by_tool == n else "whose answer says that it was checked"
        yield Blame(
            group,
            f"{count(n, 'run')} failed {how}",
            f"Check at {case.place(group.site_id)} with something else than the model that did the work: a test, or a"
            " stronger model.",
            {"runs": n, "of": group.exposed.height, "checks_passed": by_tool},
        )
