"""What the harness did, line by line; the map of runs through it; and its versions side by side."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import strings
from trimtab_dashboard.blocks import frame, lines, ways

VIEWS = ("Lines", "Map", "Versions")

with frame.page(strings.HARNESS):
    site_id = st.query_params.get("site")
    chosen = lines.filters()
    if site_id is not None:
        lines.detail(site_id, chosen)
    else:
        view = st.segmented_control("View", VIEWS, default="Lines", required=True, key="view", bind="query-params")
        if view == "Map":
            ways.draw_map(chosen)
        elif view == "Versions":
            ways.side_by_side(chosen)
        else:
            lines.table(chosen)
