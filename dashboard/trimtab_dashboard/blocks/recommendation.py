"""The card of one recommendation, with the buttons that decide about it.

In: a recommendation as the API lists it. Out: a bordered box. A button sends the version that this box showed when it
was drawn, not the newest one: who decides on something they have not seen is told so by the sidecar.
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, links, tables
from trimtab_dashboard.views import findings, recommendations, words

_LABELS = {
    "accept": (strings.ACCEPT, "primary"),
    "reject": (strings.REJECT, "secondary"),
    "rollback": (strings.ROLL_BACK, "secondary"),
    "promote": (strings.PROMOTE, "primary"),
}


def card(row: Any) -> None:
    """One recommendation."""
    policy = data.policy()
    icon, words_of_state = recommendations.state(row, is_frozen=policy["frozen"])
    with st.container(border=True, key=f"rec_{row['recommendation_id']}"):
        head, state = st.columns([4, 2])
        head.markdown(f"**{words.md(row['title'])}**")
        state.markdown(f"{icon} {words.md(words_of_state)}", text_alignment="right")
        change = recommendations.change(row, policy["rules"])
        st.markdown(f"{change} at {words.code(recommendations.applies_to(row))}")
        links.code(data.place(row["site_id"]))
        st.markdown(words.md(row["why"]))
        if row["status"] in ("active", "promoted"):
            _so_far(row)
        else:
            _expected(row)
        st.caption(words.md(recommendations.history(row, time.time_ns())))
        if row["status"] in recommendations.DECISIONS:
            _decide(row)


def _expected(row: Any) -> None:
    tables.plain(recommendations.expected(row))
    st.markdown(f"**Risk:** {words.md(row['risk'])}")
    with st.expander(strings.EVIDENCE):
        tables.plain(findings.numbers(row))
        behind = data.finding(row["finding_id"])
        if behind is not None:
            st.markdown(f"Finding: {words.md(behind['title'])}")
        finding_id = None if behind is None else row["finding_id"]
        total = None if behind is None else behind["runs"]
        links.runs(findings.runs_behind(row), finding_id=finding_id, most=findings.LINKS, total=total)


def _so_far(row: Any) -> None:
    compared = data.before_after(row["recommendation_id"])
    tables.plain(recommendations.before_and_after(compared))
    st.caption(words.md(recommendations.difference(compared)))


def _decide(row: Any) -> None:
    key = row["recommendation_id"]
    actions = recommendations.DECISIONS[row["status"]]
    if "accept" in actions:
        if command := recommendations.shadow_command(row):
            with st.expander(strings.SHADOW_TITLE):
                st.code(command, language=None)
                st.caption(strings.SHADOW_NOTE)
        with st.expander(strings.EDIT_TITLE):
            st.text_input(strings.EDIT, recommendations.value_text(row), key=f"value_{key}", help=strings.EDIT_HELP)
    st.text_input(strings.WHY, key=f"why_{key}", max_chars=frame.MAX_WHY)
    with st.container(horizontal=True):
        for action in actions:
            label, kind = _LABELS[action]
            st.button(label, key=f"{action}_{key}", type=kind, on_click=_send, args=(row, action))  # type: ignore[arg-type]


def _send(row: Any, action: str) -> None:
    """A click: before the page is drawn again, with what it showed."""
    key = row["recommendation_id"]
    why = st.session_state.get(f"why_{key}", "")
    if action == "accept":
        typed = recommendations.accept_body(row, st.session_state[f"value_{key}"], why)
    else:
        typed = recommendations.Typed(recommendations.decide_body(row, why))
    if typed.body is None:
        frame.say(typed.problem or "", is_good=False)
    elif frame.decide(f"/v1/recommendations/{key}/{action}", typed.body, strings.decided(action)):
        st.session_state[f"why_{key}"] = ""
