"""Experiments that are learned from, with what a person may do about them.

In: what the API tells of one. Out: its card; a form that begins one; the modes of knobs. A button sends the version
that the page showed when it was drawn: who decides on something they have not seen is told so by the sidecar.
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, steered, tables
from trimtab_dashboard.views import changes, tuner, words

GOALS = list(tuner.OBJECTIVES)


def card(campaign: Any) -> None:
    """One experiment: what it wants, what is known of its values, how they were drawn, and buttons."""
    key = campaign["experiment_id"]
    with st.container(border=True, key=f"exp_{key}"):
        st.markdown(f"**{words.md(tuner.heading(campaign))}**")
        place = changes.match(campaign["match"], steered.places([campaign]))
        st.caption(words.md(tuner.goal(campaign, place, time.time_ns())))
        if rows := tuner.arms(campaign):
            tables.plain(rows)
            st.caption(strings.ARMS_NOTE)
        st.caption(words.md(tuner.budget(campaign)))
        with st.expander(strings.CURVES, expanded=campaign["status"] == "running"):
            _charts(campaign)
        if campaign["status"] == "running":
            _decide(campaign)


def _charts(campaign: Any) -> None:
    drawn = tuner.charts(campaign, data.tuning_history(campaign["experiment_id"]))
    with st.container(key=f"over_time_{campaign['experiment_id']}"):
        for pair in (drawn[:2], drawn[2:]):
            for column, chart in zip(st.columns(2), pair, strict=True):
                with column:
                    st.markdown(f"**{chart.title}**")
                    st.vega_lite_chart(chart.spec, alt=chart.alt, key=f"{chart.title} {campaign['experiment_id']}")
                    st.caption(words.md(chart.note))


def _decide(campaign: Any) -> None:
    key = campaign["experiment_id"]
    tried = [
        arm["arm"] for arm in campaign["verdict"].get("arms", ()) if arm["in_set"] and arm["arm"] != tuner.INCUMBENT
    ]
    with st.expander(strings.CHANGE_EXPERIMENT):
        columns = st.columns(2)
        columns[0].text_input(strings.ANOTHER_VALUE, key=f"add_{key}", help=strings.EDIT_HELP)
        columns[0].button(strings.ADD_VALUE, key=f"do_add_{key}", on_click=_add, args=(campaign,))
        columns[1].selectbox(strings.WHICH_VALUE, tried, format_func=tuner.value_of, key=f"out_{key}")
        columns[1].button(strings.REMOVE_VALUE, key=f"do_out_{key}", on_click=_remove, args=(campaign,))
        st.text_input(strings.WHY, key=f"why_exp_{key}", max_chars=frame.MAX_WHY)
        st.button(strings.STOP_EXPERIMENT, key=f"stop_{key}", on_click=_stop, args=(campaign,))


def _body(campaign: Any, **more: Any) -> dict[str, Any]:
    why = st.session_state.get(f"why_exp_{campaign['experiment_id']}", "").strip()
    return {"version": campaign["version"], **more, **({"why": why} if why else {})}


def _add(campaign: Any) -> None:
    key = campaign["experiment_id"]
    try:
        (value,) = tuner.typed_values(st.session_state[f"add_{key}"])
    except ValueError:
        frame.say(strings.ONE_VALUE, is_good=False)
        return
    if frame.decide(f"/v1/tuning/{key}/values", _body(campaign, value=value), strings.VALUE_ADDED):
        st.session_state[f"add_{key}"] = ""


def _remove(campaign: Any) -> None:
    key = campaign["experiment_id"]
    value = data.decoded(st.session_state[f"out_{key}"])
    frame.decide(f"/v1/tuning/{key}/values/remove", _body(campaign, value=value), strings.VALUE_REMOVED)


def _stop(campaign: Any) -> None:
    key = campaign["experiment_id"]
    frame.decide(f"/v1/experiments/{key}/stop", _body(campaign), strings.EXPERIMENT_STOPPED)


def begin(seen: int) -> None:
    """A form that begins an experiment."""
    with st.form("begin"):
        columns = st.columns(3)
        columns[0].selectbox(strings.KNOB, data.knob_names(), key="begin_knob")
        columns[1].selectbox(strings.OBJECTIVE, GOALS, key="begin_goal", format_func=tuner.OBJECTIVES.__getitem__)
        columns[2].number_input(strings.MARGIN, 0.0, 100.0, 2.0, key="begin_margin")
        st.text_area(strings.VALUES_TO_TRY, key="begin_values", help=strings.VALUES_HELP)
        st.text_input(strings.WHY, key="begin_why", max_chars=frame.MAX_WHY)
        st.form_submit_button(strings.BEGIN_EXPERIMENT, on_click=_begin, args=(seen,))


def _begin(seen: int) -> None:
    state = st.session_state
    try:
        values = tuner.typed_values(state["begin_values"])
    except ValueError as error:
        frame.say(str(error), is_good=False)
        return
    goal = {"objective": state["begin_goal"], "margin": state["begin_margin"] / 100}
    body = {"seen": seen, "knob": state["begin_knob"], "values": values, "goal": goal}
    why = state["begin_why"].strip()
    frame.decide("/v1/tuning", body | ({"why": why} if why else {}), strings.EXPERIMENT_BEGUN)


def modes(rows: list[Any], seen: int) -> None:
    """What may be done without asking, and a way to say it otherwise."""
    tables.plain(tuner.modes(rows))
    with st.expander(strings.CHANGE_MODE), st.form("mode"):
        columns = st.columns(2)
        columns[0].selectbox(strings.KNOB, [strings.ALL_KNOBS, *data.knob_names()], key="mode_knob")
        columns[1].selectbox(strings.MODE, list(tuner.MODES), key="mode_is", format_func=tuner.MODES.__getitem__)
        st.text_input(strings.WHY, key="mode_why", max_chars=frame.MAX_WHY)
        st.form_submit_button(strings.CHANGE_MODE, on_click=_set_mode, args=(seen,))


def _set_mode(seen: int) -> None:
    state = st.session_state
    knob = "*" if state["mode_knob"] == strings.ALL_KNOBS else state["mode_knob"]
    why = state["mode_why"].strip()
    body = {"seen": seen, "mode": state["mode_is"], **({"why": why} if why else {})}
    frame.decide(f"/v1/tuning/modes/{data.quoted(knob)}", body, strings.mode_set(state["mode_knob"], state["mode_is"]))
