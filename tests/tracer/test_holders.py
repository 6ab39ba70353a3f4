"""What an object holds counts for calls from the line that it was told of, and for no other."""

from __future__ import annotations

from contextvars import copy_context

from trimtab_tracer.decisions import HELD, choice, placed
from trimtab_tracer.holders import NOTHING, held_at, hold
from trimtab_tracer.records import Site

LINE, ELSEWHERE, AGENT = (Site(name, "agent.py", "main", n, n, "ask()") for n, name in enumerate("abc", 1))


def test_it_counts_for_the_line_it_was_told_of() -> None:
    """A tool that asks a model by itself has a line of its own; another task has a context of its own."""
    copy_context().run(hold, LINE, [("model", AGENT)])
    assert held_at(LINE) == NOTHING

    def told() -> None:
        hold(LINE, [("model", AGENT)])
        assert held_at(LINE) == (("model", AGENT),)
        assert held_at(ELSEWHERE) == NOTHING

    copy_context().run(told)


def test_only_what_the_code_set_is_moved() -> None:
    """A value that nobody gave is of the call, and what is held and not sent leaves no trace."""
    known = (choice("max_retries", 2, "code"), choice("model", None, HELD, "c", "constructor"))
    known += (choice("stop", None, HELD, "c", "constructor"), choice("seed", None, HELD, "c", "constructor"))
    shown = (choice("model", "m", "code"), choice("stop", None, "default"))
    assert placed(known, shown) == (known[0], choice("model", "m", "code", "c", "constructor"), shown[1])
