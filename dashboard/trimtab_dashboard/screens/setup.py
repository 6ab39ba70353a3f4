"""How an agent is connected, what is seen here, what is kept, and what was lost."""

from __future__ import annotations

import time

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import frame, tables
from trimtab_dashboard.views import setup, words

with frame.page(strings.SETUP):
    found = data.setup()
    st.subheader("Agents", anchor=False)
    if found["agents"]:
        tables.grid(setup.agents(found["agents"], time.time_ns()))
    else:
        st.info(strings.EMPTY)

    st.subheader("Connect an agent", anchor=False)
    st.caption(strings.CONNECT)
    st.code(setup.home_shown(found["home"]), language=None)
    chosen = st.selectbox(strings.MADE_WITH, list(setup.CONNECT), key="made_with")
    language, text = setup.CONNECT[chosen]
    st.code(text, language=language)

    st.subheader("Does it work here?", anchor=False)
    tables.plain(setup.checks(found["checks"]))
    with st.expander(strings.PACKAGES):
        st.caption(strings.PACKAGES_NOTE)
        tables.plain(setup.packages(found["packages"]))

    st.subheader("What is kept", anchor=False)
    st.markdown(words.md(setup.privacy(found["settings"])))
    tables.plain(setup.sizes(found["sizes"]))
    st.caption(strings.RETENTION)

    st.subheader("What was lost", anchor=False)
    lost = data.losses()
    if lost:
        tables.plain(setup.losses(lost))
    else:
        st.caption(strings.NOTHING_LOST)

    st.subheader("Settings and versions", anchor=False)
    with st.expander(strings.SETTINGS_OF_SIDECAR):
        tables.plain(setup.settings(found["settings"]))
    tables.plain(setup.versions(found))
