"""The card of one finding: what was found at which line, what to try, and how sure that is.

In: a finding as the API lists it. Out: a bordered box; the overview shows it short.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import streamlit as st

from trimtab_dashboard import strings
from trimtab_dashboard.blocks import frame, links, tables
from trimtab_dashboard.views import findings, words


def card(finding: Any, number: int, *, is_short: bool = False, offer: str | None = None) -> None:
    """One finding.

    Args:
        finding: As the API lists it.
        number: Its place in the API's order.
        is_short: Without the quoted code and the evidence.
        offer: What the link to a change that answers it says; None where there is no such change.
    """
    with st.container(border=True):
        head, amount = st.columns([5, 1.4])
        back = " :material/replay: came back" if finding["is_reopened"] else ""
        head.markdown(f"**{number}. {words.md(finding['title'])}**{back}")
        amount.markdown(f"**{words.md(findings.weight(finding))}**", text_alignment="right")
        st.markdown(f"{words.code(words.place(finding))} · {words.code(findings.setting(finding))}")
        if not is_short:
            links.code(finding)
        st.markdown(f"**Try:** {words.md(finding['advice'])}")
        if offer is not None:
            st.page_link("screens/recommendations.py", label=offer, icon=":material/tune:")
        elif findings.may_be_asked_for(finding, offer) and not is_short:
            finding_id = finding["finding_id"]
            st.button(strings.ASK_FOR, key=f"ask_{finding_id}", on_click=_ask_for, args=(finding_id,))
        if is_short:
            return
        seen = f"Seen in {findings.extent(finding)}; last {words.when(finding['last_seen_ns'])} UTC."
        past = words.md(findings.history(finding))
        st.caption(f"{words.md(seen)} Mode: {words.md(finding['rule'])}. {past}")
        if rows := findings.numbers(finding):
            with st.expander(strings.EVIDENCE):
                tables.plain(rows)
        links.runs(
            findings.runs_behind(finding), finding_id=finding["finding_id"], most=findings.LINKS, total=finding["runs"]
        )


def _ask_for(finding_id: str) -> None:
    """A click: the page says what came of it."""
    frame.decide(f"/v1/findings/{quote(finding_id, safe='')}/recommend", {}, strings.decided("ask"))
