"""The page about the harness over a real sidecar: its lines, one of them, the map and the versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from trimtab_dashboard import strings

Page = Callable[..., AppTest]
Said = Callable[[AppTest], str]


def test_lines_have_their_numbers(page: Page, said: Said) -> None:
    """One row for the line that makes calls, with what failed there, and what the numbers are about."""
    app = page("harness")
    (row,) = app.dataframe[0].value.to_dict("records")
    assert ("shop.py:21, in answer", 25, "6 of 12") == (row["Line"], row["Calls"], row["Runs failed"])
    assert "max_retries 0" in row["Settings"]
    assert "n = 12 runs, started 2026-11-18 11:06 to 11:17 UTC." in said(app)


def test_one_line_is_an_address(page: Page, said: Said) -> None:
    """``/harness?site=…`` has the code, its money, its settings with the lines that set them, and its findings."""
    app = page("harness", site="ask")
    assert "▶ 21 │ client.chat.completions.create(model=MODEL, messages=m)" in [code.value for code in app.code]
    money, settings = (app.dataframe[i].value for i in range(2))
    assert {"Useful work", "Failed requests"} <= set(money["What it paid for"])
    assert {"shop.py:7", "shop.py:21, in answer"} == set(settings["Where"])
    assert "95 % interval" in said(app)
    assert strings.NO_LINE in said(page("harness", site="client"))


def test_the_map_and_the_versions_are_addresses(page: Page, said: Said) -> None:
    """``view`` chooses; the map's ways are a table too, and runs without a version are one."""
    app = page("harness", view="Map")
    ways = app.dataframe[0].value
    assert 12 == ways[ways["From"] == "start of the run"]["Times"].sum()
    assert "Counts and sums have no interval" in said(app)
    app = page("harness", view="Versions")
    assert ["(no version)"] == list(app.dataframe[0].value["Version"])
    assert strings.ONE_VERSION in said(app)
    assert "No score for verification" in said(app)


@pytest.mark.parametrize(
    ("view", "sentence"), [("Lines", strings.EMPTY), ("Map", strings.EMPTY), ("Versions", strings.NO_VERSIONS)]
)
@pytest.mark.usefixtures("empty")
def test_nothing_recorded_says_what_to_do(page: Page, said: Said, view: str, sentence: str) -> None:
    """An empty home is no error."""
    app = page("harness", view=view)
    assert [] == list(app.exception)
    assert sentence.replace("`", "") in said(app).replace("`", "")


def test_no_run_of_the_chosen_ones_is_said(page: Page, said: Said) -> None:
    """A filter that leaves nothing over is told as that."""
    app = page("harness")
    app.selectbox(key="span").select("Last hour").run()
    assert strings.NO_LINES in said(app)
    assert "n = 0 runs" in said(app)
