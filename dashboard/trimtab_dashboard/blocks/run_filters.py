"""What runs are chosen by on the page of runs; each choice is part of the page's address, so that a view can be shared.

In: what the store holds. Out: :class:`~trimtab_dashboard.views.runs.Chosen`.
"""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import tables
from trimtab_dashboard.views import runs, words

MAX_TEXT = 200
"""Longest text that is looked for, in characters."""


def chosen() -> runs.Chosen:
    """Draw the filters; what they are set to."""
    there = data.choices()
    places = runs.places(there["sites"])
    row = st.columns(4)
    service = tables.choose(row[0], "Service", there["services"], "service")
    status = tables.choose(row[1], "How it ended", runs.STATUSES, "status")
    outcome = tables.choose(row[2], "Outcome", runs.OUTCOMES, "outcome")
    span = tables.choose(row[3], "Started", [*runs.SPANS, runs.BETWEEN], "span")
    row = st.columns(4)
    model = tables.choose(row[0], "Model", there["models"], "model")
    site = tables.choose(row[1], "Line of code", places, "site")
    least = row[2].number_input("Cost from (USD)", 0.0, value=None, key="cost_from", bind="query-params", format="%g")
    most = row[3].number_input("Cost to (USD)", 0.0, value=None, key="cost_to", bind="query-params", format="%g")
    since = until = None
    if span == runs.BETWEEN:
        row = st.columns(4)
        since = row[2].datetime_input("From (UTC)", None, key="from", bind="query-params")
        until = row[3].datetime_input("To (UTC)", None, key="to", bind="query-params")
    text = st.text_input(
        "Text", key="text", bind="query-params", max_chars=MAX_TEXT, help=strings.SEARCH_HELP, icon=":material/search:"
    )
    return runs.Chosen(
        service,
        status,
        outcome,
        span,
        since,
        until,
        model,
        places.get(site or ""),
        _finding(),
        least,
        most,
        text,
        _harness(),
    )


def _harness() -> str | None:
    """The version of the harness that the address names, which is said above the table."""
    version: str | None = st.query_params.get("harness")
    if version is not None:
        st.info(f"Only runs of version {words.code(words.kept(version, 100))}", icon=":material/account_tree:")
        st.page_link("screens/runs.py", label="all runs", icon=":material/close:")
    return version


def _finding() -> str | None:
    """The finding that the address names, which is said above the table."""
    finding_id: str | None = st.query_params.get("finding")
    if finding_id is None:
        return None
    found = data.finding(finding_id)
    title = "a finding that is not there any more" if found is None else found["title"]
    st.info(f"Only the runs behind: {words.md(title)}", icon=":material/search:")
    st.page_link("screens/runs.py", label="all runs", icon=":material/close:")
    return finding_id
