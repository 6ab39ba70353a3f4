"""From a request of the agent to the capture of its first attempt: is it an LLM call, and is a policy about it?

In: any request that an HTTP client is about to send. Out: a :class:`.capture.Capture`, whose request is to be sent, or
None for all other traffic. A module of its own because it is the first thing that runs at every HTTP request of the
agent: what is no LLM call leaves after a look at its path, and what no policy is about after one comparison more.

Should steering fail, the call goes out as the agent made it, and is captured.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import context
from .capture import Capture
from .decisions import Plan
from .digests import digest
from .guard import guarded
from .holders import held_at
from .instrument import stainless
from .records import Site
from .resending import SDK_HEADER, Sending, sdk_retry_of
from .steered import Steered, steer
from .tracer import Tracer
from .trials import Asked
from .wire import formats, usage


@guarded()
def begin(
    tracer: Tracer,
    client: Any,
    request: Any,
    stream: bool,
    *,
    is_steerable: bool = True,
    sent_with: Mapping[str, Any] | None = None,
) -> Capture | None:
    """Start to capture ``request``, or None where it is no LLM call or lies within another one.

    Where a policy orders something for the call, what goes out is the capture's request instead of ``request``; not so
    where the request is no ``is_steerable`` one, but a view that can't be sent. ``sent_with`` is what else ``send`` was
    called with.
    """
    if context.in_send.get():
        return None
    path = request.url.path
    fmt = formats.match(request.method, path)
    if fmt is None:
        return None
    body = _body(request)
    model = usage.model_of(body, path) if body is not None else None
    if body is not None and model is None:
        return None  # a path that merely looks alike: other services have a /responses too
    site = tracer.sites.here(sys._getframe(1))
    hint = stainless.hint_for(request)
    if hint is not None and (held := held_at(site)):
        hint = replace(hint, held=held)
    steered = None
    if is_steerable and (tracer.steering.policy() is not None or (hint is not None and hint.plan is not None)):
        asked = Asked(
            tracer.run_id(), client, request, fmt.api, body, model, hint, site.site_id, stream, sent_with or {}
        )
        steered = _steered(tracer, site, asked)
    sending = steered.sending if steered is not None else Sending(request, body, model)
    if tracer.usage_option is not None and is_steerable and stream:
        sending = tracer.usage_option.ask(fmt, sending)
    return Capture(tracer, fmt, sending, stream, site, hint, steered)


@guarded()
def _steered(tracer: Tracer, site: Site, call: Asked) -> Steered | None:
    plan = _plan(tracer, site, call)
    return steer(tracer.steering, plan, call) if plan is not None else None


def _plan(tracer: Tracer, site: Site, call: Asked) -> Plan | None:
    """What is ordered for the call, decided before its first request and kept for those after it."""
    if call.hint is not None and call.hint.plan is not None:
        return call.hint.plan
    retry = sdk_retry_of(call.request)
    if retry:
        last = context.continued(retry, digest(call.body) if call.body is not None else None)
        return last.plan if last is not None else None
    plan = tracer.steering.plan(site, call.hint, call.model, call.run_id, tracer.progress())
    # An SDK that was not asked beforehand sends failed requests again by itself: one loop is enough.
    return plan.without_loop() if plan is not None and SDK_HEADER in call.request.headers else plan


def _body(request: Any) -> bytes | None:
    """The request's body, or None where reading it would consume it (generators, multipart streams)."""
    try:
        content: bytes = request.content
    except Exception:
        return None
    return content
