"""The HTML report as a file: self-contained, linked within itself, and escaped."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from trimtab_analyzer.report import as_html, build


class Page(HTMLParser):
    """Tags with their attributes, ids and links of a page."""

    def __init__(self, text: str) -> None:
        """Parse ``text`` whole."""
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what opens."""
        self.tags[tag] += 1
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            elif name in ("href", "src", "srcset", "action", "data", "poster", "xlink:href"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        """What closes must be what opened last."""
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(all_told: Any) -> str:
    """The report of a store to which every story was told."""
    return as_html(build(all_told.con))


def test_the_page_loads_nothing(page: str) -> None:
    """No script, style sheet, font, image or address outside the page itself."""
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & parsed.tags.keys()
    assert all(address.startswith("#") for address in parsed.addresses)
    assert not re.search(r"url\(|@import|https?://", page)


def test_every_link_leads_to_one_place_and_tags_are_closed(page: str) -> None:
    """Evidence and run links name ids that exist, each id exists once, and every tag that opens closes."""
    parsed = Page(page)
    assert {address[1:] for address in parsed.addresses} <= parsed.ids.keys()
    assert (set(parsed.ids.values()), parsed.open) == ({1}, [])
    assert len(parsed.addresses) > 5


def test_light_and_dark_and_print_are_provided(page: str) -> None:
    """The page follows the reader's colour scheme and has a form for paper."""
    assert all(f"@media ({media})" in page for media in ("prefers-color-scheme: dark", "max-width: 640px"))
    assert "@media print" in page


def test_number_of_runs_and_time_range_are_stated(page: str) -> None:
    """A reader sees on how much the numbers rest, and from when they are."""
    assert re.search(r"trimtab report · 1970-01-01 00:00.* UTC · \d+ runs, \d+ model calls", page)


def test_what_the_store_holds_is_escaped(shelf: Any) -> None:
    """Markup in names, source lines and error texts is shown, not run."""
    evil = "<script>alert(1)</script>"
    shelf.con.execute("UPDATE sites SET source = ?", [evil])
    shelf.con.execute("UPDATE runs SET name = ?, error_type = ?, error_message = ?, status = 'error'", [evil] * 3)
    shelf.call("r1", {"error_class": "rate_limit", "error_message": evil, "cost_musd": 0}, model=evil)
    page = as_html(build(shelf.con))
    assert "script" not in Page(page).tags
    assert page.count("&lt;script&gt;alert(1)") >= 5


def test_commands_in_a_note_read_as_commands(shelf: Any) -> None:
    """What stands between backticks is set as code, and escaped as everything is."""
    shelf.call("r1", {"cost_musd": None, "model": "new<b>"})
    page = as_html(build(shelf.con))
    assert "<code>trimtab reprice</code>" in page
    assert "new&lt;b&gt;" in page
