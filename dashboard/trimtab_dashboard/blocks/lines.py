"""The lines of the harness: which are shown, the table of them, and one of them in full.

In: what was chosen, which is part of the address. Out: Streamlit's elements. A row's button leads to the line, and from
there every number leads to its runs.
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import finding, links, tables
from trimtab_dashboard.views import findings, harness, line_trend, runs, words

MOST_FINDINGS = 5
"""Findings of a line that are shown."""


def filters() -> dict[str, Any]:
    """Draw what runs are chosen by; the filters of the API."""
    row = st.columns([1, 1, 2])
    service = tables.choose(row[0], "Service", data.choices()["services"], "service")
    span = tables.choose(row[1], "Started", runs.SPANS, "span")
    chosen = runs.filters(runs.Chosen(service=service, span=span), time.time_ns())
    return {name: chosen[name] for name in ("service", "since_ns")}


def table(chosen: dict[str, Any]) -> None:
    """All lines; a click on a row's button opens the line."""
    order = st.selectbox("The most first", list(harness.ORDERS), key="order", bind="query-params", width=280)
    found = data.harness(order=harness.ORDERS[order or "Cost"], **chosen)
    st.caption(words.md(f"{harness.scope(found['scope'])}."))
    if not found["items"]:
        st.info(strings.NO_LINES if any(chosen.values()) else strings.EMPTY)
        return
    button = st.column_config.ButtonColumn(type="tertiary", key="open_line", alignment="left", pinned=True)
    columns: Any = {
        "Line": button,
        "Code": st.column_config.TextColumn(width=180),
        "Calls": st.column_config.NumberColumn(format="localized"),
        "Calls failed": st.column_config.NumberColumn(format="%.1f %%"),
        "Calls over time": st.column_config.BarChartColumn(y_min=0, width=110),
        "Wasted on": st.column_config.TextColumn(width=130),
    }
    tables.grid(harness.table(found["items"]), column_config=columns, height="content", key="lines_of_code")
    st.caption(words.md(strings.LINES_NOTE))
    if found["total"] > len(found["items"]):
        st.caption(words.md(f"{found['total'] - len(found['items']):,} more lines are not shown."))
    if (clicked := st.session_state.get("open_line")) is not None:
        site_id = found["items"][clicked["row"]]["site_id"]
        st.switch_page("screens/harness.py", query_params=_kept() | {"site": site_id})


def _kept() -> dict[str, str]:
    """The filters of the address, for an address that keeps them."""
    return {name: st.query_params[name] for name in ("service", "span") if name in st.query_params}


def detail(site_id: str, chosen: dict[str, Any]) -> None:
    """One line: its code, what it came to, where the money went, what was set, and how that went over time."""
    st.page_link("screens/harness.py", label="all lines", icon=":material/arrow_back:", query_params=_kept())
    found = data.harness(site=site_id, **chosen)
    if not found["items"]:
        links.code(data.place(site_id))
        st.info(strings.NO_LINE)
        return
    row = found["items"][0]
    st.markdown(f"**{words.md(words.place(row))}**")
    st.caption(words.md(f"{harness.scope(found['scope'])}."))
    is_python = str(row["file"] or "").endswith(".py")
    st.code(harness.excerpt(row), language="python" if is_python else None, wrap_lines=True)
    tables.figures(harness.figures(row))
    _to_runs(row)
    _over_time(row, found["step_ns"])
    st.subheader("Where the money of this line went", anchor=False)
    tables.ledger(harness.spent(row))
    st.subheader("Settings in force", anchor=False)
    tables.grid(harness.knobs(row, found["sites"]))
    if more := harness.more_values(row):
        st.caption(words.md(more))
    _findings(site_id)


def _to_runs(row: Any) -> None:
    address = harness.runs_address(row, runs.places(data.choices()["sites"]))
    if address is None:
        return
    address |= {name: value for name, value in _kept().items() if value}
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        label = f"all {words.count(row['runs'], 'run')} with a call here"
        st.page_link("screens/runs.py", label=label, icon=":material/list:", query_params=address)
        if row["failed_runs"]:
            failed = {**address, "outcome": "Failed"}
            st.page_link("screens/runs.py", label="those that failed", icon=":material/list:", query_params=failed)


def _over_time(row: Any, step_ns: int) -> None:
    with st.container(key="over_time"):
        for column, chart in zip(st.columns(3), line_trend.charts(row, step_ns), strict=True):
            with column:
                st.markdown(f"**{chart.title}**")
                st.vega_lite_chart(chart.spec, key=f"line {chart.title}", alt=chart.alt)
                st.caption(words.md(chart.note))


def _findings(site_id: str) -> None:
    found = data.findings_at(site_id)
    if not found:
        return
    st.subheader("Findings at this line", anchor=False)
    for number, each in enumerate(found[:MOST_FINDINGS], start=1):
        finding.card(each, number, is_short=True)
        links.runs(findings.runs_behind(each), finding_id=each["finding_id"], most=findings.LINKS, total=each["runs"])
    if len(found) > MOST_FINDINGS:
        st.caption(words.md(strings.more_cards(len(found) - MOST_FINDINGS, "trimtab report")))
