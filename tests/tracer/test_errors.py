"""Errors: one tree, exit codes, and messages that end in a next step."""

from __future__ import annotations

import errno
import inspect
import os
import re
from pathlib import Path

import pytest

from trimtab_tracer import errors
from trimtab_tracer.errors import SidecarError, StoreError, TrimtabError, is_full, near, whose

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
    "token_path": Path("/h/token"),
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_a_sentence_of_its_own(code: int) -> None:
    """A used-up disk or quota is told as such, from the system and in DuckDB's words; no other error is."""
    system = OSError(code, os.strerror(code))
    database = RuntimeError(f'IO Error: Could not write file "/h/trimtab.duckdb": {os.strerror(code)}')
    for error in (system, database):
        assert str(StoreError.unreadable(Path("/h/trimtab.duckdb"), error)) == (
            "There is no space left on /h; free some and try again: nothing in the spool is lost."
        )
    assert "no space left on /h;" in str(SidecarError.home_not_writable(Path("/h"), system))
    assert not is_full(OSError(errno.EIO, "No space left on device"))
    assert not is_full(ValueError("no"))


def test_a_forbidden_path_is_told_with_owner_and_mode(tmp_path: Path) -> None:
    """Where permissions are in the way, the sentence names owner and mode of what is there, or of the folder above."""
    tmp_path.chmod(0o750)
    said = whose(tmp_path / "none" / "file")
    assert said.startswith(f"{tmp_path} belongs to ")
    assert " with mode 0750, and this is " in said
    error = StoreError.unreadable(tmp_path, RuntimeError(f"IO Error: {os.strerror(errno.EACCES)}"))
    assert f"{tmp_path} belongs to " in str(error)
    assert "Move the file away" not in str(error)
