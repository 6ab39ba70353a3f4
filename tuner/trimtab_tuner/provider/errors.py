"""Errors of the scripted provider: a scenario that can't be used, a server that can't start.

In: what was seen, what was expected. Out: one message of full sentences that ends in the next step. Apart from the
other modules so that the command line and tests can catch these without importing the server.

::

    TrimtabError
    ├── ScenarioError     exit 2   a scenario file can't be read, or holds something unknown
    └── ProviderError     exit 3   the provider can't listen where it was told to
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

from trimtab_tracer.errors import TrimtabError, near


class ScenarioError(TrimtabError):
    """A scenario can't be read or says something that has no meaning."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def unknown_key(cls, where: str, key: str, known: Iterable[str]) -> Self:
        """``where`` (a path such as ``scenario: rules[2].fault``) has a ``key`` that means nothing there."""
        names = sorted(known)
        return cls(f"{where}: there is no key {key!r}.{near(key, names)} Known here: {', '.join(names)}.")

    @classmethod
    def bad_value(cls, where: str, value: object, expected: str) -> Self:
        """The value at ``where`` is not what was ``expected``."""
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return cls(f"{where} is {shown}, expected {expected}. Correct it there and start again.")

    @classmethod
    def bad_choice(cls, where: str, value: object, known: Iterable[str]) -> Self:
        """The value at ``where`` is none of the ``known`` words."""
        names = sorted(known)
        hint = near(str(value), names)
        return cls(f"{where} is {value!r}, expected one of {', '.join(names)}.{hint} Correct it there and start again.")

    @classmethod
    def unreadable(cls, path: Path, error: Exception) -> Self:
        """The file at ``path`` can't be opened, or is no TOML or JSON."""
        return cls(f"{path}: the scenario can't be read: {error}. Name a .toml or .json file; see docs/provider.md.")


class ProviderError(TrimtabError):
    """The provider can't listen where it was told to."""

    exit_code: ClassVar[int] = 3

    @classmethod
    def not_loopback(cls, host: str) -> Self:
        """``host`` is no address of this machine's loopback."""
        return cls(
            f"The scripted provider listens on the loopback only and {host!r} is not part of it;"
            " use 127.0.0.1, ::1 or localhost."
        )

    @classmethod
    def port_in_use(cls, host: str, port: int) -> Self:
        """Something else listens on ``port``."""
        return cls(f"Port {port} on {host} is in use by another program; name another one, or 0 to get a free one.")

    @classmethod
    def cannot_listen(cls, host: str, port: int, error: OSError) -> Self:
        """The operating system refused the address for another reason."""
        return cls(f"Can't listen on {host} port {port}: {error.strerror or error}; choose another host or port.")

    @classmethod
    def bad_log(cls, path: Path, error: OSError) -> Self:
        """The request log can't be opened for appending."""
        return cls(f"{path}: the request log can't be written: {error.strerror or error}; name another file.")
