"""What a command of ``trimtab`` is.

The dispatcher (:mod:`trimtab.__main__`) lists light commands of its own and those that packages register in
the entry-point group :data:`GROUP`; each entry point names a :class:`Command`. This module is apart from the
dispatcher so that the packages above can make commands without importing the door. A module that holds a
command must be cheap to import: heavy imports belong into ``run``, because ``trimtab --help`` imports every
command's module to show its line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

GROUP = "trimtab.commands"
"""Entry-point group of registered commands: ``name = "module:command"``."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the command line."""

    name: str
    """As typed after ``trimtab``."""
    help: str
    """One line without a full stop."""
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    """Does the work and returns the exit code; a :class:`~.errors.TrimtabError` becomes one sentence on stderr."""
    example: str
    """A line that one would type; the end of the command's help."""
