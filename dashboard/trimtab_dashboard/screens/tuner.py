"""What is learned while agents run: modes, experiments, how their values were drawn, and what happened."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import experiments, frame, tables
from trimtab_dashboard.views import tuner, words

with frame.page(strings.TUNER):
    found, policy = data.tuning(), data.policy()
    frame.freeze_button(policy)
    running = [row for row in found["campaigns"] if row["status"] == "running"]
    stopped = [row for row in found["campaigns"] if row["status"] != "running"]

    st.subheader("Experiments", anchor=False)
    if not running:
        st.info(strings.NOTHING_LEARNED)
    for row in running:
        experiments.card(row)
    with st.expander(strings.BEGIN_EXPERIMENT):
        experiments.begin(policy["version"])

    st.subheader("What may be done without asking", anchor=False)
    experiments.modes(found["modes"], policy["version"])

    st.subheader("What happened", anchor=False)
    happened = data.tuning_events()
    if happened:
        knobs = {row["experiment_id"]: row["knob"] for row in found["campaigns"]}
        line = tuner.time_line(happened, knobs)
        st.vega_lite_chart(line.spec, alt=line.alt, key="time line")
        st.caption(words.md(line.note))
        tables.plain(tuner.events(happened[-data.CARDS :], knobs))
        if len(happened) > data.CARDS:
            st.caption(words.md(strings.more_cards(len(happened) - data.CARDS, "trimtab tune events")))
    else:
        st.caption(strings.NOTHING_HAPPENED)

    if stopped:
        st.subheader("Ended experiments", anchor=False)
        for row in stopped[: data.CARDS]:
            experiments.card(row)
