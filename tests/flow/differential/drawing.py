"""Cases that Hypothesis draws, and the smallest of those that fail.

Apart from :mod:`cases` because the cases there are the same for every failure; here each one may lead to others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import hypothesis
from cases import APIS, Case, axes, is_possible
from hypothesis import strategies as st
from hypothesis.errors import Flaky

REPEATS = 10
"""How many cases are drawn at most for each that is to be tried: Hypothesis comes back to what it drew before."""


class Failure(NamedTuple):
    """A case, and in what its arms differ."""

    case: Case
    differences: list[str]


class DifferentError(Exception):
    """The arms of a case differ."""


class EnoughError(KeyboardInterrupt):
    """All cases were tried: one of the exceptions that Hypothesis does not take for a failure."""


def cases() -> st.SearchStrategy[Case]:
    """Any case that can be played; simplest are the first values of its axes."""

    def of_api(api: str) -> st.SearchStrategy[Case]:
        return st.builds(Case, st.just(api), **{axis: st.sampled_from(values) for axis, values in axes(api).items()})

    return st.sampled_from(APIS).flatmap(of_api).filter(is_possible)


def smallest_failure(
    drawn: st.SearchStrategy[Case], count: int, seed: int, examine: Callable[[Case], list[str]]
) -> Failure | None:
    """Draw ``count`` cases; of those that fail the smallest one that Hypothesis finds, None where none does.

    Args:
        drawn: What to draw from.
        count: How many different cases to try.
        seed: The same number draws the same cases.
        examine: Plays a case, and says in what its arms differ.
    """
    known: dict[Case, list[str]] = {}
    failed: list[Failure] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=REPEATS * count,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        report_multiple_bugs=False,
    )
    @hypothesis.given(drawn)
    def attempt(case: Case) -> None:
        if case not in known:
            if len(known) >= count and not failed:
                raise EnoughError
            known[case] = examine(case)
        if known[case]:
            failed.append(Failure(case, known[case]))
            raise DifferentError

    if count:
        try:
            attempt()
        except EnoughError:
            return None
        except (DifferentError, Flaky):
            return failed[-1]  # what it shows last is the smallest
    return None
