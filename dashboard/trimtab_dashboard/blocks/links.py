"""Links to runs: each number leads to what it was counted from.

In: ids of runs. Out: links of the page's own kind, so that the browser's back button and a shared address work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from trimtab_dashboard.views import words

SOURCE = 2_000
"""Characters of a quoted line of code that are shown."""

INNER = 12
"""Runs inside a run that are linked."""


def runs(run_ids: Sequence[str], *, finding_id: str | None, most: int, total: int | None = None) -> None:
    """Links to the first runs of ``run_ids``, and one to the table of all of them, ``total`` where they are more."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for run_id in run_ids[:most]:
            st.page_link("screens/run.py", label=f"run {words.md(run_id[-6:])}", query_params={"run": run_id})
        if finding_id is not None and run_ids:
            n = total or len(run_ids)
            label = f"all {n:,} runs" if n > 1 else "in the table of runs"
            st.page_link("screens/runs.py", label=label, icon=":material/list:", query_params={"finding": finding_id})


def inner_runs(parts: Sequence[Any]) -> None:
    """Links to the runs inside a run."""
    if not parts:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"Runs inside this one ({len(parts):,}):")
        for row in parts[:INNER]:
            st.page_link("screens/run.py", label=words.md(row["name"][:60]), query_params={"run": row["run_id"]})


def code(row: object) -> None:
    """The quoted line of code of a finding or a place."""
    source = row.get("source") if isinstance(row, dict) else None
    if isinstance(row, dict) and source:
        st.code(
            words.kept(source, SOURCE),
            language="python" if str(row.get("file", "")).endswith(".py") else None,
            wrap_lines=True,
        )
