"""What is wrong, what it costs, what to do, and what is steered now."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, steered, tables, todo
from trimtab_dashboard.views import overview, runs, words

RECENT = 200
"""Runs of the chart."""

with frame.page(strings.OVERVIEW):
    report, health = data.report(), data.health()
    totals = report["totals"]
    for warning in overview.warnings(report, health):
        st.warning(words.md(warning), icon=":material/warning:")
    if not totals["runs"]:
        st.info(strings.EMPTY)
        st.stop()
    st.caption(words.md(overview.scope(report)))
    if made_up := overview.synthetic(report):
        st.info(words.md(made_up), icon=":material/science:")
    for sentence in report["headline"]:
        st.markdown(words.md(sentence))
    for column, figure in zip(st.columns(4), overview.figures(totals), strict=True):
        with column.container(border=True, height="stretch"):
            st.metric(figure.label, figure.value)
            st.caption(words.md(figure.note))

    st.subheader("What to do", anchor=False)
    todo.most_urgent(data.recommendations(), data.findings())

    st.subheader("Where the money went", anchor=False)
    tables.ledger(overview.ledger(report["ledger"], totals))

    st.subheader("The latest runs", anchor=False)
    latest = data.runs(limit=RECENT)
    tables.timeline(runs.timeline(latest["items"]), len(latest["items"]), latest["total"])

    st.subheader("Steered now", anchor=False)
    steered.now(data.policy())

    with st.expander("What to know about these numbers"):
        for note in overview.notes(report):
            st.markdown(f"- {words.md(note)}")
        st.caption(strings.ASSOCIATION)
