"""What the SDKs made by Stainless (openai, anthropic and others) know and do not put on the wire.

``max_retries`` never leaves the SDK, and a client-level setting was chosen where the client was built, not where it is
used. Two private methods of ``<sdk>._base_client.BaseClient`` tell: ``__init__`` (who built the client) and
``_build_request`` (which options made this request). A third one, ``FinalRequestOptions.get_max_retries``, is where the
SDK asks how often it may send a call again, once, before its first request: there the plan of the call is made, and
where its retries become ours the SDK is told 0. All are optional: in an SDK where they are missing or changed the call
is captured all the same, without this knowledge, and its retries stay the SDK's. Clients built before ``instrument()``
are pinned to the line of the call.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import FrameType, ModuleType
from typing import Any

from .. import context
from ..decisions import Hint, Plan, Setting
from ..guard import guarded
from ..records import Site
from ..tracer import Tracer
from ..wire import formats
from ..wire.usage import model_in
from .patches import MARK, Patches

SDKS = ("openai", "anthropic")
"""SDKs whose ``_base_client`` is hooked."""


_hints: weakref.WeakKeyDictionary[Any, Hint] = weakref.WeakKeyDictionary()
_hint_of: weakref.WeakKeyDictionary[Any, tuple[tuple[Any, ...], Hint]] = weakref.WeakKeyDictionary()
"""Per client: how client and call were set at its last request, and what was said about that."""
_built_at: weakref.WeakKeyDictionary[Any, Site] = weakref.WeakKeyDictionary()
_given: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()
"""Per client: the names of the settings that whoever built it gave."""

CLIENTS = ("OpenAI", "AsyncOpenAI", "Anthropic", "AsyncAnthropic")
"""Classes whose constructor arguments tell a setting that was given from one that was left to its default."""

LOOPS = ("request", "_request")
"""Names of the SDKs' methods that send a call until it succeeds; who else asks for the number of retries is told it."""

MAX_PLANS = 4096
"""Calls under way whose plans are kept."""

_plans: OrderedDict[str, Plan] = OrderedDict()
"""Per idempotency key, which an SDK gives each call and all of its requests. Without a lock, which a forked child could
inherit held: each step is one operation of the dictionary."""


def hint_for(request: Any) -> Hint | None:
    """What the SDK that built ``request`` said about it, or None."""
    return _hints.pop(request, None)


def patch(patches: Patches, module: ModuleType, active: Callable[[], Tracer | None]) -> None:
    """Hook one SDK's ``_base_client`` module."""
    patches.replace(module.BaseClient, "__init__", functools.partial(_init, active))
    patches.replace(module.BaseClient, "_build_request", functools.partial(_build_request, active, module))
    options = getattr(module, "FinalRequestOptions", None)
    patches.replace(options, "get_max_retries", functools.partial(_get_max_retries, active, module))


def patch_clients(patches: Patches, module: ModuleType) -> None:
    """Hook the constructors of one SDK's client classes (``<sdk>._client``)."""
    for name in CLIENTS:
        if hasattr(module, name):
            patches.replace(getattr(module, name), "__init__", functools.partial(_client_init, getattr(module, name)))


def _client_init(owner: type, original: Any) -> Any:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - takes the place of one
        if type(self) is owner:  # a subclass hands everything on, given or not
            _note_given(self, kwargs, sys._getframe(1))
        original(self, *args, **kwargs)

    return __init__


@guarded()
def _note_given(client: Any, arguments: dict[str, Any], caller: FrameType) -> None:
    sdk = type(client).__module__.partition(".")[0]
    if caller.f_globals.get("__name__", "").partition(".")[0] != sdk:  # `with_options` hands everything on, too
        _given[client] = frozenset(arguments)


def _init(active: Callable[[], Tracer | None], original: Any) -> Any:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - takes the place of one
        original(self, *args, **kwargs)
        _note_constructor(active, self)

    return __init__


@guarded()
def _note_constructor(active: Callable[[], Tracer | None], client: Any) -> None:
    tracer = active()
    if tracer is not None:
        site = tracer.sites.user_site(sys._getframe(1))
        if site is not None:
            _built_at[client] = site


