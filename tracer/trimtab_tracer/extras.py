"""What may be sent beyond what the agent would have sent without us, in this process: requests and tokens.

In: every request that a retry loop of ours wants to send on top of the incumbent's, and what steered calls cost. Out:
yes or no. A module of its own because this is what keeps a policy from making an outage worse, whatever it says:

- Frameworks repeat whole calls in loops of their own. What one call sends in advance for a body, later calls of the
  same body save again, so that a permanent failure costs no more requests in all; and while the body keeps failing
  there is no second advance. A success ends it. A call always sends its first request, so what later calls can't save
  (they have no retries) remains: at most one advance.
- Each host has a budget of advances. One that brought an answer is given back; other successes fill it again slowly.
- Above a number of tokens per hour nothing that costs more is steered.

Everything is bounded and lost with the process.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

HOST_BUDGET = 20
"""Requests in advance to one host, without any success in between."""
SUCCESSES_PER_ADVANCE = 10
"""How many of them give one request back."""
MAX_HOSTS = 256
"""Hosts remembered."""
REPEAT_WINDOW_S = 300.0
"""How long after its last failure a body counts as being repeated by somebody."""
MAX_BODIES = 10_000
"""Failing bodies remembered."""
HOUR_S = 3600.0
"""The time that tokens are counted over."""
SLICE_S = 60.0
"""How exactly it is known when they were spent."""

FULL = HOST_BUDGET * SUCCESSES_PER_ADVANCE

Key = tuple[str, str]
"""Run and digest of the body as the agent sent it."""


@dataclass(slots=True)
class _Failing:
    """A body that failed although more was sent than the agent would have."""

    owed: int
    holder: Account | None
    """The call that sends more just now."""
    seen_s: float


class Extras:
    """The requests sent in advance by this process. Thread-safe, also where a signal handler interrupts."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failing: OrderedDict[Key, _Failing] = OrderedDict()
        self._budgets: OrderedDict[str, int] = OrderedDict()  # in successes
        self._lock = threading.RLock()

    def account(self, run_id: str, body_digest: str, host: str, allowed: Callable[[], bool]) -> Account:
        """The purse of one call; ``allowed`` tells whether anything at all may be spent."""
        return Account(self, (run_id, body_digest), host, allowed)

    def owed(self, account: Account) -> int:
        """See :class:`Account`."""
        with self._lock:
            failing = self._known(account.key)
            if failing is None or failing.holder is not None:
                return 0
            failing.seen_s = self._monotonic()
            return failing.owed

    def grant(self, account: Account) -> bool:
        """See :class:`Account`."""
        with self._lock:
            failing = self._known(account.key)
            if failing is not None and failing.holder is not account:
                return False
            budget = self._budgets.get(account.host, FULL)
            if budget < SUCCESSES_PER_ADVANCE:
                return False
            self._set_budget(account.host, budget - SUCCESSES_PER_ADVANCE)
            account.advances += 1
            if failing is None:
                failing = self._failing[account.key] = _Failing(0, account, 0.0)
                if len(self._failing) > MAX_BODIES:
                    self._failing.popitem(last=False)
            failing.owed += 1
            failing.seen_s = self._monotonic()
            return True

    def settle(self, account: Account, saved: int) -> None:
        """See :class:`Account`."""
        with self._lock:
            failing = self._known(account.key)
            if failing is not None:
                failing.owed = max(0, failing.owed - saved)
                failing.seen_s = self._monotonic()
                if failing.holder is account:
                    failing.holder = None

    def succeeded(self, account: Account) -> None:
        """See :class:`Account`."""
        with self._lock:
            self._failing.pop(account.key, None)
            if account.host in self._budgets:
                # What brought an answer was worth it: a fallback may go on for as long as an outage lasts.
                regained = account.advances * SUCCESSES_PER_ADVANCE + 1
                self._set_budget(account.host, min(self._budgets[account.host] + regained, FULL))

    def _known(self, key: Key) -> _Failing | None:
        failing = self._failing.get(key)
        if failing is not None and self._monotonic() - failing.seen_s > REPEAT_WINDOW_S:
            del self._failing[key]
            return None
        return failing

    def _set_budget(self, host: str, budget: int) -> None:
        self._budgets[host] = budget
        self._budgets.move_to_end(host)
        if len(self._budgets) > MAX_HOSTS:
            self._budgets.popitem(last=False)


class Account:
    """One call's part in it; what a :class:`.retries.RetryLoop` asks."""

    __slots__ = ("_allowed", "_extras", "advances", "host", "key")

    def __init__(self, extras: Extras, key: Key, host: str, allowed: Callable[[], bool]) -> None:
        self._extras = extras
        self._allowed = allowed
        self.key = key
        self.host = host
        self.advances = 0
        """Granted to this call so far."""

    def owed(self) -> int:
        """Requests that earlier calls of the same body sent in advance and that this call is to save."""
        return self._extras.owed(self)

    def grant(self) -> bool:
        """Whether one more request may be sent in advance; it counts as sent."""
        return self._allowed() and self._extras.grant(self)

    def settle(self, saved: int) -> None:
        """The call has failed, ``saved`` requests earlier than it would have without us."""
        self._extras.settle(self, saved)

    def succeeded(self) -> None:
        """The call has an answer."""
        self._extras.succeeded(self)


class TokenMeter:
    """Tokens spent within the last hour. Thread-safe, also where a signal handler interrupts."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._slices: deque[tuple[float, int]] = deque()
        self._spent = 0
        self._lock = threading.RLock()

    def add(self, tokens: int) -> None:
        """Count ``tokens`` as spent now."""
        with self._lock:
            now = self._monotonic()
            if self._slices and now - self._slices[-1][0] < SLICE_S:
                begun, spent = self._slices.pop()
                self._slices.append((begun, spent + tokens))
            else:
                self._slices.append((now, tokens))
            self._spent += tokens

    def spent(self) -> int:
        """Tokens of the last hour, by a minute more or less."""
        with self._lock:
            while self._slices and self._monotonic() - self._slices[0][0] > HOUR_S:
                self._spent -= self._slices.popleft()[1]
            return self._spent
