"""What is wrong, what it costs, what to do, what was done about it today, and what is steered now."""

from __future__ import annotations

import time

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, over_time, steered, tables, todo
from trimtab_dashboard.views import overview, runs, words

LIVE_S = 6.0
"""How often the numbers are asked for anew; nothing else of the page moves for it."""

with frame.page(strings.OVERVIEW, is_live=True):
    choices = data.choices()
    columns = st.columns(4)
    service = tables.choose(columns[0], "Service", choices["services"], "service")
    span = tables.choose(columns[1], "Started", runs.SPANS, "span")

    @st.fragment(run_every=LIVE_S)
    def numbers() -> None:
        """All that changes while agents run."""
        with frame.fragment():
            draw()

    def draw() -> None:
        """The same; an error of the sidecar leaves it."""
        chosen = runs.filters(runs.Chosen(service=service, span=span), time.time_ns())
        found = data.overview(service=chosen["service"], since_ns=chosen["since_ns"])
        with st.container():  # has a place of its own: what comes and goes in it does not move the rest to another one
            for warning in overview.warnings(found, data.health()):
                st.warning(words.md(warning), icon=":material/warning:")
            if made_up := overview.synthetic(found):
                st.info(words.md(made_up), icon=":material/science:")
        if not found["totals"]["runs"]:
            st.info(strings.NO_RUNS if service or span else strings.EMPTY)
            return
        st.caption(words.md(overview.scope(found, choices, service)))
        tables.figures(overview.figures(found["totals"]))
        over_time.charts(found, service)
        st.subheader("What to do", anchor=False)
        with st.container():
            todo.most_urgent(data.recommendations(), data.findings())
        st.subheader("Where the money went", anchor=False)
        tables.ledger(overview.ledger(found["ledger"], found["totals"]))
        st.subheader("Steered now", anchor=False)
        with st.container():
            over_time.today(found)
        steered.now(data.policy())

    numbers()
    if runs_there := data.runs(limit=1)["total"]:
        todo.harness_or_model(runs_there)
    todo.notes()
