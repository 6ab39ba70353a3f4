"""Changes that trimtab proposes, and what people decided about them."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, recommendation, tables
from trimtab_dashboard.views import recommendations, words

with frame.page(strings.RECOMMENDATIONS):
    groups = recommendations.groups(data.recommendations())
    if not any(group.rows[0]["status"] == "proposed" for group in groups):
        st.info(strings.NO_RECOMMENDATIONS)
    for group in groups:
        st.subheader(group.heading, anchor=False)
        shown, before = tables.paged(group.rows, data.CARDS, f"page_{group.rows[0]['status']}")
        for row in shown:
            recommendation.card(row)
        if len(group.rows) > data.CARDS:
            st.caption(words.md(strings.some_of(before + 1, before + len(shown), len(group.rows))))
