"""Which column of a table plays which part, and a helpful sentence where none does.

In: the names of a table's columns, and what the user named. Out: one column per part, or :class:`ColumnError`. A module
of its own because tables of runs come from anywhere, and most mistakes are made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from trimtab_tracer.errors import TrimtabError, near

GUESSES: Final[dict[str, tuple[str, ...]]] = {
    "harness": ("harness", "harness_version", "scaffold", "agent", "framework", "edit_format", "version"),
    "model": ("model", "model_name", "model_id", "llm"),
    "task": ("task", "task_id", "instance_id", "qid", "question_id", "problem_id", "prompt_id"),
    "success": ("success", "resolved", "correct", "passed", "is_correct", "reward", "score", "accuracy", "pass_rate"),
    "cost": ("cost_usd", "cost", "total_cost_usd", "usd"),
    "latency": ("duration_s", "latency_s", "latency", "duration", "seconds", "time_s"),
}
"""Names that a part's column usually has, tried in this order, whatever their case."""
STEMS: Final[dict[str, tuple[str, ...]]] = {
    "success": ("success", "pass", "solved", "correct", "reward", "score", "accura"),
    "cost": ("cost", "usd", "price"),
    "latency": ("latency", "second", "duration", "time"),
    "harness": ("harness", "scaffold", "agent", "format", "version", "prompt"),
    "model": ("model", "llm"),
    "task": ("task", "instance", "question", "problem", "id"),
}
"""What the names of other columns may hold that are worth a look for a part."""
NEVER_RAN: Final = ("calls", "api_calls", "llm_calls", "n_calls", "num_calls", "tokens", "total_tokens")
"""Columns that are 0 where an agent never started."""


class ColumnError(TrimtabError):
    """A table lacks a column, or one can't be used."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def missing(cls, part: str, name: str, known: Iterable[str], source: str) -> ColumnError:
        """The column that was named is not there."""
        columns = list(known)
        return cls(
            f"{source} has no column {name!r} for {part}.{near(name, columns)} Its columns are {_listed(columns)}."
            f" Name the right one with --{part} COLUMN."
        )

    @classmethod
    def nothing(cls, what: str, parts: Iterable[str], known: Iterable[str], source: str) -> ColumnError:
        """No column could be guessed for any of these parts."""
        columns = list(known)
        options = " or ".join(f"--{part} {_candidate(part, columns)}" for part in parts)
        return cls(
            f"{source} has {what} under no name that is known here. Its columns are {_listed(columns)}."
            f" Name one, such as {options}."
        )

    @classmethod
    def unusable(cls, part: str, name: str, seen: str, expected: str) -> ColumnError:
        """The column holds something else."""
        return cls(
            f"Column {name!r} can't be {part}: it holds {seen}, expected {expected}. Name another --{part} COLUMN."
        )


def _candidate(part: str, columns: list[str]) -> str:
    """The first column that may be meant, else a placeholder."""
    return next((one for stem in STEMS[part] for one in columns if stem in one.lower()), "COLUMN")


def _listed(columns: list[str]) -> str:
    return ", ".join(columns[:40]) + (f" and {len(columns) - 40} more" if len(columns) > 40 else "")


def assigned(known: Iterable[str], named: Mapping[str, str | None], source: str) -> dict[str, str]:
    """The column of each part that was named or can be guessed.

    Args:
        known: the table's columns.
        named: part to column, as the user said; None where they said nothing.
        source: what to call the table in errors.

    Raises:
        ColumnError: a named column is not there.
    """
    columns = list(known)
    found: dict[str, str] = {}
    for part, name in named.items():
        if name is not None:
            if name not in columns:
                raise ColumnError.missing(part, name, columns, source)
            found[part] = name
    lower = {column.lower(): column for column in reversed(columns)}
    for part, names in GUESSES.items():
        if part not in found:
            guess = next((lower[name] for name in names if name in lower), None)
            if guess is not None and guess not in found.values():
                found[part] = guess
    return found
