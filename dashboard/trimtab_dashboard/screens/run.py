"""One run: what happened when, at which line, under which settings; one call of it, down to its texts; and beside
another run."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import call, frame, links, tables, two_runs
from trimtab_dashboard.views import run, runs, words

run_id = st.query_params.get("run")
with frame.page(strings.RUN):
    st.page_link("screens/runs.py", label="all runs", icon=":material/arrow_back:")
    if run_id is None:
        st.info(strings.NO_RUN_CHOSEN)
        st.stop()
    detail = data.run(run_id)
    st.markdown(f"**{words.md(words.kept(detail['run']['name'], 200))}** {words.code(run_id)}")
    if detail["run"]["task"]:
        st.markdown(words.md(words.kept(detail["run"]["task"], 400)))
    if other_id := st.query_params.get("with"):
        two_runs.compare(detail, other_id)
        st.stop()
    with st.container(key="figures"):
        for column, (label, value) in zip(st.columns([4, 3, 2, 3, 4]), run.figures(detail["run"]), strict=True):
            column.metric(label, value)
    st.caption(words.md("; ".join(run.facts(detail))))
    if detail["run"]["error_message"] or detail["run"]["error_type"]:
        said = (detail["run"]["error_type"], words.kept(detail["run"]["error_message"], 400))
        st.error(words.md(": ".join(part for part in said if part)), icon=":material/error:")
        links.code(run.site(detail, detail["run"]["error_site_id"]))
    links.inner_runs(detail["parts"])

    if runs.result(detail["run"]) in runs.LOST and (blamed := data.blame(run_id))["items"]:
        st.subheader(strings.BLAME, anchor=False)
        tables.plain(run.blame(blamed["items"], detail, blamed["sites"]))
        st.caption(words.md(run.blame_note(blamed["items"])))

    st.subheader("Waterfall", anchor=False)
    chosen = call.chart(detail)
    if detail["truncated"]:
        st.warning(words.md(run.truncated(detail)))
    if chosen is not None:
        call.details(chosen)

    st.subheader("Settings in force", anchor=False)
    settings = data.settings(run_id)
    tables.grid(run.decisions(settings["items"], settings["sites"]))
    two_runs.offer(detail)
