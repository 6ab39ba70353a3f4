"""All runs as a table: filtered, searched, paged, each one click from its waterfall."""

from __future__ import annotations

import time

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, run_filters, tables
from trimtab_dashboard.views import runs, words

with frame.page(strings.RUNS):
    chosen = runs.filters(run_filters.chosen(), time.time_ns())
    pages = tables.cursors(f"runs {chosen}")
    page = data.runs(**chosen, cursor=pages[-1])
    if said := runs.searched(page):
        st.caption(words.md(said))
    if page["items"]:
        tables.of_runs(runs.table(page["items"]), [run["run_id"] for run in page["items"]])
    else:
        st.info(strings.NO_RUNS if any(chosen.values()) else strings.EMPTY)
    if page["items"] or page["next"]:
        tables.turn(pages, page, data.PAGE, "Runs")
