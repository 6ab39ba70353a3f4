"""Errors: one tree, exit codes, and messages that end in a next step."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from trimtab_tracer import errors
from trimtab_tracer.errors import TrimtabError, near

TREE = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, TrimtabError)}

ARGUMENTS = {
    "path": Path("/h/x"),
    "home": Path("/h"),
    "key": "prot",
    "where": "TRIMTAB_PORT",
    "known": ["port", "host"],
    "name": "port",
    "value": "http",
    "expected": "a whole number",
    "error": OSError(5, "Input/output error"),
    "seen": "a list of numbers",
    "command": "up",
    "extra": "sidecar",
    "module": "duckdb",
    "found": 9,
    "holder_pid": 42,
    "unknown": ["0099_later.sql"],
    "url": "http://127.0.0.1:4319",
    "pid": 42,
    "host": "127.0.0.1",
    "port": 4319,
    "status": 401,
    "detail": "Send the token.",
}
BUILDERS = [
    (kind, name) for kind in TREE.values() for name, member in vars(kind).items() if isinstance(member, classmethod)
]


def test_the_docstring_draws_the_tree() -> None:
    """The module's docstring names every error with the exit code it has."""
    drawn = dict(re.findall(r"(\w+)\s+exit (\d)", errors.__doc__ or ""))
    assert {name: str(kind.exit_code) for name, kind in TREE.items()} == drawn


@pytest.mark.parametrize(("kind", "name"), BUILDERS, ids=[f"{k.__name__}.{n}" for k, n in BUILDERS])
def test_messages_are_sentences_with_the_values_seen(kind: type[TrimtabError], name: str) -> None:
    """Each long message is one or more sentences on one line and quotes at least one value it was given."""
    build = getattr(kind, name)
    given = {p: 3 if p == "known" and "schema" in name else ARGUMENTS[p] for p in inspect.signature(build).parameters}
    message = str(build(**given))
    assert isinstance(build(**given), kind)
    assert "\n" not in message
    assert message.endswith((".", ")", "again.", "somewhere."))
    assert any(str(value) in message for value in given.values())


def test_near_candidates() -> None:
    """A misspelt name gets its neighbours offered, a far one gets none."""
    assert near("prot", ["port", "home"]) == " Did you mean 'port'?"
    assert near("zzz", ["port", "home"]) == ""
