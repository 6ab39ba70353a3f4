"""What is steered now, and everything that anybody decided: who, when, from, to and why."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, steered, tables
from trimtab_dashboard.views import changes

with frame.page(strings.CHANGES):
    policy, experiments = data.policy(), data.experiments()
    st.subheader(f"Policy version {policy['version']}", anchor=False)
    steered.now(policy)
    if policy["version"] > 1:
        frame.roll_back_policy(policy["version"])

    if experiments:
        st.subheader("Experiments", anchor=False)
        tables.plain(changes.experiments(experiments, steered.places(experiments)))

    st.subheader("Audit", anchor=False)
    pages = tables.cursors("audit")
    page = data.audit(cursor=pages[-1])
    if page["items"]:
        tables.plain(changes.audit(page["items"], data.recommendations()))
        tables.turn(pages, page, data.PAGE, "Decisions")
    else:
        st.info(strings.NO_AUDIT)