def _build_request(active: Callable[[], Tracer | None], module: ModuleType, original: Any) -> Any:
    @functools.wraps(original)
    def build(self: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        request = original(self, options, *args, **kwargs)
        _note_request(active, module, self, options, request)
        return request

    return build


@guarded()
def _note_request(
    active: Callable[[], Tracer | None], module: ModuleType, client: Any, options: Any, request: Any
) -> None:
    if active() is None:
        return
    hint = _hint(module, client, options)
    plan = _plans.get(options.idempotency_key) if _plans else None
    _hints[request] = replace(hint, plan=plan) if plan is not None else hint


def _hint(module: ModuleType, client: Any, options: Any) -> Hint:
    """What the SDK says about a request; made anew only where client or call are set otherwise than last time."""
    not_given = module.NotGiven
    by_call = (options.max_retries, options.timeout)
    said = (client.max_retries, client.timeout, *(None if isinstance(x, not_given) else x for x in by_call))
    known = _hint_of.get(client)
    if known is None or known[0] != said:
        known = _hint_of[client] = said, _new_hint(module, client, options)
    return known[1]


def _new_hint(module: ModuleType, client: Any, options: Any) -> Hint:
    not_given = module.NotGiven
    built_at = _built_at.get(client)
    given = _given.get(client, frozenset())
    has_default_timeout = client.timeout == module.DEFAULT_TIMEOUT
    return Hint(
        max_retries=Setting(
            value=_incumbent(options, client.max_retries),
            by_call=not isinstance(options.max_retries, not_given),
            is_default="max_retries" not in given and client.max_retries == module.DEFAULT_MAX_RETRIES,
            built_at=built_at,
        ),
        timeout=Setting(
            value=None,  # what counts is on the request itself
            # anthropic hands its own default over with the call, after a look at max_tokens
            by_call=not isinstance(options.timeout, not_given)
            and not (has_default_timeout and options.timeout == module.DEFAULT_TIMEOUT),
            is_default="timeout" not in given and has_default_timeout,
            built_at=built_at,
        ),
        repeats_any_error=module.__name__.startswith("anthropic."),
    )


def _incumbent(options: Any, default: int) -> Any:
    """What the SDK would be told without us."""
    method = type(options).get_max_retries
    return getattr(method, MARK, method)(options, default)


def _get_max_retries(active: Callable[[], Tracer | None], module: ModuleType, original: Any) -> Any:
    @functools.wraps(original)
    def get_max_retries(self: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        # First what costs nothing: the SDK asks at every call, and few are steered.
        if caller.f_code.co_name in LOOPS and _takes_over(active, module, self, caller):
            return 0
        return original(self, *args, **kwargs)

    return get_max_retries


@guarded(default=False)
def _takes_over(active: Callable[[], Tracer | None], module: ModuleType, options: Any, caller: FrameType) -> bool:
    """Make the plan of a call that an SDK begins; whether its retries are ours."""
    tracer = active()
    if tracer is None:
        return False
    is_steered = tracer.steering.policy() is not None
    if not is_steered and not _plans:
        return False
    variables = caller.f_locals
    if variables.get("retries_taken"):
        return False  # the call is under way, and goes on as it began
    client = variables.get("self")
    can = is_steered and client is not None and _goes_through_us(client)
    plan = _plan(tracer, module, client, options, caller) if can else None
    return _keep(options.idempotency_key, plan)


def _goes_through_us(client: Any) -> bool:
    """Whether what this client sends reaches our loop, and nothing but its requests is sent again."""
    http = getattr(client, "_client", None)
    is_ours = hasattr(getattr(type(http), "send", None), MARK)  # not overridden by a subclass
    return is_ours and not getattr(client, "_middleware", ()) and not context.in_send.get()


def _plan(tracer: Tracer, module: ModuleType, client: Any, options: Any, caller: FrameType) -> Plan | None:
    body = options.json_data
    if not isinstance(body, Mapping) or formats.match(options.method.upper(), options.url) is None:
        return None
    extra = options.extra_json
    model = (extra.get("model") if isinstance(extra, Mapping) else None) or body.get("model") or model_in(options.url)
    if model is None:
        return None  # the hook takes no request without a model
    site = tracer.sites.here(caller)
    return tracer.steering.plan(site, _hint(module, client, options), model, tracer.run_id(), tracer.progress())


def _keep(key: str | None, plan: Plan | None) -> bool:
    """Keep ``plan`` for the requests of the call ``key``; whether it makes the call's retries ours."""
    if key is None:  # the requests could not be told from those of other calls
        return False
    _plans.pop(key, None)
    if plan is None:
        return False
    _plans[key] = plan
    if len(_plans) > MAX_PLANS:
        with suppress(KeyError):
            _plans.popitem(last=False)
    return plan.has_loop
