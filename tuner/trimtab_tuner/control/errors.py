"""Why a decision was not taken.

::

    TrimtabError
    └── ControlError            exit 1   ``status`` is what the API answers with
        ├── NotThere            404      no such recommendation, experiment, rule, version or run
        ├── Conflict            409      someone decided before, or something running is in the way
        ├── Refused             422      a value that can't be used
        └── Unfinished          503      decided, but not everywhere yet: file or store can't be written just now

In: what was asked and what is there. Out: one message of full sentences that names who decided what and when, says
whether anything was changed, and ends in the next step. Apart from :mod:`trimtab_tracer.errors` because nothing
inside an agent ever raises these.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from trimtab_tracer.errors import TrimtabError, is_full
from trimtab_tracer.policy_json import shown


class ControlError(TrimtabError):
    """A decision that was not taken, or not wholly."""

    status: ClassVar[int]
    """HTTP status of the answer."""


class NotThere(ControlError):  # noqa: N818 - reads as the sentence it stands for
    """What the decision is about does not exist."""

    status = 404

    @classmethod
    def named(cls, what: str, name: object, where: str) -> Self:
        """There is no ``what`` called ``name``; ``where`` lists what there is."""
        return cls(f"There is no {what} {shown(name)}; {where} lists what there is. Nothing was changed.")


class Conflict(ControlError):  # noqa: N818 - as above
    """Someone decided before, or something that runs is in the way."""

    status = 409

    @classmethod
    def overtaken(cls, what_happened: str) -> Self:
        """``what_happened`` ("alice accepted this at 14:03:07 UTC") since the caller looked."""
        return cls(f"{what_happened}; nothing was changed. Look again and decide then.")

    @classmethod
    def not_in_state(cls, what_happened: str, may: str) -> Self:
        """``what_happened``, and ``may`` says what that leaves to be done."""
        return cls(f"{what_happened}; {may} Nothing was changed.")

    @classmethod
    def in_the_way(cls, what: str, wanted: str, next_step: str) -> Self:
        """``what`` steers the calls that ``wanted`` would steer."""
        return cls(f"{what} steers the same knob for calls that {wanted} would steer; {next_step} Nothing was changed.")


class Refused(ControlError):  # noqa: N818 - as above
    """A value that can't be used."""

    status = 422

    @classmethod
    def unusable(cls, what: str, seen: object, expected: str) -> Self:
        """``what`` is ``seen``, and should be ``expected``."""
        return cls(f"{what} is {shown(seen)}, expected {expected}. Nothing was changed.")

    @classmethod
    def by_policy(cls, error: Exception) -> Self:
        """Agents would refuse a policy with this in it."""
        return cls(f"{error} No agent would take such a policy, so nothing was changed; correct it and try again.")


class Unfinished(ControlError):  # noqa: N818 - as above
    """The decision stands, but file or store could not be written yet."""

    status = 503

    @classmethod
    def unpublished(cls, path: Path, error: OSError) -> Self:
        """The decision is stored; the policy file could not be written."""
        free = " Free some space there." if is_full(error) else ""
        return cls(
            f"The decision is stored, but {path} could not be written: {error.strerror or error}.{free}"
            " It will be published as soon as the file can be written; do not decide again."
        )

    @classmethod
    def unstored(cls, path: Path, error: Exception) -> Self:
        """The policy file says frozen; the store could not take it."""
        return cls(
            f"Steering is stopped, but {path} could not take it: {error}."
            " It stays stopped, and is stored as soon as the store can be written; free space if the disk is full."
        )
