"""Values as one types them and as they are printed."""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tuner import terminal

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(PLAIN)
def test_json_is_read_as_json(value: Any) -> None:
    """Every JSON value comes back as it was written."""
    assert value == terminal.json_value(json.dumps(value))


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9._:/@+-]*", fullmatch=True))
def test_a_bare_word_is_a_text(word: str) -> None:
    """Names of models need no quotes; only JSON's own words mean something else."""
    own = {"null": None, "true": True, "false": False}
    assert own.get(word, word) == terminal.json_value(word)


@given(st.text())
def test_anything_typed_is_a_value_or_refused(text: str) -> None:
    """No text breaks the reader: it is JSON, a text, or wrong usage; and no value is one that JSON does not have."""
    try:
        value = terminal.json_value(text)
    except argparse.ArgumentTypeError:
        return
    assert value == json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("text", ["{", "[1", '"half', "{a: 1}", "[NaN]", "[1e999]", "[" * 100_000])
def test_what_begins_like_json_has_to_be_json(text: str) -> None:
    """A typo in JSON is not taken for a text."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no JSON"):
        terminal.json_value(text)


@given(PLAIN)
def test_a_value_is_one_short_line(value: Any) -> None:
    """Whatever a knob is set to, it is printed in one bounded line."""
    shown = terminal.value(value)
    assert len(shown) <= terminal.VALUE_CHARS
    assert "\n" not in shown


@given(PLAIN)
def test_evidence_is_words(value: Any) -> None:
    """Any JSON value is told in words, with long lists cut."""
    terminal.plain(value)
    assert "0, 1, 2, 3, 4 and 95 more" == terminal.plain(list(range(100)))


def test_words_of_evidence() -> None:
    """Names lose their underscores, what is empty is left out."""
    assert "lost calls 3; ids a, b" == terminal.plain({"lost_calls": 3, "none": None, "empty": [], "ids": ["a", "b"]})


def test_places_times_and_matches() -> None:
    """A row without a line, a time that has not come, and a rule for every call each have their words."""
    assert ("a.py:3", "(no line)") == (terminal.place({"file": "a.py", "line": 3}), terminal.place({"file": None}))
    assert ("2001-09-09 01:46:40", "–") == (terminal.when(10**18), terminal.when(None))
    assert "site s, model m" == terminal.match({"site": "s", "service": None, "model": "m"})
    assert "name n, tier=gold of the run" == terminal.match({"name": "n", "context": {"tier": "gold"}})
    assert "every call" == terminal.match({})


@pytest.mark.parametrize("total", [3, None])
def test_progress_says_nothing_where_nobody_watches(capsys: pytest.CaptureFixture[str], total: int | None) -> None:
    """Neither output nor errors have a bar where they are no terminal."""
    with terminal.progress("importing", total) as advance:
        for name in ("a", "b", "c"):
            advance(name)
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal() -> None:
    """With what is done and what it is about; standard output stays clean."""
    program = (
        "from trimtab_tuner import terminal\n"
        "with terminal.progress('pricing', 2) as advance:\n"
        "    advance('5,000 calls')\n"
        "print('done')\n"
    )
    leader, follower = pty.openpty()
    try:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=follower, check=True)
        os.close(follower)
        seen = os.read(leader, 65_536).decode("utf-8", "replace")
    finally:
        os.close(leader)
    assert done.stdout == b"done\n"
    assert "pricing" in seen
    assert "5,000 calls" in seen
