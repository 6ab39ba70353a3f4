"""Two runs side by side, and the way to choose the second one.

In: a run as the API gives it. Out: a comparison, or a list of runs to compare with; the choice is part of the address.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import tables
from trimtab_dashboard.views import two_runs, words

OFFERED = 50
"""Runs of the same agent that are offered."""


def offer(detail: Any) -> None:
    """A choice of runs to compare with."""
    run = detail["run"]
    rows = data.runs(limit=OFFERED, service=run["service"])["items"]
    named = two_runs.candidates(rows, run["run_id"])
    if not named:
        return
    chosen = st.selectbox(strings.COMPARE_WITH, list(named), format_func=named.__getitem__, index=None, key="compare")
    if chosen is not None:
        st.switch_page("screens/run.py", query_params={"run": run["run_id"], "with": chosen})


def compare(detail: Any, other_id: str) -> None:
    """The run beside another one."""
    other = data.run(other_id)
    one_id = detail["run"]["run_id"]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for label, run_id in (("first", one_id), ("second", other_id)):
            st.page_link("screens/run.py", label=f"{label} run {words.md(run_id[-6:])}", query_params={"run": run_id})
    st.caption(strings.TWO_RUNS)
    tables.plain(two_runs.figures(detail["run"], other["run"]))
    st.subheader("Where they part", anchor=False)
    pairs = two_runs.align(two_runs.steps(detail), two_runs.steps(other))
    st.markdown(words.md(two_runs.parting(pairs)))
    if pairs:
        tables.grid(two_runs.table(pairs), column_config={"": st.column_config.TextColumn(width=40)})
    if said := two_runs.left_out(detail, other):
        st.caption(said)
    st.subheader("Settings that differ", anchor=False)
    rows = two_runs.settings(data.settings(one_id), data.settings(other_id))
    if rows:
        tables.grid(rows)
    else:
        st.caption(strings.SAME_SETTINGS)
