"""Sends a request, and again where our retry loop says so: in the place of ``send`` for calls whose retries are ours.

Also for those that were asked for their usage (:mod:`..include_usage`), once more where the server refuses that.

In: the HTTP library's own ``send`` and the first attempt. Out: the response or the exception of the last attempt, as
the library gave it, so that an SDK makes of it what it always does. What to do after a failure is decided by
:mod:`..retries`; here it is carried out, once with and once without ``await``. Nothing is sent again once the head of
an answer was handed out.

What of ours fails hands on what is there. What is raised while we pause (cancellation, a signal) is the user's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, NamedTuple

from .. import context, retries
from ..capture import Capture
from ..guard import from_signal_handler, guarded, guarded_async
from ..include_usage import REFUSALS
from ..resending import Sending
from . import admission, racing
from .answer_checks import acheck, check
from .refusal import refused
from .tees import deliver

NEEDS_BODY = 429
"""Status of rate limits, and of used-up quotas: only the body tells them apart."""


class _Lost(Enum):
    """What to do next could not be found out, for an error of ours."""

    LOST = 0


LOST = _Lost.LOST


class Next(NamedTuple):
    """The attempt to make now, after a pause."""

    delay_s: float
    capture: Capture


def sync(send: Callable[..., Any], capture: Capture, tee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Send until there is an answer, or a failure to hand on."""
    while True:
        denial = admission.sync(capture)
        following: Next | None = _instead(capture, denial)
        response: Any = None
        if following is None:
            turn = racing.Turn(capture)
            token = context.in_send.set(True)
            try:
                response = _sent(send, turn, denial, args, kwargs)
            except BaseException as error:
                turn.capture.fail(error)
                following = _after_error(turn.capture, error) if denial is None else None
                if following is None:
                    raise
            finally:
                context.leave_send(token)
            capture = turn.capture
        if following is None:
            deliver(capture, response, tee)
            _read(capture, response)
            if denial is None:
                check(capture, response)
                following = _after_response(capture, response)
            if following is None:
                return response
        try:
            _close(response)
            time.sleep(following.delay_s)
        finally:
            _end_pause(capture)
        capture = following.capture
        capture.restart()


def _sent(
    send: Callable[..., Any], turn: racing.Turn, denial: retries.Failure | None, args: Any, kwargs: dict[str, Any]
) -> Any:
    if denial is not None:
        return refused(turn.capture.request, denial)
    if racing.is_limited(turn.capture):
        return racing.sync(send, turn, args, kwargs)
    return send(turn.capture.request, *args, **kwargs)


