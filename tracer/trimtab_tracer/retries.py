"""When a failed request of a call is sent again by us, after which pause and to which model. Sans-IO.

In: what became of each request (:class:`Failure`), what a policy says (:class:`Terms`), what the code around us would
have done (the incumbent's retries), what may be spent beyond that (:class:`Purse`) and what the provider's state and
the call's time allow (:class:`Gate`). Out: one :class:`Step` at a
time, or None to hand the failure on. A module of its own because this is arithmetic that must hold for every order of
failures: it is tested without a network, and :mod:`.instrument.send_again` only carries it out.

Failures are judged as the SDKs of OpenAI and Anthropic judge them (408, 409, 429, 5xx, lost connections and
timeouts), but for those that no repetition heals.
"""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, NamedTuple, Protocol

from .caps import MAX_CALL_DELAY_S, Guardrails
from .shapes import value_class
from .wire.errors import classify
from .wire.values import loads, obj, provider_error, text

SDK_STATUSES = frozenset({408, 409, 429})
"""Statuses below 500 that the SDKs send again after."""

FUTILE = frozenset({"quota", "context_overflow", "auth"})
"""Classes that come with such a status too, and that no repetition heals."""

UNFIT = frozenset({"not_found", "auth", "bad_request", "context_overflow"})
"""Classes that a fallback model fails with because it is the wrong one for this request."""

LIBRARY_ERRORS = frozenset(
    {("httpx", "RequestError"), ("httpx2", "RequestError"), ("ssl", "SSLError"), ("anyio", "EndOfStream")}
)
"""Exceptions, with those derived from them, that the SDKs take for a failed transport; a user's own are none."""

SDK_MAX_DELAY_S = 120.0
"""Longest pause that a provider may ask for and that OpenAI's SDK waits; Anthropic's has no bound."""

BROKEN = frozenset({"timeout", "connection", "stream_broken"})
"""Classes of exceptions that the SDKs send again after."""


@value_class
class Failure:
    """What became of one request."""

    error_class: str
    """As in :mod:`.wire.errors`."""
    is_transient: bool
    """Whether the SDKs would send it again, were the provider silent about that."""
    said: bool | None = None
    """The provider's ``x-should-retry``."""
    retry_after_s: float | None = None
    """How long the provider asks to wait; more than 0, or None."""
    status: int | None = None
    """Of the response; None where none came."""

    @property
    def sdk_repeats(self) -> bool:
        """Whether an SDK with retries left would send it again."""
        return self.is_transient if self.said is None else self.said

    @property
    def is_repeatable(self) -> bool:
        """Whether sending the same again makes sense."""
        return self.sdk_repeats if self.said is not None else self.is_transient and self.error_class not in FUTILE


def of_status(status: int, headers: Mapping[str, str], body: bytes | None, now_s: float | None = None) -> Failure:
    """The failure that a response with ``status`` >= 400 is; without its ``body`` the status alone tells the class."""
    said = obj(loads(body)) if body else {}
    error = provider_error(said)
    message = error.message or text(said.get("message")) or text(said.get("detail"))
    return Failure(
        error_class=classify(status, None, error.type, error.code, message) or "other",
        is_transient=status in SDK_STATUSES or status >= 500,
        said={"true": True, "false": False}.get(headers.get("x-should-retry", "")),
        retry_after_s=retry_after(headers, time.time() if now_s is None else now_s),
        status=status,
    )


def of_error(error: BaseException, *, is_any: bool = False) -> Failure | None:
    """The failure that an exception out of a request is; None where it is no failed transport but someone's own.

    Args:
        error: The exception.
        is_any: The SDK around the request takes every exception for a failed transport, as Anthropic's does.
    """
    if not isinstance(error, Exception) or not (is_any or _is_the_librarys(type(error))):
        return None
    error_class = classify(None, type(error).__name__)
    return Failure(error_class if error_class in BROKEN else "other", True)


