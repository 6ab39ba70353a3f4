"""What the page Set-up says: sizes, checks, packages, agents."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_dashboard.views import setup

NOW = 1_795_000_000 * 10**9


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 KB"), (1_234_567, "1.23 MB"), (10**16, "1e+04 TB")],
)
def test_sizes(count: int, said: str) -> None:
    """In powers of a thousand, three digits."""
    assert said == setup.size(count)


def test_problems_come_first() -> None:
    """Each with its sign, so that colour is not needed."""
    rows = [{"name": n, "state": s, "text": "t"} for n, s in (("a", "ok"), ("b", "note"), ("c", "problem"))]
    assert ["✕ c", "ⓘ b", "✓ a"] == [row[""] for row in setup.checks(rows)]


def test_packages_that_are_not_seen_come_first() -> None:
    """With what to do about it."""
    rows: list[dict[str, Any]] = [
        {"package": "openai", "version": "3", "verdict": "seen", "transport": "httpx2", "advice": "", "kind": "SDK"},
        {
            "package": "x",
            "version": "1",
            "verdict": "not seen",
            "transport": "gRPC",
            "advice": "use REST",
            "kind": "SDK",
        },
    ]
    found = setup.packages(rows)
    assert [("x 1", "✕ not seen", "use REST"), ("openai 3", "✓ seen", "")] == [
        (row["Package"], row["Calls are"], row["To know"]) for row in found
    ]


def test_privacy_says_what_is_kept_and_who_said_so() -> None:
    """In words, for each mode."""
    for mode in ("off", "redacted", "full"):
        said = setup.privacy([{"name": "content", "value": mode, "source": "TRIMTAB_CONTENT"}])
        assert said.startswith(f"content = {mode}: ")
        assert "(TRIMTAB_CONTENT)" in said


def test_every_line_to_copy_is_code() -> None:
    """Python compiles, commands begin with a program of ours or pytest."""
    for language, text in setup.CONNECT.values():
        if language == "python":
            compile(text, "line", "exec")
        else:
            assert text.split()[0] in ("trimtab", "pytest")


def test_agents_say_when_they_were_heard_of() -> None:
    """The newest process says what it runs with."""
    row = {"service": "shop", "last_ns": NOW - 5 * 60 * 10**9, "runs": 3, "processes": 2, "script": "shop.py"}
    (found,) = setup.agents([row | {"content_mode": "off", "python": "3.12", "trimtab": "1"}], NOW)
    assert ("shop", "5 min ago", 3, "off") == tuple(found[k] for k in ("Agent", "Last heard of", "Runs", "Texts"))
