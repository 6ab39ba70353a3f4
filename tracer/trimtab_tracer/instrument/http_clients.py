"""The hook on ``Client.send`` and ``AsyncClient.send`` of httpx and httpx2.

Every ``.post()``, ``.stream()`` and SDK call goes through ``send``; transports do not see them all, and SDK methods
differ. A response that is read inside ``send`` is captured there; a streamed one gets a tee (:mod:`.tees`). Works for
clients built before ``instrument()``, because the classes are patched and not the objects. Where a policy makes the
call's retries ours, or a server may refuse what we ask it, :mod:`.send_again` sends in the place of what stands here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import context
from ..calls import begin
from ..capture import Capture
from ..guard import guarded
from ..tracer import Tracer
from . import send_again
from .patches import Patches
from .tees import async_tee, deliver, sync_tee

Active = Callable[[], Tracer | None]
"""Gives the tracer of this process, or None while tracing is off."""

Other = Callable[[], None]
"""Called at a request that is no LLM call."""


def patch(patches: Patches, module: ModuleType, active: Active, other: Other) -> None:
    """Hook both clients of ``module`` (httpx or httpx2)."""
    patches.replace(module.Client, "send", functools.partial(_sync_send, active, other, sync_tee(module)))
    patches.replace(module.AsyncClient, "send", functools.partial(_async_send, active, other, async_tee(module)))


def _sync_send(active: Active, other: Other, tee: Any, original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        capture = _begin(active, other, self, request, kwargs)
        if capture is None:
            return original(self, request, *args, **kwargs)
        if capture.is_ours:
            return send_again.sync(functools.partial(original, self), capture, tee, args, kwargs)
        token = context.in_send.set(True)
        try:
            response = original(self, capture.request, *args, **kwargs)
        except BaseException as error:
            capture.fail(error)
            raise
        finally:
            context.leave_send(token)
        deliver(capture, response, tee)
        return response

    return send


def _async_send(active: Active, other: Other, tee: Any, original: Any) -> Any:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        capture = _begin(active, other, self, request, kwargs)
        if capture is None:
            return await original(self, request, *args, **kwargs)
        if capture.is_ours:
            return await send_again.awaited(functools.partial(original, self), capture, tee, args, kwargs)
        token = context.in_send.set(True)
        try:
            response = await original(self, capture.request, *args, **kwargs)
        except BaseException as error:
            capture.fail(error)
            raise
        finally:
            context.leave_send(token)
        deliver(capture, response, tee)
        return response

    return send


@guarded()
def _begin(active: Active, other: Other, client: Any, request: Any, kwargs: dict[str, Any]) -> Capture | None:
    tracer = active()
    if tracer is None:
        return None
    capture = begin(tracer, client, request, bool(kwargs.get("stream")), sent_with=kwargs)
    if capture is None and not context.in_send.get():
        other()
    return capture
