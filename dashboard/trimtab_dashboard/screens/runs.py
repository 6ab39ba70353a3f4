"""All runs as a table: filtered, paged, each one click from its waterfall."""

from __future__ import annotations

import time

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, tables
from trimtab_dashboard.views import findings, runs, words

with frame.page(strings.RUNS):
    finding = data.finding(st.query_params["finding"]) if "finding" in st.query_params else None
    if finding is not None:
        st.info(f"Only the runs behind: {words.md(finding['title'])}", icon=":material/search:")
        st.page_link("screens/runs.py", label="all runs", icon=":material/close:")
    columns = st.columns(4)
    chosen = runs.filters(
        now_ns=time.time_ns(),
        service=tables.choose(columns[0], "Service", data.services(), "service"),
        status=tables.choose(columns[1], "How it ended", runs.STATUSES, "status"),
        outcome=tables.choose(columns[2], "Outcome", runs.OUTCOMES, "outcome"),
        span=tables.choose(columns[3], "Started", runs.SPANS, "span"),
    )
    if finding is not None:
        chosen["run"] = tuple(findings.runs_behind(finding)[: data.MOST_IDS])
    pages = tables.cursors(f"runs {chosen}")
    page = data.runs(**chosen, cursor=pages[-1])
    if page["items"]:
        tables.of_runs(runs.table(page["items"]), [run["run_id"] for run in page["items"]])
        tables.turn(pages, page, data.PAGE, "Runs")
    else:
        st.info(strings.NO_RUNS if any(chosen.values()) else strings.EMPTY)
