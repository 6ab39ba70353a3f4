"""The waterfall of a run, and one call of it: chosen in the chart or in the list, shown down to its texts.

In: a run as the API gives it. Out: the chart, and the details of the chosen call. The choice is part of the address, so
that a link leads to it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import links, tables
from trimtab_dashboard.views import conversation, run, waterfall, words


def chart(detail: Any) -> str | None:
    """Draw the waterfall; returns the id of the chosen call."""
    lines = waterfall.lines(detail)
    if not lines:
        st.info(strings.NO_CALLS)
        return None
    pages = -(-len(lines) // waterfall.ROWS)
    page = st.pagination(pages, key="lines") if pages > 1 else 1
    shown = lines[(page - 1) * waterfall.ROWS : page * waterfall.ROWS]
    names, key = run.call_names(detail), f"call_{detail['run']['run_id']}"
    if key not in st.session_state and st.query_params.get("call") in names:
        st.session_state[key] = st.query_params["call"]
    chosen = st.selectbox(strings.CHOOSE_CALL, list(names), format_func=names.__getitem__, index=None, key=key)
    if chosen is None:
        st.query_params.pop("call", None)
    else:
        st.query_params["call"] = chosen
    spec = waterfall.spec(shown, detail["run"]["started_ns"], chosen)
    st.vega_lite_chart(spec, on_select=partial(_picked, key), key="waterfall", alt=strings.WATERFALL_ALT)
    st.caption(strings.WATERFALL)
    return chosen


def _picked(key: str) -> None:
    """A bar was clicked."""
    picked = st.session_state["waterfall"]["selection"].get("pick") or []
    st.session_state[key] = picked[0]["call_id"] if picked else None


def details(call_id: str) -> None:
    """Attempts, errors, tools and texts of a call."""
    found = data.call(call_id)
    site = next((s for s in found["sites"] if s["site_id"] == found["call"]["site_id"]), None)
    with st.container(border=True):
        st.markdown(f"**{words.md(run.call_title(found['call']))}** at {words.code(words.place(site))}")
        links.code(site)
        tables.grid(run.attempts(found["attempts"]))
        for title, text in run.errors(found["attempts"]):
            st.caption(words.md(title))
            st.code(text, language=None, wrap_lines=True)
        if found["call"]["rejection_text"]:
            st.caption(strings.REJECTED)
            st.code(
                words.kept(found["call"]["rejection_text"], conversation.TEXT_LIMIT), language=None, wrap_lines=True
            )
        if found["tool_calls"]:
            tables.grid(run.tools(found["tool_calls"]))
        with st.expander(strings.CALL_SETTINGS):
            tables.grid(run.decisions(found["decisions"], found["sites"]))
        _texts(found["content"])


def _texts(content: list[Any]) -> None:
    if not content:
        st.caption(strings.NO_TEXTS)
    for title, messages in conversation.texts(content):
        with st.expander(words.md(title)):
            for message in messages:
                st.caption(words.md(message.role))
                st.code(message.text, language="json" if message.is_json else None, wrap_lines=True)
