"""What is steered now: the rules in force, with the lines that they are about.

In: the policy. Out: a table, or the sentence that there is nothing. Shown on more than one page.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import streamlit as st

from trimtab_dashboard import data, strings
from trimtab_dashboard.blocks import tables
from trimtab_dashboard.views import changes


def now(policy: Any) -> None:
    """The rules of ``policy``."""
    if not policy["rules"]:
        st.info(strings.NOTHING_STEERED)
        return
    if policy["frozen"]:
        icon, text = changes.steering(data.freeze(), time.time_ns())
        st.warning(text, icon=icon)
    tables.plain(changes.rules(policy, places(policy["rules"])))


def places(matching: Iterable[Any]) -> dict[str, Any]:
    """Lines of code that rules or experiments name, by their ids."""
    named = {row["match"]["site"] for row in matching if row["match"].get("site")}
    return {site_id: place for site_id in named if (place := data.place(site_id)) is not None}
