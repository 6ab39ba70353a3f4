"""How much comes with the harness, the model and the task; what it costs; and what a drawn value would have come to."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import strings
from trimtab_dashboard.blocks import comparison, frame

VIEWS = ("Shares and gap", "Cost and quality", "What if")

with frame.page(strings.COMPARE):
    asked = comparison.filters()
    view = st.segmented_control("View", VIEWS, default=VIEWS[0], required=True, key="part", bind="query-params")
    if view == "Cost and quality":
        comparison.cost_and_quality(asked)
    elif view == "What if":
        comparison.ask_what_if(asked["inferred"])
    else:
        comparison.shares_and_gap(asked)
