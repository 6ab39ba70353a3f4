"""What the SDKs made by Stainless (openai, anthropic and others) know and do not put on the wire.

``max_retries`` never leaves the SDK, and a client-level setting was chosen where the client was built, not where it is
used. Two private methods of ``<sdk>._base_client.BaseClient`` tell: ``__init__`` (who built the client) and
``_build_request`` (which options made this request). Both are optional: in an SDK where they are missing or changed
the call is captured all the same, without this knowledge. Clients built before ``instrument()`` are pinned to the line
of the call.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from ..decisions import Hint, Setting
from ..guard import guarded
from ..records import Site
from ..tracer import Tracer
from .patches import Patches

SDKS = ("openai", "anthropic")
"""SDKs whose ``_base_client`` is hooked."""


_hints: weakref.WeakKeyDictionary[Any, Hint] = weakref.WeakKeyDictionary()
_built_at: weakref.WeakKeyDictionary[Any, Site] = weakref.WeakKeyDictionary()
_given: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()
"""Per client: the names of the settings that whoever built it gave."""

CLIENTS = ("OpenAI", "AsyncOpenAI", "Anthropic", "AsyncAnthropic")
"""Classes whose constructor arguments tell a setting that was given from one that was left to its default."""


def hint_for(request: Any) -> Hint | None:
    """What the SDK that built ``request`` said about it, or None."""
    return _hints.pop(request, None)


def patch(patches: Patches, module: ModuleType, active: Callable[[], Tracer | None]) -> None:
    """Hook one SDK's ``_base_client`` module."""
    patches.replace(module.BaseClient, "__init__", functools.partial(_init, active))
    patches.replace(module.BaseClient, "_build_request", functools.partial(_build_request, active, module))


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
    not_given = module.NotGiven
    built_at = _built_at.get(client)
    given = _given.get(client, frozenset())
    has_default_timeout = client.timeout == module.DEFAULT_TIMEOUT
    _hints[request] = Hint(
        max_retries=Setting(
            value=options.get_max_retries(client.max_retries),
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
    )
