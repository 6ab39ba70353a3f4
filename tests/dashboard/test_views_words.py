"""Texts from elsewhere stay texts, and numbers say what they rest on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_dashboard.views import words

HOUR_NS = 3600 * 10**9


@given(st.text(max_size=200).filter(lambda text: "\u2060" not in text))
def test_md_shows_exactly_the_text(text: str) -> None:
    """Every character that Markdown gives a meaning is escaped; taking the escapes away gives the text on one line."""
    shown = words.md(text)
    assert words.visible(" ".join(text.split())) == re.sub(r"\\([\W_])", r"\1", shown.replace("\u2060", ""))
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>#$:!|~]", shown)


@pytest.mark.parametrize("text", ["see HTTPS://evil.test/a", "www.evil.test", "a.b+c@evil.test", "xhttp://e"])
def test_an_address_is_no_link(text: str) -> None:
    """What Streamlit takes for a link without being asked is parted by a sign that takes no room."""
    shown = words.md(text).replace("\\", "")
    assert text == shown.replace("\u2060", "")
    assert not re.search(r"(?i)https?://|www\.|[\w.+-]@", shown)


@given(st.text(alphabet="`ab \n", max_size=40))
def test_code_can_not_be_left(text: str) -> None:
    """No run of backticks in the text is as long as the fence around it."""
    shown = words.code(text)
    fence = re.match(r"`+", shown)
    assert fence is not None
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall(r"`+", inside)
    assert (" ".join(text.split()) or "") == inside.strip()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\r\nc\n", "a\tb\nc\n"),
        ("\x1b[31mred\x00\x7f\x9b", "␛[31mred␀␡⟨U+009B⟩"),
        ("\u202eexe.txt", "⟨U+202E⟩exe.txt"),
        ("\ud800", "⟨U+D800⟩"),
        ("שלום مرحبا 👩‍👩‍👧", "שלום مرحبا 👩‍👩‍👧"),
    ],
)
def test_what_nobody_would_see_is_a_sign(text: str, shown: str) -> None:
    """Control characters and turned directions are shown; line breaks, tabs and letters of any script stay."""
    assert shown == words.visible(text) == words.kept(text, 100)
    shown.encode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "not set"), ("gpt-5", "gpt-5"), (0, "0"), (2.5, "2.5"), ({"other": 1}, '{"other": 1}'), ([], "[]")],
)
def test_value(value: object, shown: str) -> None:
    """A knob's value reads as it stands in the code, and none says so."""
    assert shown == words.value(value)


def test_share_of_names_its_interval() -> None:
    """A share carries its counts and its 95 % interval; of nothing there is none."""
    assert "6 of 8 (75.0 %; 95 % interval 41–93 %)" == words.share_of(6, 8)
    assert "none of 0" == words.share_of(0, 0)


@pytest.mark.parametrize(
    ("hours", "shown"), [(0.001, "just now"), (0.5, "30 min ago"), (5, "5 h ago"), (72, "3 days ago"), (-1, "just now")]
)
def test_ago(hours: float, shown: str) -> None:
    """How long ago something was, in the unit that one thinks in."""
    now_ns = 10**18
    assert shown == words.ago(now_ns - int(hours * HOUR_NS), now_ns)


def test_places_are_named_as_far_as_they_are_known() -> None:
    """File, line and function; no line for an imported run; nothing at all where nothing is known."""
    assert "a.py:3, in f" == words.place({"file": "a.py", "line": 3, "function": "f"})
    assert "a.py:3" == words.place({"file": "a.py", "line": 3, "function": "<module>"})
    assert "swe-agent, in default" == words.place({"file": "swe-agent", "line": 0, "function": "default"})
    assert ["place not known"] * 2 == [words.place(None), words.place({"file": None, "line": None, "function": None})]


def test_long_texts_are_cut_and_say_so() -> None:
    """What is left out is counted."""
    assert ("abc", "ab\n… (1 more characters)", "") == (words.kept("abc", 3), words.kept("abc", 2), words.kept(None, 2))
