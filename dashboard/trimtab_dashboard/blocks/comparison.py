"""What the page Compare shows: shares and gap, cost against quality, and what a drawn value would have come to.

In: what was chosen, which is part of the address. Out: Streamlit's elements.
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import tables
from trimtab_dashboard.views import compare, harness, runs, series, what_if, words


def filters() -> dict[str, Any]:
    """Draw what is compared; parameters of the API."""
    row = st.columns(3)
    service = tables.choose(row[0], "Service", data.choices()["services"], "service")
    span = tables.choose(row[1], "Started", runs.SPANS, "span")
    by = row[2].selectbox(
        "A harness is told by its", list(compare.HARNESSES), index=0, key="told_by", bind="query-params",
        accept_new_options=True, help=strings.BY_HELP,
    )  # fmt: skip
    inferred = st.toggle(strings.INFERRED_TOO, key="inferred", bind="query-params")
    chosen = runs.filters(runs.Chosen(service=service, span=span), time.time_ns())
    kept = {name: chosen[name] for name in ("service", "since_ns")}
    return kept | {"harness": compare.harness_column(by), "inferred": inferred or None}


def _found(asked: dict[str, Any], **more: Any) -> Any | None:
    """The comparison; where there is none, the reason is shown."""
    found = data.compared(**asked, **more)
    st.caption(words.md(f"{harness.scope(found['scope'])}."))
    if found["comparison"] is None:
        st.info(words.md(found["refusal"]) if found["scope"]["runs"] or asked["service"] else strings.EMPTY)
        return None
    return found


def shares_and_gap(asked: dict[str, Any]) -> None:
    """How much of each measure varies with what, and the harness gap of each model."""
    found = _found(asked)
    if found is None:
        return
    told, scope = found["comparison"], harness.scope(found["scope"])
    st.markdown(words.md(f"In the mean: {compare.means(told)}."))
    for one in told["shares"].values():
        st.markdown(f"**{words.md(compare.headline(one))}**")
        if compare.is_told_apart(one):
            st.vega_lite_chart(compare.shares(one), key=f"shares {one['measure']}", alt=compare.headline(one))
        st.caption(words.md(compare.shares_note(one, scope)))
    st.caption(words.md(strings.SHARES_NOTE))
    st.subheader("Harness gap: best and worst harness with the same model", anchor=False)
    if told["gaps"]:
        st.vega_lite_chart(compare.gap_chart(told["gaps"]), key="gaps", alt=strings.GAP_NOTE)
        st.caption(words.md(f"{strings.GAP_NOTE} {scope}."))
        tables.grid(compare.gaps(told["gaps"]))
    else:
        st.info(strings.NO_GAP)
    _notes(told)


def cost_and_quality(asked: dict[str, Any]) -> None:
    """The frontier, and what so much quality at so little cost would need."""
    row = st.columns(2)
    quality = row[0].slider("Quality asked for (% of the best)", 5, 100, 80, 5, key="quality", bind="query-params")
    cost = row[1].slider("Cost allowed (% of that of the best)", 5, 100, 30, 5, key="cost", bind="query-params")
    found = _found(asked, quality_share=quality / 100, cost_share=cost / 100)
    if found is None:
        return
    told = found["comparison"]
    if told["frontier"] is None:
        st.info(strings.NO_FRONTIER)
        _notes(told)
        return
    st.markdown(f"**{words.md(told['frontier']['answer'])}**")
    st.vega_lite_chart(compare.frontier(told["frontier"]), key="frontier", alt=strings.FRONTIER_ALT)
    st.caption(words.md(compare.frontier_note(told["frontier"], harness.scope(found["scope"]))))
    st.caption(strings.FRONTIER_NOTE)
    button = st.column_config.ButtonColumn(type="tertiary", key="open_configuration", alignment="left", pinned=True)
    tables.grid(compare.configurations(told["frontier"]), column_config={"Configuration": button}, key="configurations")
    if (clicked := st.session_state.get("open_configuration")) is not None:
        name = told["frontier"]["configurations"][clicked["row"]]["name"]
        st.switch_page(
            "screens/runs.py", query_params=compare.runs_address(name, found["harness"], list(told["levels"]))
        )
    _notes(told)


def _notes(told: Any) -> None:
    if told["notes"]:
        with st.expander("What to know about these numbers"):
            for note in told["notes"]:
                st.markdown(f"- {words.md(note)}")


def ask_what_if(inferred: bool | None) -> None:
    """A knob whose values were drawn, a candidate, and what it would have come to; or why nobody can say."""
    choices = data.what_if(inferred=inferred)["choices"]
    if not choices:
        st.info(strings.NOTHING_DRAWN)
        return
    named = {what_if.label(one): one for one in choices}
    row = st.columns(3)
    knob = row[0].selectbox("Knob", list(named), key="knob", bind="query-params", on_change=_other_knob)
    choice = named.get(knob or "", choices[0])
    options = [what_if.value_label(text) for text in choice["values"]]
    if (asked_for := st.query_params.get("value")) and asked_for not in options:
        options.append(asked_for)
    key = f"value {choice['site_id']} {choice['knob']}"
    said = row[1].selectbox(
        "Value for all runs",
        options,
        index=options.index(asked_for) if asked_for else 0,
        key=key,
        accept_new_options=True,
        on_change=_keep,
        args=(key,),
    )
    label = row[2].selectbox("Measure", list(what_if.MEASURES), key="measure", bind="query-params")
    measure = what_if.MEASURES[label or "Success"]
    asked = {"site": choice["site_id"], "knob": choice["knob"], "measure": measure, "inferred": inferred}
    answer = data.what_if(value=what_if.candidate(said or options[0], choice["values"]), **asked)
    if answer["refusal"] is not None:
        st.warning(words.md(answer["refusal"]), icon=":material/block:")
    else:
        tables.figures(what_if.figures(answer["value"], measure))
        with st.expander("All estimators"):
            tables.plain(what_if.estimates(answer["value"], measure))
    _drawn(choice, asked, answer)


def _other_knob() -> None:
    """Another knob was chosen, which has values of its own."""
    st.query_params.pop("value", None)


def _keep(key: str) -> None:
    """A value was chosen: it is part of the address, whatever the knob."""
    st.query_params["value"] = st.session_state[key] or ""


def _drawn(choice: Any, asked: dict[str, Any], answer: Any) -> None:
    """Every drawn value beside the others, and the runs of that time."""
    values = choice["values"][: what_if.MOST_VALUES]
    answers = [(text, data.what_if(value=text, **asked)) for text in values]
    if (spec := what_if.chart(answers, asked["measure"])) is not None:
        st.markdown("**Each value that was drawn**")
        st.vega_lite_chart(spec, key="drawn", alt="What each drawn value would have come to, with its interval.")
        st.caption(words.md(f"{what_if.note(next(a for _, a in answers if a['value']))}."))
    for text, each in answers:
        if each["refusal"] is not None:
            st.caption(words.md(f"{what_if.value_label(text)}: {each['refusal']}"))
    st.caption(words.md(strings.WHAT_IF_NOTE))
    if answer["first_ns"] is not None:
        minute_ns = 60 * 10**9
        begin_ns = answer["first_ns"] // minute_ns * minute_ns
        ends = series.ends(begin_ns / 1e6, answer["last_ns"] - begin_ns + minute_ns)
        query = {"span": runs.BETWEEN, **ends}
        st.page_link("screens/runs.py", label="all runs of that time", icon=":material/list:", query_params=query)