async def awaited(
    send: Callable[..., Awaitable[Any]], capture: Capture, tee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The same, awaited."""
    sleep = _sleep()
    while True:
        denial = await admission.awaited(capture, sleep)
        following: Next | None = _instead(capture, denial)
        response: Any = None
        if following is None:
            turn = racing.Turn(capture)
            token = context.in_send.set(True)
            try:
                response = await _asent(send, turn, denial, args, kwargs)
            except BaseException as error:
                turn.capture.fail(error)
                following = _after_error(turn.capture, error) if denial is None else None
                if following is None:
                    raise
            finally:
                context.leave_send(token)
            capture = turn.capture
        if following is None:
            deliver(capture, response, tee)
            await _aread(capture, response)
            if denial is None:
                await acheck(capture, response)
                following = _after_response(capture, response)
            if following is None:
                return response
        try:
            await _aclose(response)
            await sleep(following.delay_s)
        finally:
            _end_pause(capture)
        capture = following.capture
        capture.restart()


async def _asent(
    send: Callable[..., Awaitable[Any]],
    turn: racing.Turn,
    denial: retries.Failure | None,
    args: Any,
    kwargs: dict[str, Any],
) -> Any:
    if denial is not None:
        return refused(turn.capture.request, denial)
    if _has_anyio() and racing.is_limited(turn.capture):
        return await racing.awaited(send, turn, args, kwargs)
    return await send(turn.capture.request, *args, **kwargs)


@guarded(default=False)
def _has_anyio() -> bool:
    """Whether a request can be limited in any event loop."""
    import anyio

    return hasattr(anyio, "create_task_group")


@guarded(default=asyncio.sleep)
def _sleep() -> Callable[[float], Awaitable[None]]:
    """A pause for any event loop; the HTTP libraries bring anyio along."""
    import anyio

    return anyio.sleep


def _after_error(capture: Capture, error: BaseException) -> Next | None:
    """What to do after a request that raised; None where the exception is the call's."""
    following = _follow_error(capture, error)
    return _own(capture) if isinstance(following, _Lost) else following


def _after_response(capture: Capture, response: Any) -> Next | None:
    """What to do after ``response``; None where it is the call's, an answer or not."""
    following = _follow_response(capture, response)
    return _own(capture) if isinstance(following, _Lost) else following


@guarded(default=LOST)
def _follow_error(capture: Capture, error: BaseException) -> Next | _Lost | None:
    if from_signal_handler(error):  # a deadline of the user's, whatever it is called
        return None
    failure = retries.of_error(error, is_any=capture.hint is not None and capture.hint.repeats_any_error)
    if failure is None:
        return None
    admission.told(capture, failure)
    return _next(capture, failure)


@guarded()
def _instead(capture: Capture, denial: retries.Failure | None) -> Next | None:
    """What to send instead of a request that is denied; None where it is sent, or its denial to be handed on."""
    if denial is None or capture.resending is None:
        return None
    again = capture.resending.next(denial, was_sent=False)
    if again is None:
        return None
    capture.was_not_sent()
    return Next(again.delay_s, capture.next(again.sending))


@guarded()
def _own(capture: Capture) -> Next | None:
    """The request as the agent made it, if what was sent is not just that: what was to follow got lost."""
    detour = capture.detour
    if detour is None:
        return None
    capture.answered()
    return Next(0.0, capture.next(detour.own))


@guarded(default=LOST)
def _follow_response(capture: Capture, response: Any) -> Next | _Lost | None:
    plain = _without_usage(capture, response)
    if plain is not None:
        return Next(0.0, capture.next(plain))
    resending, detour = capture.resending, capture.detour
    if response.status_code < 400:
        admission.told(capture, None)
        if detour is not None and detour.escalation is not None:
            better = detour.judged()
            capture.note_verdict(detour)
            if better is not None:
                return Next(0.0, capture.next(better))
        if resending is not None:
            resending.succeeded()
        if resending is not None or detour is not None:
            capture.answered()
        return None
    body = response.content if hasattr(response, "_content") else None
    failure = retries.of_status(response.status_code, response.headers, body)
    admission.told(capture, failure)
    following = _next(capture, failure, response.status_code, body)
    if following is None and resending is not None and resending.is_of_sdk:
        response.headers["x-should-retry"] = "false"  # one loop is enough
    return following


@guarded()
def _without_usage(capture: Capture, response: Any) -> Sending | None:
    """What to send instead where a server refuses the question for the usage."""
    sending, option = capture.sending, capture.tracer.usage_option
    if option is None or (sending.plain is None and not sending.was_refused):
        return None
    if response.status_code < 400:
        option.answered(sending)
    elif sending.plain is not None and response.status_code in REFUSALS and option.refused(sending, response.content):
        return sending.plain._replace(was_refused=True)
    return None


def _next(
    capture: Capture, failure: retries.Failure, status: int | None = None, body: bytes | None = None
) -> Next | None:
    if capture.detour is not None:
        other = capture.detour.failed(failure, status, body)
        capture.note_verdict(capture.detour)
        if other is not None:
            return Next(0.0, capture.next(other))
    if capture.resending is None:
        return None
    try:
        again = capture.resending.next(failure)
        return Next(again.delay_s, capture.next(again.sending)) if again is not None else None
    except BaseException:
        capture.resending.waited()
        raise


@guarded()
def _end_pause(capture: Capture) -> None:
    if capture.resending is not None:
        capture.resending.waited()


def _is_to_read(capture: Capture, response: Any) -> bool:
    """Whether the body of a failure must be known to judge it, and is not yet."""
    if response.status_code < 400 or hasattr(response, "_content"):
        return False
    if capture.sending.plain is not None and response.status_code in REFUSALS:
        return True
    if capture.detour is not None and capture.detour.is_open and response.status_code in REFUSALS:
        return True
    if capture.resending is None:
        return False
    return response.status_code == NEEDS_BODY or capture.resending.tells_classes_apart


@guarded()
def _read(capture: Capture, response: Any) -> None:
    if _is_to_read(capture, response):
        try:
            response.read()
        except Exception as error:
            _give_up_reading(response, error)
            response.close()


@guarded_async
async def _aread(capture: Capture, response: Any) -> None:
    if _is_to_read(capture, response):
        try:
            await response.aread()
        except Exception as error:
            _give_up_reading(response, error)
            await response.aclose()


def _give_up_reading(response: Any, error: Exception) -> None:
    """The body broke on the way: the status is what remains of it, for us and for the SDK."""
    if from_signal_handler(error):
        raise error
    response._content = b""


@guarded()
def _close(response: Any) -> None:
    if response is not None:
        response.close()


@guarded_async
async def _aclose(response: Any) -> None:
    if response is not None:
        await response.aclose()
