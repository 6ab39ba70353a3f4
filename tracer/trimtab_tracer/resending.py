"""The requests of one steered call: the first one, and those that our retry loop sends after a failure.

In: the agent's request, what is asked instead (:mod:`.rewrite`), and each failure. Out: a :class:`Sending` to send now,
or :class:`Again` with the pause before it. A module of its own because it joins the arithmetic of :mod:`.retries` with
requests of the HTTP libraries; it sends nothing itself.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from . import endpoints, rewrite
from .decisions import Plan
from .extras import Account
from .headers import picked
from .retries import OWN_MODEL, Failure, RetryLoop
from .rewrite import Draft
from .setting_values import Endpoint
from .shapes import value_class

if TYPE_CHECKING:
    from .steering import Steering

SDK_HEADER = "x-stainless-retry-count"
"""Stands on requests of an SDK that sends them again by itself."""


_SDK_HEADERS = frozenset((SDK_HEADER.encode("ascii"),))


def sdk_retry_of(request: Any) -> int | None:
    """Which retry an SDK says ``request`` is; None where no SDK says so."""
    said = picked(request.headers, _SDK_HEADERS).get(SDK_HEADER)
    return int(said) if said is not None and said.isdecimal() else None


class Sending(NamedTuple):
    """One request as it goes out."""

    request: Any
    body: bytes | None
    model: str | None
    is_spending: bool = False
    """Whether it may cost more than what the agent would have sent, so that its tokens are counted."""
    plain: Sending | None = None
    """The same without our question for its usage (:mod:`.include_usage`); None where there is none in it."""
    was_refused: bool = False
    """Whether the server has just refused the same with that question."""


class Again(NamedTuple):
    """The next request of a call, and the pause before it."""

    delay_s: float
    sending: Sending


@value_class
class Destination:
    """Another endpoint, as a call is made."""

    endpoint: Endpoint
    key: str | None
    """None where it needs none."""

    @property
    def name(self) -> str:
        """What policies call it."""
        return self.endpoint.name


@value_class
class Outgoing:
    """Makes the requests of one call."""

    request: Any
    """As the agent made it; stays as it is."""
    body: bytes | None
    model: str | None
    asked: Draft | None
    """What the agent asks; None where that may not be changed or need not be known."""
    draft: Draft | None
    """What is asked instead; ``asked`` where nothing is."""
    timeout: dict[str, float | None] | None
    """Other timeouts than the request's."""
    bare: Draft | None = None
    """What is asked without the parameters in ``changed``."""
    changed: tuple[str, ...] = ()
    """Knobs of :mod:`.body_knobs` that make ``draft`` another one than ``bare``."""
    destination: Destination | None = None
    """Where it goes instead."""
    first: str | None = None
    """The model that is asked first (``escalate``)."""

    @property
    def host(self) -> str:
        """Of the agent's own provider."""
        return str(self.request.url.host)

    @property
    def model_asked(self) -> str | None:
        """The model that is asked instead of the agent's, or that one, but for the one that is asked first."""
        return self.draft.model if self.draft is not None else self.model

    def without_params(self) -> Outgoing:
        """The same without :mod:`.body_knobs`."""
        return replace(self, draft=self.bare, changed=())

    def without_destination(self) -> Outgoing:
        """The same to the agent's own provider."""
        return replace(self, destination=None)

    def without_first(self) -> Outgoing:
        """The same asking the call's own model."""
        return replace(self, first=None)

    def sending(self, fallback: str | None = None, retries: int = 0, is_extra: bool = False) -> Sending:
        """The request after ``retries`` others, to the model ``fallback`` where one is named."""
        draft, model = self.draft, fallback or self.first
        if draft is not None and model is not None:
            draft = draft.with_model(model) or draft
        count = self._retry_count(retries) if retries else None
        if draft is None or (draft is self.asked and self.destination is None):
            if count is None and self.timeout is None:
                return Sending(self.request, self.body, self.model, is_extra)
            request = rewrite.remade(self.request, timeout=self.timeout, retry_count=count)
            return Sending(request, self.body, self.model, is_extra)
        content = draft.content()
        request = rewrite.remade(
            self.request, raw_path=draft.raw_path, content=content, timeout=self.timeout, retry_count=count
        )
        if self.destination is not None:
            url = endpoints.url(draft.api, self.destination.endpoint, request)
            headers = endpoints.headers(draft.api, request, self.destination.key)
            request = rewrite.readdressed(request, url, headers)
        return Sending(request, content, draft.model or self.model, is_spending=True)

    def _retry_count(self, retries: int) -> int | None:
        said = sdk_retry_of(self.request)
        # A signature may be over this header, too.
        return said + retries if said is not None and not rewrite.is_untouchable(self.request) else None


class Resending:
    """Our retry loop around one call.

    Args:
        steering: Of this process.
        plan: As it was decided; whether it still holds is asked before every step.
        loop: Decides.
        account: Pays.
        outgoing: Makes the requests.
        incumbent: Retries that the code around us would make.
    """

    def __init__(
        self, steering: Steering, plan: Plan, loop: RetryLoop, account: Account, outgoing: Outgoing, incumbent: int
    ) -> None:
        self._steering = steering
        self._plan = plan
        self._loop = loop
        self._account = account
        self.outgoing = outgoing
        """Makes the call's requests; another one once a detour is left (:mod:`.detours`)."""
        self._incumbent = incumbent
        self._fallback: str | None = None
        self._is_waiting = False

    @property
    def tells_classes_apart(self) -> bool:
        """Whether it matters what exactly failed, beyond its status."""
        return self._loop.tells_classes_apart

    @property
    def is_of_sdk(self) -> bool:
        """Whether an SDK waits for the result that could send the request again, too."""
        return SDK_HEADER in self.outgoing.request.headers

    def next(self, failure: Failure, *, was_sent: bool = True) -> Again | None:
        """What to send after ``failure``, or None to hand it on. After the pause call :meth:`waited`.

        Args:
            failure: Of the last request.
            was_sent: Whether that went out at all.
        """
        holds = self._steering.holds(self._plan)
        step = self._loop.next(
            failure, holds=holds, draw=random.random, may_wait=self._begin_waiting, was_sent=was_sent
        )
        if step is None:
            self.waited()
            return None
        if step.model is not None:
            self._fallback = None if step.model == OWN_MODEL else step.model
        return Again(step.delay_s, self.same())

    def same(self) -> Sending:
        """The request that the loop is at, as it is made now."""
        is_extra = self._fallback is not None or self._loop.retries > self._incumbent
        return self.outgoing.sending(self._fallback, self._loop.retries, is_extra)

    def waited(self) -> None:
        """The pause is over, whatever ended it."""
        if self._is_waiting:
            self._is_waiting = False
            self._steering.end_waiting()

    def succeeded(self) -> None:
        """The call has an answer."""
        self._account.succeeded()

    def _begin_waiting(self) -> bool:
        self._is_waiting = self._steering.begin_waiting(self._plan.caps)
        return self._is_waiting
