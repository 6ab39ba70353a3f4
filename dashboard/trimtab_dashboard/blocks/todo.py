"""What to do first: changes that wait for a decision, then the gravest findings.

In: recommendations and findings in the API's order. Out: a short list that leads to the pages where more is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import finding
from trimtab_dashboard.views import overview, recommendations, share, words

MOST = 3
"""Of each kind."""
AT_ONCE = 2_000
"""Runs of which shares of variance are computed without being asked for."""


def harness_or_model(runs: int) -> None:
    """How much varies with the harness, and how much with the model; for many runs only when it is asked for, as it is
    computed from all of them."""
    st.subheader(strings.HARNESS_OR_MODEL, anchor=False)
    if runs > AT_ONCE and not st.toggle(f"Compute it for {runs:,} runs", key="varies"):
        return
    for sentence in share.sentences(data.comparison()):
        st.markdown(words.md(sentence))
    st.caption(strings.VARIES)


def notes() -> None:
    """What must be known to trust the numbers, from the report, which takes a while: only when it is asked for."""
    if st.toggle(strings.ABOUT_NUMBERS, key="notes"):
        for note in overview.notes(data.report()):
            st.markdown(f"- {words.md(note)}")
        st.caption(strings.ASSOCIATION)


def most_urgent(proposed: Sequence[Any], found: Sequence[Any]) -> None:
    """The first of each kind."""
    waiting = recommendations.waiting(proposed)
    for row in waiting[:MOST]:
        label = f"Decide: {recommendations.change(row)} at {words.md(words.place(row))}"
        st.page_link("screens/recommendations.py", label=label, icon=":material/tune:")
    offers = recommendations.offers(proposed)
    for number, each in enumerate(found[:MOST], start=1):
        finding.card(each, number, is_short=True, offer=offers.get(each["finding_id"]))
    if not found:
        st.info(strings.NO_FINDINGS)
    elif len(found) > MOST:
        st.page_link("screens/findings.py", label=f"all {len(found):,} findings", icon=":material/search:")
