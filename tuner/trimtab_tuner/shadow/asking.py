"""Asks another model the same as a recorded call.

In: a recorded call, a model, where to, a key. Out: a :class:`Reply`: the answer with its cost and its seconds, or what
went wrong. A module of its own because it is the only part that sends anything. A request goes out once, not streamed,
and without anything that would let the provider act: what it may call on its own (web search, code, a remote MCP
server) is refused before it is sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trimtab_tracer.ingest_rows import Tokens, micro_usd
from trimtab_tracer.prices import PriceList
from trimtab_tracer.wire.facts import ResponseFacts, Usage
from trimtab_tracer.wire.formats import by_api

from .sample import Recorded

if TYPE_CHECKING:
    import httpx

TIMEOUT_S: Final = 300.0
"""How long an answer may take."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
OWN_TOOLS: Final = frozenset({"function", "custom", "", None})
"""Types of tools that only the agent can run; every other one runs at the provider."""
KEYS: Final = {"api.openai.com": "OPENAI_API_KEY", "api.anthropic.com": "ANTHROPIC_API_KEY"}
"""Variable that holds the key, by host. For every other host the user names it: a key goes to whom it belongs to."""
ACTS: Final = ("background", "mcp_servers", "plugins", "web_search_options")
"""In a request: the provider would do more than answer."""
_HOST: Final = re.compile(r"\[[0-9a-fA-F:.]+\](?::\d{1,5})?|[A-Za-z0-9.-]+(?::\d{1,5})?")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/%:-]*")
"""Host and path as they were recorded; an agent under attack could have asked anything."""

Json = dict[str, Any]


class Reply(NamedTuple):
    """What came back."""

    answer: ResponseFacts | None
    """None where there is none."""
    cost_musd: int | None
    latency_s: float
    problem: str | None
    """Why there is no answer; without anything the provider said beyond its status."""


def why_not(call: Recorded) -> str | None:
    """Why asking the same again would do more than give an answer; None where it would not."""
    tools = call.request.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in OWN_TOOLS:
            return "with tools that run at the provider"
    if any(call.request.get(key) for key in ACTS):
        return "that make the provider do more than answer"
    if not _HOST.fullmatch(call.host) or not _PATH.fullmatch(call.path):
        return "whose address can't be asked again"
    return "without known tokens" if not call.input_tokens or not call.output_tokens else None


def estimate_musd(call: Recorded, model: str, prices: PriceList) -> int | None:
    """What the same would cost with ``model`` at list prices, in micro-USD, if its answer is as long; None: unknown."""
    tokens = _tokens(Usage(input_tokens=call.input_tokens, output_tokens=call.output_tokens))
    return prices.cost(call.api, call.host, call.path, (model,), time.time_ns(), tokens).musd


def ask(client: httpx.Client, call: Recorded, model: str, base: str | None, key: str, prices: PriceList) -> Reply:
    """Ask ``model``.

    Args:
        client: Sends.
        call: What is asked.
        model: Who is asked.
        base: Address in the place of the recorded one, such as ``https://host/v1``; None for that.
        key: The API key.
        prices: For what it costs.
    """
    import httpx

    started = time.monotonic()
    try:
        response = client.post(
            _url(call, base), json=_body(call, model), headers=_headers(call, key), timeout=TIMEOUT_S
        )
        body = response.json()
    except (httpx.HTTPError, ValueError) as error:
        return Reply(None, None, time.monotonic() - started, type(error).__name__)
    latency_s = time.monotonic() - started
    reader = by_api(call.api)
    if response.status_code >= 300 or not isinstance(body, dict) or reader is None:
        return Reply(None, None, latency_s, f"status {response.status_code}")
    facts = reader.response(body)
    usage = facts.usage or Usage()
    listed = prices.cost(call.api, call.host, call.path, (facts.model, model), time.time_ns(), _tokens(usage)).musd
    reported = micro_usd(usage.cost_reported_usd)
    return Reply(facts, listed if reported is None else reported, latency_s, None)


def _body(call: Recorded, model: str) -> Json:
    return {key: value for key, value in call.request.items() if key not in ("stream", "stream_options", "store")} | {
        "model": model
    }


def _url(call: Recorded, base: str | None) -> str:
    if base is not None:
        path = call.path[call.path.index("/v1/") + 3 :] if "/v1/" in call.path else call.path
        return base.rstrip("/") + path
    name = re.sub(r":\d+$", "", call.host)
    scheme = "http" if name in LOOPBACK else "https"
    return f"{scheme}://{call.host}{call.path}"


def _headers(call: Recorded, key: str) -> Mapping[str, str]:
    if call.api == "anthropic.messages":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {key}"}


def _tokens(usage: Usage) -> Tokens | None:
    """Counts that cost money; None where they are not known."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return Tokens(
        input=usage.input_tokens,
        cache_read=usage.cache_read_tokens or 0,
        cache_write=usage.cache_write_tokens or 0,
        output=usage.output_tokens,
        reasoning=usage.reasoning_tokens or 0,
    )
