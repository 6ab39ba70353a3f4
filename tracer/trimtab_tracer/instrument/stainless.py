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
from types import ModuleType
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


def hint_for(request: Any) -> Hint | None:
    """What the SDK that built ``request`` said about it, or None."""
    return _hints.pop(request, None)


def patch(patches: Patches, module: ModuleType, active: Callable[[], Tracer | None]) -> None:
    """Hook one SDK's ``_base_client`` module."""
    patches.replace(module.BaseClient, "__init__", functools.partial(_init, active))
    patches.replace(module.BaseClient, "_build_request", functools.partial(_build_request, active, module))


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
    has_default_timeout = client.timeout == module.DEFAULT_TIMEOUT
    _hints[request] = Hint(
        max_retries=Setting(
            value=options.get_max_retries(client.max_retries),
            by_call=not isinstance(options.max_retries, not_given),
            is_default=client.max_retries == module.DEFAULT_MAX_RETRIES,
            built_at=built_at,
        ),
        timeout=Setting(
            value=None,  # what counts is on the request itself
            # anthropic hands its own default over with the call, after a look at max_tokens
            by_call=not isinstance(options.timeout, not_given)
            and not (has_default_timeout and options.timeout == module.DEFAULT_TIMEOUT),
            is_default=has_default_timeout,
            built_at=built_at,
        ),
    )
