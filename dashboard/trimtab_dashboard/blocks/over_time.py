"""What runs came to over time, and what the tuner did today.

In: ``/v1/overview``. Out: charts in which each stretch leads to its runs, and sentences.
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.views import runs, series, words
from trimtab_dashboard.views import today as day

AUDIT = 200
"""Latest decisions that are looked through for today's."""


def charts(found: Any, service: str | None) -> None:
    """Two charts beside each other; a click on a stretch shows its runs."""
    drawn = series.charts(found)
    with st.container(key="over_time"):
        for pair in (drawn[:2], drawn[2:]):
            for column, chart in zip(st.columns(2), pair, strict=True):
                with column:
                    _one(chart, found["bin_ns"], service)


def _one(chart: series.Chart, bin_ns: int, service: str | None) -> None:
    st.markdown(f"**{chart.title}**")
    state = st.vega_lite_chart(chart.spec, on_select="rerun", key=f"chart {chart.title}", alt=chart.alt)
    st.caption(words.md(chart.note))
    _follow(state, bin_ns, service)


def _follow(state: Any, bin_ns: int, service: str | None) -> None:
    picked = state["selection"].get("pick") or []
    if picked:
        query = {"span": runs.BETWEEN, **series.ends(picked[0]["at"], bin_ns)}
        st.switch_page("screens/runs.py", query_params=query | ({"service": service} if service else {}))


def today(found: Any) -> None:
    """What was done without a person, and what it saved."""
    did = day.did(data.audit(limit=AUDIT)["items"], time.time_ns())
    said = day.saved_said(day.saved(data.campaigns(), found["drawn_today"]), found["drawn_today"])
    if did:
        st.markdown(f"**{strings.TODAY}** {words.md('; '.join(did))}.")
    elif not said:
        st.caption(strings.NOTHING_TODAY)
    if said:
        st.markdown(words.md(said))
        st.caption(strings.SAVED)
