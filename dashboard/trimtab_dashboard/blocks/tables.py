"""Tables and charts whose rows and marks lead somewhere, and the way through lists that come page by page.

In: rows and specifications that the views made. Out: Streamlit's elements, and the run that was clicked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from trimtab_dashboard import strings
from trimtab_dashboard.views import words

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

CELL = 2_000
"""Characters of one cell that are shown."""


def of_runs(rows: list[dict[str, Any]], run_ids: list[str]) -> None:
    """A table of runs; a click on a row's button opens the run."""
    button = st.column_config.ButtonColumn(type="tertiary", key="open_run", alignment="left", pinned=True)
    columns: Any = {"Run": button, "Tokens": st.column_config.NumberColumn(format="localized")}
    grid(rows, column_config=columns, height="content", key="runs")
    clicked = st.session_state.get("open_run")
    if clicked is not None:
        st.switch_page("screens/run.py", query_params={"run": run_ids[clicked["row"]]})


def grid(rows: Iterable[Any], **look: Any) -> None:
    """A table that can be sorted and searched; its cells are texts to Streamlit, bounded and without unseen signs."""
    shown = [
        {name: words.kept(value, CELL) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    ]
    st.dataframe(shown, hide_index=True, **look)


def plain(rows: list[dict[str, Any]]) -> None:
    """A table whose long texts wrap. Its cells are Markdown to Streamlit, so they are escaped here."""
    escaped = [{column: words.md(words.kept(str(value), CELL)) for column, value in row.items()} for row in rows]
    st.table(escaped, border="horizontal", hide_index=True)


def figures(of: Sequence[Any]) -> None:
    """Numbers beside each other, each with what it needs to be trusted."""
    with st.container(key="figures"):
        for column, figure in zip(st.columns(len(of)), of, strict=True):
            with column.container(border=True, height="stretch"):
                st.metric(figure.label, figure.value)
                st.caption(words.md(figure.note))


def ledger(rows: list[dict[str, Any]]) -> None:
    """Where the money went."""
    shares = st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)
    grid(rows, column_config={"Share": shares})
    st.caption(strings.LEDGER_NOTE)


def timeline(spec: dict[str, Any], shown: int, total: int) -> None:
    """Runs as points; a click on one opens it."""
    state = st.vega_lite_chart(spec, on_select="rerun", key="timeline", alt=strings.TIMELINE_ALT)
    st.caption(words.md(f"The latest {shown:,} of {total:,} runs. Click a point to open its run."))
    picked = state["selection"].get("pick") or []
    if picked:
        st.switch_page("screens/run.py", query_params={"run": picked[0]["run"]})


def choose(place: DeltaGenerator, label: str, options: Iterable[str], key: str) -> str | None:
    """What was chosen of ``options``, None for any; it is part of the page's address."""
    return place.selectbox(label, list(options), index=None, placeholder="Any", key=key, bind="query-params")


def paged(rows: Sequence[Any], size: int, key: str) -> tuple[Sequence[Any], int]:
    """The rows of the chosen page, and how many stand before them; the page is part of the address."""
    pages = -(-len(rows) // size)
    if pages <= 1:
        return rows, 0
    chosen = st.pagination(pages, key=key, bind="query-params")
    before = (chosen - 1) * size
    return rows[before : before + size], before


def one_of(place: DeltaGenerator, label: str, options: Mapping[str, str], key: str) -> str:
    """What was chosen of ``options``, the first one by default, as the API calls it; it is part of the address."""
    first = next(iter(options))
    chosen = place.segmented_control(label, list(options), default=first, required=True, key=key, bind="query-params")
    return options[chosen or first]


def cursors(of: str) -> list[str | None]:
    """Cursors of the pages gone through so far, the last one that of the page to show; anew if ``of`` differs."""
    if st.session_state.get("paged") != of:
        st.session_state["paged"] = of
        st.session_state["cursors"] = [None]
    pages: list[str | None] = st.session_state["cursors"]
    return pages


def turn(pages: list[str | None], page: Any, size: int, noun: str) -> None:
    """Buttons to the pages before and after, and which rows these are.

    Args:
        pages: As :func:`cursors` gave them; a button changes it.
        page: As the API gave it.
        size: Rows of a full page.
        noun: What the rows are.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Newer", disabled=len(pages) == 1, on_click=_back, args=(pages,), icon=":material/chevron_left:")
        st.button(
            "Older",
            disabled=page["next"] is None,
            on_click=pages.append,
            args=(page["next"],),
            icon=":material/chevron_right:",
        )
        st.caption(words.md(_which(page, noun, (len(pages) - 1) * size + 1)))


def _which(page: Any, noun: str, first: int) -> str:
    """Which rows a page holds. Only the first page says of how many, and a search does not know."""
    if page.get("searched") is not None:
        found = words.count(len(page["items"]), noun.lower().removesuffix("s"))
        return f"{found} with this text on this page, newest first"
    last = first + len(page["items"]) - 1
    if page["total"] is not None:
        st.session_state["total"] = page["total"]
    return f"{noun} {first:,} to {last:,} of {st.session_state.get('total', last):,}, newest first"


def _back(pages: list[str | None]) -> None:
    pages.pop()
