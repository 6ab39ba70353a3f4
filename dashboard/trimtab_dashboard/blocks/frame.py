"""What is around every page: whether steering is on and how to stop it, who is signed in, and what was just decided.

In: the sidecar's state. Out: the sidebar, a page's head, and one sentence in the place of a page that can't be drawn.
The sidebar looks for news by itself, which does not count as a person's doing (:mod:`trimtab_dashboard.guard`), and has
the page drawn anew when there is some; what somebody is typing stays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx

from trimtab_dashboard import data, strings, theme
from trimtab_dashboard.views import changes, words
from trimtab_tracer.errors import SidecarError, TrimtabError

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

LOOK_S = 3.0
"""How often the sidebar looks for news: somebody decided, or the sidecar has analysed new runs."""
SLOW_S = 2.0
"""How long a page may wait for the sidecar before it says so."""

SAID_S = 20.0
"""How long it stays on a page what came of a decision."""
MAX_WHY = 1000
"""Longest reason, in characters, as the sidecar takes it."""


class Said(NamedTuple):
    """What came of a decision."""

    text: str
    is_good: bool
    until_s: float
    page: str | None = None
    """Title of the page that says it."""


@contextmanager
def page(title: str, *, is_live: bool = False) -> Iterator[None]:
    """A page under its title; if the sidecar can't answer, one sentence stands in its place.

    Args:
        title: What it is called.
        is_live: Whether it looks for new runs itself; then it is not drawn anew as a whole for them.
    """
    st.session_state["is_live"] = is_live
    st.title(title, anchor=False)
    _last_said(title)
    with fragment():
        yield


@contextmanager
def fragment() -> Iterator[None]:
    """Something that may have to wait for the sidecar, or do without it: it says so in its place."""
    try:
        with _said_when_slow():
            yield
    except TrimtabError as error:
        st.error(words.md(error), icon=":material/power_off:")
        if isinstance(error, SidecarError) and (error.status is None or error.status >= 500):
            st.session_state["seen"] = None  # the next look that is answered draws the page


@contextmanager
def _said_when_slow() -> Iterator[None]:
    """Say that the sidecar is waited for once that has taken a while; a page that is drawn soon says nothing."""
    place, lock, is_over = st.empty(), threading.Lock(), False

    def say_it() -> None:
        with lock:
            if not is_over:
                place.warning(strings.SLOW, icon=":material/hourglass_top:")

    timer = threading.Timer(SLOW_S, say_it)
    add_script_run_ctx(timer)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            is_over = True
        place.empty()


def say(text: str, *, is_good: bool) -> None:
    """Let the page that is drawn next say this on top, and keep saying it for a while if it is drawn again."""
    st.session_state["said"] = Said(text, is_good, time.monotonic() + SAID_S)


def _last_said(title: str) -> None:
    said: Said | None = st.session_state.get("said")
    if said is None:
        return
    if time.monotonic() > said.until_s or said.page not in (None, title):
        del st.session_state["said"]
        return
    st.session_state["said"] = said._replace(page=title)
    show, icon = (st.success, "check_circle") if said.is_good else (st.error, "front_hand")
    show(words.md(said.text), icon=f":material/{icon}:")


def decide(path: str, body: dict[str, Any], said: str) -> bool:
    """Send a decision; what came of it is said on top of the page that is drawn next. Whether it was taken."""
    try:
        data.write(path, body)
    except TrimtabError as error:  # of two who decide at once, the second reads here who was quicker
        say(str(error), is_good=False)
        return False
    say(said, is_good=True)
    return True


def sidebar() -> None:
    """State of steering, the way to stop it, and who is signed in."""
    st.html(theme.CSS)
    banner = st.empty()
    with st.sidebar:
        _steering(banner)
        st.caption(f"Signed in as {words.md(data.person())}")
        st.html('<a class="out" href="/logout" target="_self">Sign out</a>')


@st.fragment(run_every=LOOK_S)
def _steering(banner: DeltaGenerator) -> None:
    """Looks again by itself, and draws the page anew when there is news.

    Where the sidecar does not answer, ``banner`` says so above what the page showed last: on a narrow screen the
    sidebar is folded away.
    """
    try:
        if not data.is_there():
            raise SidecarError(strings.NO_SIDECAR)
        state, news = data.freeze(), data.news()
    except TrimtabError:
        st.session_state["seen"] = None
        banner.error(strings.NO_SIDECAR, icon=":material/power_off:")
        st.caption(strings.STEERING_UNKNOWN)
        return
    banner.empty()
    seen = st.session_state.get("seen", news)
    st.session_state["seen"] = news
    if seen is None or seen.decided != news.decided or (seen != news and not st.session_state.get("is_live")):
        st.rerun(scope="app")
    icon, text = changes.steering(state, time.time_ns())
    (st.warning if state["frozen"] else st.info)(text, icon=icon)
    label = strings.UNFREEZE if state["frozen"] else strings.FREEZE
    if st.button(label, key="ask_freeze", width="stretch"):
        (_ask_unfreeze if state["frozen"] else _ask_freeze)(state["policy_version"])


def freeze_button(policy: Any) -> None:
    """The same way to stop all steering, on a page."""
    label = strings.UNFREEZE if policy["frozen"] else strings.FREEZE
    if st.button(label, key="page_freeze", icon=":material/ac_unit:"):
        (_ask_unfreeze if policy["frozen"] else _ask_freeze)(policy["version"])


@st.dialog(strings.FREEZE)
def _ask_freeze(_: int) -> None:
    _ask(strings.FREEZE_QUESTION, strings.FREEZE, "freeze", {})


@st.dialog(strings.UNFREEZE)
def _ask_unfreeze(seen: int) -> None:
    _ask(strings.UNFREEZE_QUESTION, strings.UNFREEZE, "unfreeze", {"seen": seen})


def _ask(question: str, label: str, action: str, body: dict[str, Any]) -> None:
    st.write(question)
    st.text_input(strings.WHY, key=f"why_{action}", max_chars=MAX_WHY)
    if st.button(label, key=f"confirm_{action}", type="primary", on_click=_confirmed, args=(action, body)):
        st.rerun()


def _confirmed(action: str, body: dict[str, Any]) -> None:
    """A click: with what the dialog showed."""
    why = st.session_state.get(f"why_{action}", "").strip()
    decide(f"/v1/{action}", body | ({"why": why} if why else {}), strings.decided(action))


def roll_back_policy(version: int) -> None:
    """A button that takes the whole policy back to the version before, after asking."""
    if st.button(strings.ROLL_BACK_POLICY, key="ask_policy"):
        _ask_roll_back(version)


@st.dialog(strings.ROLL_BACK_POLICY)
def _ask_roll_back(seen: int) -> None:
    _ask(strings.ROLL_BACK_QUESTION, strings.ROLL_BACK, "policy/rollback", {"seen": seen})
