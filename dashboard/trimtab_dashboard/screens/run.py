"""One run: what happened when, at which line, under which settings; and one call of it, down to its texts."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import call, frame, links, tables
from trimtab_dashboard.views import run, words

run_id = st.query_params.get("run")
with frame.page(strings.RUN):
    st.page_link("screens/runs.py", label="all runs", icon=":material/arrow_back:")
    if run_id is None:
        st.info(strings.NO_RUN_CHOSEN)
        st.stop()
    detail = data.run(run_id)
    st.markdown(f"**{words.md(detail['run']['name'])}** {words.code(run_id)}")
    if detail["run"]["task"]:
        st.markdown(words.md(words.kept(detail["run"]["task"], 400)))
    for column, (label, value) in zip(st.columns(5), run.figures(detail["run"]), strict=True):
        column.metric(label, value)
    st.caption(words.md("; ".join(run.facts(detail))))
    if detail["run"]["error_message"] or detail["run"]["error_type"]:
        st.error(
            f"{words.md(detail['run']['error_type'])}: {words.md(words.kept(detail['run']['error_message'], 400))}",
            icon=":material/error:",
        )
        links.code(run.site(detail, detail["run"]["error_site_id"]))

    st.subheader("Waterfall", anchor=False)
    chosen = call.chart(detail)
    if detail["truncated"]:
        st.warning(words.md(run.truncated(detail)))
    if chosen is not None:
        call.details(chosen)

    st.subheader("Settings in force", anchor=False)
    tables.grid(run.decisions(detail["decisions"], detail["sites"]))
