"""Everything that was found, in the order in which it is worth mending."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import finding, frame, tables
from trimtab_dashboard.views import findings, recommendations, words

with frame.page(strings.FINDINGS):
    st.caption(strings.ASSOCIATION)
    row = st.container(horizontal=True, gap="large")
    status = tables.one_of(row, strings.WHICH_FINDINGS, findings.STATUSES, "status")
    ranked_by = tables.one_of(row, strings.RANKED_BY, findings.RANKINGS, "by")
    found = data.findings(status, ranked_by)
    offers = recommendations.offers(data.recommendations())
    if not found:
        none = {"resolved": strings.NO_RESOLVED, "reopened": strings.NO_REOPENED}
        st.info(none.get(status, strings.NO_FINDINGS))
    shown, before = tables.paged(found, data.CARDS, "page")
    for number, each in enumerate(shown, start=before + 1):
        finding.card(each, number, offer=offers.get(each["finding_id"]))
    if len(found) > data.CARDS:
        st.caption(words.md(strings.some_of(before + 1, before + len(shown), len(found))))