def _is_the_librarys(cls: type) -> bool:
    """Whether it is what the HTTP libraries raise for a request, and the SDKs send it again after."""
    names = {(base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__}
    return not names.isdisjoint(LIBRARY_ERRORS)


def retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds that the provider asks to wait: ``retry-after-ms``, or ``retry-after`` as a number or as a date.

    None where it does not ask, or for nothing that lies ahead.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            asked = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return asked if asked > 0 and math.isfinite(asked) else None  # also not a number
    if "retry-after" not in headers:
        return None
    try:
        when = email.utils.parsedate_tz(headers.get("retry-after", ""))
        asked = email.utils.mktime_tz(when) - now_s if when is not None else 0.0
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return asked if asked > 0 else None


class Backoff(NamedTuple):
    """Pauses that grow; the defaults are those of the SDKs."""

    initial_s: float = 0.5
    factor: float = 2.0
    max_s: float = 8.0
    jitter: float = 0.25
    """Up to this share of a pause is left out at random, so that agents do not come back all at once."""

    def delay_s(self, n: int, draw: float) -> float:
        """Pause number ``n`` from 0; ``draw`` is uniform on [0, 1)."""
        pause = self.initial_s * self.factor ** min(n, 64)
        return min(pause, self.max_s) * (1 - self.jitter * draw)


@value_class
class Terms:
    """What is in force for the retries of one call."""

    max_retries: int | dict[str, int] | None = None
    """By a policy; None for the incumbent's. By error class, status (``"529"``) or class of statuses (``"5xx"``)."""
    backoff: Backoff = field(default_factory=Backoff)
    fallback_on: frozenset[str] = frozenset()
    """Error classes after which another model is asked at once."""
    fallback_models: tuple[str, ...] = ()
    caps: Guardrails = field(default_factory=Guardrails)

    @classmethod
    def of(cls, values: Mapping[str, Any], caps: Guardrails) -> Terms:
        """From the values of the knobs ``max_retries``, ``backoff`` and ``fallback``, as far as they are steered."""
        backoff, fallback = values.get("backoff"), values.get("fallback")
        return cls(
            max_retries=values.get("max_retries"),
            backoff=Backoff(**backoff) if backoff is not None else Backoff(),
            fallback_on=frozenset(fallback["on"]) if fallback is not None else frozenset(),
            fallback_models=tuple(fallback["models"]) if fallback is not None else (),
            caps=caps,
        )

    @property
    def tells_classes_apart(self) -> bool:
        """Whether it matters what exactly failed, beyond its status."""
        return isinstance(self.max_retries, dict) or bool(self.fallback_models)

    def allowed(self, failure: Failure, incumbent: int) -> int:
        """Retries of a call that fails so: the number of the narrowest name that the policy has for it."""
        if not isinstance(self.max_retries, dict):
            return incumbent if self.max_retries is None else self.max_retries
        status = failure.status
        named = (failure.error_class,) if status is None else (str(status), failure.error_class, f"{status // 100}xx")
        return next((self.max_retries[n] for n in (*named, "other") if n in self.max_retries), incumbent)

    def names(self, failure: Failure) -> bool:
        """Whether the policy has a number of retries for this very class or status."""
        return isinstance(self.max_retries, dict) and (
            failure.error_class in self.max_retries or str(failure.status) in self.max_retries
        )


class Purse(Protocol):
    """What one call may send beyond what the code around us would have sent; see :mod:`.extras`."""

    def owed(self) -> int:
        """Retries that earlier calls of the same body made in advance, and that this one is to save."""
        ...

    def grant(self) -> bool:
        """Whether one more request may be sent that the incumbent would not send; it counts as sent."""
        ...

    def settle(self, saved: int) -> None:
        """The call has failed, ``saved`` requests earlier than the incumbent would have."""
        ...


class Gate(Protocol):
    """What the state of the provider and the time of the call allow, whoever asks; see :mod:`.delivery`."""

    def is_shut(self, model: str | None) -> bool:
        """Whether a request to ``model`` would be turned away now; None for the model of the last one."""
        ...

    def has_time(self, delay_s: float) -> bool:
        """Whether the call may still be under way after this pause."""
        ...

    def pay(self, failure: Failure) -> bool:
        """Pay for one request after ``failure``, if that can be paid for."""
        ...

    def give_back(self) -> None:
        """The request that was paid for last is not sent."""
        ...


class OpenGate:
    """Allows everything: where no policy says otherwise."""

    def is_shut(self, model: str | None) -> bool:
        """Never."""
        return False

    def has_time(self, delay_s: float) -> bool:
        """Always."""
        return True

    def pay(self, failure: Failure) -> bool:
        """For nothing."""
        return True

    def give_back(self) -> None:
        """Nothing."""


OPEN = OpenGate()

OWN_MODEL = ""
"""Stands for the model that the call began with."""


class Step(NamedTuple):
    """The request is to be sent again."""

    delay_s: float
    """After this pause."""
    model: str | None
    """To this model, or :data:`OWN_MODEL`; None for the same as last time."""


class RetryLoop:
    """The retries of one call. Not thread-safe: a call is sent by one thread or task.

    Args:
        terms: What is in force.
        incumbent: Retries that the code around us would make.
        purse: What may be spent beyond that.
        gate: What may be sent at all.
    """

    def __init__(self, terms: Terms, incumbent: int, purse: Purse, gate: Gate = OPEN) -> None:
        self._terms = terms
        self._gate = gate
        self._incumbent = incumbent
        self._purse = purse
        self._models = list(terms.fallback_models)
        self._incumbent_goes_on = True
        self._fell_back_from: Failure | None = None
        self._pauses = 0
        self._waited_s = 0.0
        self.retries = 0
        """Requests sent again so far."""
        self.tells_classes_apart = terms.tells_classes_apart
        """Whether it matters what exactly failed, beyond its status."""

    def next(
        self,
        failure: Failure,
        *,
        holds: bool,
        draw: Callable[[], float],
        may_wait: Callable[[], bool],
        was_sent: bool = True,
    ) -> Step | None:
        """What to do after ``failure``; None to hand it on.

        Args:
            failure: Of the request sent last.
            holds: Whether the policy still does; if not, the incumbent's terms are in force from here on.
            draw: Gives numbers uniform on [0, 1).
            may_wait: Takes a place to wait in, if there is one.
            was_sent: Whether a request went out at all. What goes to another model instead of one that did not is no
                request more.
        """
        cause = self._fell_back_from
        leaves = cause is not None and (failure.error_class in UNFIT or not holds)
        if cause is not None and failure.error_class in UNFIT:
            failure = cause  # what the agent would have met; the other model was worth a try
        goes_on = self._incumbent_goes_on and failure.sdk_repeats and self.retries < self._incumbent
        self._incumbent_goes_on = goes_on
        step = self._paid_step(failure, goes_on, holds, draw, may_wait) if was_sent else self._instead(failure, holds)
        if step is None:
            self._purse.settle(self._incumbent - self.retries if goes_on else 0)
            return None
        self.retries += 1
        if step.model is not None:
            self._fell_back_from = failure
            return step
        self._pauses += 1
        self._waited_s += step.delay_s
        if leaves:
            self._fell_back_from = None
            return step._replace(model=OWN_MODEL)
        return step

    def _paid_step(
        self,
        failure: Failure,
        goes_on: bool,
        holds: bool,
        draw: Callable[[], float],
        may_wait: Callable[[], bool],
    ) -> Step | None:
        """The step, where it is paid for; once the policy is gone nothing costs."""
        if not holds:
            return self._step(failure, goes_on, holds, draw, may_wait)
        if not self._gate.pay(failure):
            return None
        step = self._step(failure, goes_on, holds, draw, may_wait)
        if step is None:
            self._gate.give_back()
        return step

    def _instead(self, failure: Failure, holds: bool) -> Step | None:
        """To another model in the place of a request that was not sent."""
        return Step(0.0, self._models.pop(0)) if holds and self._may_fall_back(failure, self._terms) else None

    def _step(
        self,
        failure: Failure,
        goes_on: bool,
        holds: bool,
        draw: Callable[[], float],
        may_wait: Callable[[], bool],
    ) -> Step | None:
        terms = self._terms if holds else Terms(caps=self._terms.caps)
        is_own = goes_on and self.retries < self._incumbent - self._purse.owed()
        if self._may_fall_back(failure, terms) and (is_own or (holds and self._purse.grant())):
            return Step(0.0, self._models.pop(0))
        if not self._may_repeat(failure, terms) or (holds and self._gate.is_shut(None)):
            return None
        delay_s = self._delay_s(failure, terms, draw, is_own)
        if delay_s is None or not self._gate.has_time(delay_s):
            return None
        if is_own:
            return Step(delay_s, None)
        if not holds or (delay_s > 0 and not may_wait()) or not self._purse.grant():
            return None
        return Step(delay_s, None)

    def _may_fall_back(self, failure: Failure, terms: Terms) -> bool:
        if failure.error_class not in terms.fallback_on or not self._gate.has_time(0.0):
            return False
        while self._models and self._gate.is_shut(self._models[0]):
            self._models.pop(0)  # down as well
        if not self._models:
            return False
        allowed = terms.allowed(failure, self._incumbent)
        # Without any retries each model is still worth one request; with some, it counts as one of them.
        return self.retries < (allowed or terms.caps.max_retries)

    def _may_repeat(self, failure: Failure, terms: Terms) -> bool:
        if failure.said is False or not (failure.is_repeatable or terms.names(failure)):
            return False
        return self.retries < terms.allowed(failure, self._incumbent)

    def _delay_s(self, failure: Failure, terms: Terms, draw: Callable[[], float], is_own: bool) -> float | None:
        """The pause before the same is sent again; None where the caps do not allow it.

        What the incumbent would have waited for on the provider's word is no policy's doing, and is waited for.
        """
        longest = terms.caps.max_delay_s
        asked = failure.retry_after_s
        if asked is None:
            delay_s = min(terms.backoff.delay_s(self._pauses, draw()), longest)
        elif asked <= (max(longest, SDK_MAX_DELAY_S) if is_own else longest):
            delay_s = asked
        else:
            return None  # coming back earlier than the provider asked for would be in vain
        return delay_s if is_own or self._waited_s + delay_s <= MAX_CALL_DELAY_S else None
