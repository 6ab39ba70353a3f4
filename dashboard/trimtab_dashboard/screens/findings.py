"""Everything that was found, in the order in which it is worth mending."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import finding, frame
from trimtab_dashboard.views import findings, recommendations, words

with frame.page(strings.FINDINGS):
    st.caption(strings.ASSOCIATION)
    status = st.segmented_control(
        strings.WHICH_FINDINGS,
        list(findings.STATUSES),
        default="Open",
        required=True,
        key="status",
        bind="query-params",
    )
    found = data.findings(findings.STATUSES[status or "Open"])
    offers = recommendations.offers(data.recommendations())
    if not found:
        st.info(strings.NO_RESOLVED if status == "Resolved" else strings.NO_FINDINGS)
    for number, each in enumerate(found[: data.CARDS], start=1):
        finding.card(each, number, offer=offers.get(each["finding_id"]))
    if len(found) > data.CARDS:
        st.caption(words.md(strings.more_cards(len(found) - data.CARDS, "trimtab report")))
