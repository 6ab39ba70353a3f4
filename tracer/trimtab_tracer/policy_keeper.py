"""The policy in force in one process, and what is said about every one that is not.

In: documents, and reasons why there is none, from the file (:mod:`.policy_source`) or the network
(:mod:`.policy_remote`). Out: the :class:`~.policy.Policy` to obey now. A module of its own so that a document is
judged alike wherever it came from: a bad one, an older one or one whose lifetime is over leaves the incumbent in force,
and each reason is logged once, until a new version comes.

Lifetimes end by the clock on the wall and by the monotonic one, whichever is first: a clock that is set back, or a
machine that sleeps, does not make a policy live longer. Safe for one writer and any number of readers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from .errors import PolicyError
from .policy import NONE, Policy, parse

log = logging.getLogger("trimtab")

INCUMBENT = "your code's own values hold"
"""What follows from having no policy."""
MAX_SAID = 1000
"""Reasons remembered as logged."""


class _Held(NamedTuple):
    policy: Policy
    ends_s: float
    """On the monotonic clock."""


class PolicyKeeper:
    """What this process was told last.

    Args:
        place: Where the policy comes from, for the log.
        monotonic: Seconds that never go back.
        time_ns: Nanoseconds since the Unix epoch.
    """

    def __init__(
        self,
        place: str,
        monotonic: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._place = place
        self._monotonic = monotonic
        self._time_ns = time_ns
        # One attribute, so that a reader in another thread never sees half of it.
        self._held = _Held(NONE, 0.0)
        # Of the last document that was obeyed, whatever came after it.
        self._version = self._issued_ns = 0
        self._ends_s = 0.0
        self._said: set[str] = set()

    def in_force(self) -> Policy:
        """The policy to obey now; :data:`~.policy.NONE` where there is none or its lifetime is over."""
        policy, ends_s = self._held
        if policy is NONE or (self._monotonic() < ends_s and policy.holds_at(self._time_ns())):
            return policy
        lived = f"version {policy.version} of the policy is over its lifetime of {policy.lifetime_s} s"
        self.say(f"{lived}, and nobody issued it again (does `trimtab up` run?)")
        return NONE

    def offer(self, text: bytes) -> bool:
        """Obey the document that ``text`` is from now on, or nothing if it can't be used; says which."""
        now_ns = self._time_ns()
        try:
            policy = parse(text, now_ns)
            self._check_order(policy)
        except PolicyError as error:
            self.refuse(str(error))
            return False
        if policy.version != self._version:
            self._said.clear()
            frozen = f", which is frozen: {INCUMBENT}" if policy.is_frozen else ""
            log.info("trimtab obeys version %d of the policy from %s%s.", policy.version, self._place, frozen)
        ends_s = self._monotonic() + (policy.issued_ns - now_ns) / 1e9 + policy.lifetime_s
        if policy.issued_ns <= self._issued_ns:  # read again, perhaps after the clock was set back
            ends_s = min(ends_s, self._ends_s)
        self._held = _Held(policy, ends_s)
        self._version, self._ends_s = policy.version, ends_s
        self._issued_ns = max(policy.issued_ns, self._issued_ns)
        return True

    def refuse(self, why: str) -> None:
        """Obey nothing until the next good document, because of ``why``, one or more full sentences."""
        self._held = _Held(NONE, 0.0)
        self.say(f"the policy is refused: {why.rstrip('.')}")

    def withdraw(self, why: str, level: int) -> None:
        """Obey nothing because nobody says anything any more, or yet."""
        self._held = _Held(NONE, 0.0)
        self.say(why, level)

    def say(self, why: str, level: int = logging.WARNING, then: str = INCUMBENT) -> None:
        """Log ``why`` and what follows from it, once."""
        if why in self._said:
            return
        if len(self._said) >= MAX_SAID:
            self._said.clear()
        self._said.add(why)
        log.log(level, "trimtab, %s: %s; %s.", self._place, why, then)

    def _check_order(self, policy: Policy) -> None:
        """Refuse a copy of an earlier document, put back by accident or on purpose."""
        if policy.version < self._version and policy.issued_ns <= self._issued_ns:
            expected = f"at least {self._version}, which was obeyed here and issued later"
            raise PolicyError.unusable("version", str(policy.version), expected)
