"""The map of the agent as it ran, and versions side by side: the other two views of the page about the harness.

In: what was chosen. Out: Streamlit's elements.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import tables
from trimtab_dashboard.views import agent_map, harness, versions, words


def draw_map(chosen: dict[str, Any]) -> None:
    """The graph, the same as a table, and links to its lines."""
    most = st.segmented_control(
        "Most travelled ways", [str(n) for n in agent_map.MOST], default=str(agent_map.MOST[0]), required=True,
        key="ways", bind="query-params",
    )  # fmt: skip
    found = data.agent_map(most=int(most or agent_map.MOST[0]), **chosen)
    st.caption(words.md(f"{harness.scope(found['scope'])}."))
    if not found["edges"]:
        st.info(strings.NO_WAY if any(chosen.values()) else strings.EMPTY)
        return
    is_dark = st.context.theme.type == "dark"
    with st.container(border=True, key="map"):
        st.graphviz_chart(agent_map.dot(found, is_dark=is_dark), alt=agent_map.alt(found))
    st.caption(strings.MAP_NOTE)
    if left := agent_map.left_out(found):
        st.caption(words.md(left))
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for name, site_id in agent_map.lines(found).items():
            st.page_link("screens/harness.py", label=words.md(name), query_params={"site": site_id})
    tables.grid(agent_map.table(found), column_config={"Times": st.column_config.NumberColumn(format="localized")})


def side_by_side(chosen: dict[str, Any]) -> None:
    """Versions with what came of their runs, their scorecards, and the difference of two of them."""
    found = data.scorecard(**chosen)
    st.caption(words.md(f"{harness.scope(found['scope'])}."))
    if not found["versions"]:
        st.info(strings.NO_VERSIONS)
        return
    button = st.column_config.ButtonColumn(type="tertiary", key="open_version", alignment="left", pinned=True)
    tables.grid(versions.table(found["versions"]), column_config={"Version": button}, key="versions")
    if (clicked := st.session_state.get("open_version")) is not None:
        version = found["versions"][clicked["row"]]["version"]
        st.switch_page("screens/runs.py", query_params={"harness": version})
    st.caption(words.md(strings.VERSIONS_NOTE))
    _two(found["versions"])
    st.subheader("Scorecard", anchor=False)
    st.vega_lite_chart(versions.scores(found), key="scores", alt="Scores of each version with their intervals.")
    st.caption(words.md(f"{strings.SCORES_NOTE} {harness.scope(found['scope'])}."))
    for said in versions.silent(found):
        st.caption(words.md(f"No score for {said}."))
    with st.expander("What the scores mean"):
        rows = [
            {"Score": versions.dimension_name(d["id"]), "Share": d["formula"], "Of": d["unit"]}
            for d in found["dimensions"]
        ]
        tables.plain(rows)


def _two(there: list[Any]) -> None:
    if len(there) < 2:
        st.caption(strings.ONE_VERSION)
        return
    named = {one["version"]: one for one in there}
    row = st.columns(2)
    names = list(named)
    first = row[0].selectbox("Compare", names, index=len(names) - 2, key="version", bind="query-params")
    second = row[1].selectbox("with", names, index=len(names) - 1, key="against", bind="query-params")
    if first in named and second in named and first != second:
        for sentence in versions.difference(named[first], named[second]):
            st.markdown(words.md(sentence))
