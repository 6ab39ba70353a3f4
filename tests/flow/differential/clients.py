"""Clients as users build them: the SDK's own, over an HTTP client of theirs, or without any SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import httpx2
import openai
from cases import HTTP_APIS, Case
from faults import FAR_AWAY_S, TIMEOUT_S
from wire import Wire, event_hooks

KEY = "sk-differential-0123456789"
SLOWLY_S = 60.0
"""A timeout that nothing here meets."""


def timeout_of(case: Case) -> Any:
    """The timeout that the program sets."""
    if case.timeout == "number":
        return SLOWLY_S
    return httpx2.Timeout(SLOWLY_S, read=TIMEOUT_S if case.is_late else FAR_AWAY_S + 1)


def build(case: Case, url: str, wire: Wire) -> Any:
    """The client that the program's options are then applied to (:func:`with_options`)."""
    if case.api in HTTP_APIS:
        return _http_client(case, httpx if case.api == "httpx" else httpx2, wire, base_url=url)
    options: dict[str, Any] = {"max_retries": case.retries} if case.given != "with_options" else {}
    if case.given == "client" and case.timeout != "none":
        options["timeout"] = timeout_of(case)
    if case.client != "default":
        options["http_client"] = _http_client(case, httpx if case.client == "legacy" else httpx2, wire)
    if case.api.startswith("openai"):
        sdk = openai.AsyncOpenAI if case.is_async else openai.OpenAI
        return sdk(base_url=url + "/v1", api_key=KEY, **options)
    return (anthropic.AsyncAnthropic if case.is_async else anthropic.Anthropic)(base_url=url, api_key=KEY, **options)


def with_options(case: Case, client: Any) -> Any:
    """The client that the program calls."""
    if case.given != "with_options":
        return client
    timeout = {} if case.timeout == "none" else {"timeout": timeout_of(case)}
    return client.with_options(max_retries=case.retries, **timeout)


def _http_client(case: Case, module: Any, wire: Wire, **options: Any) -> Any:
    if case.api in HTTP_APIS and case.timeout != "none":
        timeout = timeout_of(case)
        options["timeout"] = module.Timeout(**timeout.as_dict()) if case.timeout == "object" else timeout
    cls = module.AsyncClient if case.is_async else module.Client
    hooks = event_hooks(case.hook, case.is_async)
    return cls(transport=wire.transport(module, case.is_async), event_hooks=hooks, **options)
