"""Where Streamlit begins: the pages, and what is around each of them."""

from __future__ import annotations

import streamlit as st

from trimtab_dashboard import strings
from trimtab_dashboard.blocks import frame

st.set_page_config(page_title="trimtab", page_icon="⛵", layout="wide")
page = st.navigation(
    [
        st.Page("screens/overview.py", title=strings.OVERVIEW, icon=":material/speed:", default=True),
        st.Page("screens/runs.py", title=strings.RUNS, icon=":material/list:"),
        st.Page("screens/run.py", title=strings.RUN, icon=":material/waterfall_chart:", visibility="hidden"),
        st.Page("screens/harness.py", title=strings.HARNESS, icon=":material/account_tree:"),
        st.Page("screens/compare.py", title=strings.COMPARE, icon=":material/balance:"),
        st.Page("screens/findings.py", title=strings.FINDINGS, icon=":material/search:"),
        st.Page("screens/recommendations.py", title=strings.RECOMMENDATIONS, icon=":material/tune:"),
        st.Page("screens/tuner.py", title=strings.TUNER, icon=":material/experiment:"),
        st.Page("screens/changes.py", title=strings.CHANGES, icon=":material/history:"),
        st.Page("screens/setup.py", title=strings.SETUP, icon=":material/settings:"),
    ]
)
frame.sidebar()
page.run()
