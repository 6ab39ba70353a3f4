"""Golden amounts: usage objects as the providers document them, through our parsers, the store's columns and the price
list, against sums that are written out by hand.

The bodies are written from the field names of the providers' reference pages (OpenAI: "Create chat completion", "Create
a model response", "Flex processing", "Predicted Outputs"; Anthropic: "Messages", "Prompt caching", "Data residency",
"Fast mode", "Web search tool"; Google: "GenerateContentResponse", "Context caching", "Gemini thinking"). The rates are
those of the price list on the day named here. Where genai-prices extracts and prices a body itself, it must agree;
where it can't, the case says why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import extract_usage

from trimtab_tracer.exchange import Captured, ExchangeBuilder
from trimtab_tracer.ingest_rows import Row, apply_exchange, attempt_row, finish_attempt
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import Attempt, Exchange
from trimtab_tracer.wire import formats

NOW_NS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9
PRICES = PriceList()


@dataclass(frozen=True)
class Golden:
    """One body and what it costs."""

    name: str
    api: str
    host: str
    path: str
    model: str
    body: dict[str, Any]
    parts: tuple[tuple[int, str], ...]
    """Tokens and USD per million of each."""
    fixed: str = "0"
    """USD beside the tokens."""
    factor: str = "1"
    library: tuple[str, str] | None = None
    """Provider and flavor of genai-prices' own extractor; None where it does not handle the case."""
    why: str = ""
    """Why it does not."""
    context: dict[str, str] = field(default_factory=dict)
    """What the library has to be told beside the body."""

    @property
    def usd(self) -> Decimal:
        """The sum, in plain decimal arithmetic."""
        tokens = sum((count * Decimal(rate) for count, rate in self.parts), Decimal(0)) / 1_000_000
        return tokens * Decimal(self.factor) + Decimal(self.fixed)


CHAT = ("openai.chat", "api.openai.com", "/v1/chat/completions")
RESPONSES = ("openai.responses", "api.openai.com", "/v1/responses")
MESSAGES = ("anthropic.messages", "api.anthropic.com", "/v1/messages")


def gemini(model: str) -> tuple[str, str, str]:
    """Format, host and path of Google's developer API."""
    return "gemini", "generativelanguage.googleapis.com", f"/v1beta/models/{model}:generateContent"


def chat(model: str, usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chat completion."""
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [message],
        "usage": usage,
        **more,
    }


def message(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """An Anthropic message."""
    content = [{"type": "text", "text": "Hello."}]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
    return head | {"content": content, "stop_reason": "end_turn", "usage": usage}


def generated(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A Gemini response."""
    candidate = {"content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "modelVersion": model, "usageMetadata": usage}


GOLDENS = [
    Golden(
        "chat: cached and reasoning tokens, predictions",
        *CHAT,
        "gpt-5",
        chat(
            "gpt-5-2025-08-07",
            {
                "prompt_tokens": 2006,
                "completion_tokens": 900,
                "total_tokens": 2906,
                "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 640,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 40,
                    # Not in the text, and billed: part of the completion, as reasoning is.
                    "rejected_prediction_tokens": 110,
                },
            },
            service_tier="default",
        ),
        ((86, "1.25"), (1920, "0.125"), (900, "10")),
        library=("openai", "chat"),
    ),
    Golden(
        "chat: audio in and out",
        *CHAT,
        "gpt-audio",
        chat(
            "gpt-audio",
            {
                "prompt_tokens": 1_200,
                "completion_tokens": 500,
                "total_tokens": 1_700,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 1_000, "text_tokens": 200},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 400, "text_tokens": 100},
            },
        ),
        ((200, "2.5"), (1_000, "32"), (100, "10"), (400, "64")),
        library=("openai", "chat"),
    ),
    Golden(
        "responses: a flex request, cached",
        *RESPONSES,
        "gpt-5",
        {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": "gpt-5-2025-08-07",
            "service_tier": "flex",
            "output": [],
            "usage": {
                "input_tokens": 5_000,
                "input_tokens_details": {"cached_tokens": 4_096},
                "output_tokens": 700,
                "output_tokens_details": {"reasoning_tokens": 512},
                "total_tokens": 5_700,
            },
        },
        ((904, "0.625"), (4_096, "0.0625"), (700, "5")),
        library=("openai", "responses"),
        context={"service_tier": "flex"},
    ),
    Golden(
        "responses: asked for fast, served at priority",
        *RESPONSES,
        "gpt-5.6",
        {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": "gpt-5.6-sol",
            "service_tier": "priority",
            "output": [],
            "usage": {
                "input_tokens": 300_000,  # above 272,000: each token of the request costs more
                "input_tokens_details": {"cached_tokens": 200_000, "cache_write_tokens": 90_000},
                "output_tokens": 1_000,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 301_000,
            },
        },
        ((10_000, "16"), (200_000, "1.6"), (90_000, "20"), (1_000, "60")),
        library=("openai", "responses"),
        context={"service_tier": "priority"},
    ),
    Golden(
        "responses: two web searches, and a page opened",
        *RESPONSES,
        "gpt-5",
        {
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "model": "gpt-5-2025-08-07",
            "output": [
                {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
                {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page"}},
                {"type": "web_search_call", "id": "ws_3", "status": "completed", "action": {"type": "search"}},
            ],
            "usage": {
                "input_tokens": 1_000,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 100,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 1_100,
            },
        },
        ((1_000, "1.25"), (100, "10")),
        fixed="0.02",
        why="it reads the usage object only, and the searches stand among the items",
    ),
    Golden(
        "messages: cache written for five minutes and for an hour",
        *MESSAGES,
        "claude-sonnet-4-6",
        message(
            "claude-sonnet-4-6",
            {
                "input_tokens": 50,
                "cache_creation_input_tokens": 3_000,
                "cache_read_input_tokens": 20_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 2_000},
                "output_tokens": 400,
                "output_tokens_details": {"thinking_tokens": 100},
                "service_tier": "standard",
                "inference_geo": "global",
                "speed": "standard",
            },
        ),
        ((50, "3"), (20_000, "0.3"), (1_000, "3.75"), (2_000, "6"), (400, "15")),
        library=("anthropic", "default"),
    ),
    Golden(
        "messages: above 100,000 tokens all of them cost more",
        *MESSAGES,
        "claude-haiku-5-5",
        message(
            "claude-haiku-5-5",
            {
                "input_tokens": 1_000,
                "cache_creation_input_tokens": 20_000,
                "cache_read_input_tokens": 100_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20_000},
                "output_tokens": 10_000,
            },
        ),
        ((1_000, "0.5"), (20_000, "1"), (100_000, "0.05"), (10_000, "2.5")),
        library=("anthropic", "default"),
    ),
    Golden(
        "messages: web searches, held in the USA",
        *MESSAGES,
        "claude-sonnet-4-6",
        message(
            "claude-sonnet-4-6",
            {
                "input_tokens": 10_000,
                "output_tokens": 1_000,
                "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
                "service_tier": "standard",
                "inference_geo": "us",
            },
        ),
        ((10_000, "3"), (1_000, "15")),
        fixed="0.03",
        factor="1.1",
        why="it does not know the surcharge for inference in the USA only",
    ),
    Golden(
        "messages: fast mode",
        *MESSAGES,
        "claude-opus-5",
        message("claude-opus-5", {"input_tokens": 1_000, "output_tokens": 1_000, "speed": "fast"}),
        ((1_000, "10"), (1_000, "50")),
        library=("anthropic", "default"),
        context={"speed": "fast"},
    ),
    Golden(
        "messages: a batch's result",
        *MESSAGES,
        "claude-opus-5",
        message(
            "claude-opus-5",
            {"input_tokens": 1_000, "cache_read_input_tokens": 2_000, "output_tokens": 100, "service_tier": "batch"},
        ),
        ((1_000, "2.5"), (2_000, "0.25"), (100, "12.5")),
        library=("anthropic", "default"),
        context={"processing": "batch"},
    ),
    Golden(
        "gemini: cached audio and text, thoughts, results of tools",
        *gemini("gemini-2.5-flash"),
        "gemini-2.5-flash",
        generated(
            "gemini-2.5-flash",
            {
                "promptTokenCount": 10_000,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 4_000},
                    {"modality": "AUDIO", "tokenCount": 6_000},
                ],
                "cachedContentTokenCount": 5_000,
                "cacheTokensDetails": [
                    {"modality": "AUDIO", "tokenCount": 3_500},
                    {"modality": "TEXT", "tokenCount": 1_500},
                ],
                "toolUsePromptTokenCount": 300,
                "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 300}],
                "candidatesTokenCount": 200,
                "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 200}],
                "thoughtsTokenCount": 800,
                "totalTokenCount": 11_300,
                "trafficType": "ON_DEMAND",
            },
        ),
        # text 2,500 + 300 from tools, fresh audio 2,500, cached text 1,500, cached audio 3,500, thoughts as output
        ((2_800, "0.3"), (2_500, "1"), (1_500, "0.03"), (3_500, "0.1"), (1_000, "2.5")),
        library=("google", "default"),
    ),
    Golden(
        "gemini: above 200,000 tokens, cached",
        *gemini("gemini-2.5-pro"),
        "gemini-2.5-pro",
        generated(
            "gemini-2.5-pro",
            {
                "promptTokenCount": 250_000,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 250_000}],
                "cachedContentTokenCount": 200_000,
                "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 200_000}],
                "candidatesTokenCount": 500,
                "thoughtsTokenCount": 1_500,
                "totalTokenCount": 252_000,
            },
        ),
        ((50_000, "2.5"), (200_000, "0.25"), (2_000, "15")),
        library=("google", "default"),
    ),
    Golden(
        "gemini: a picture",
        *gemini("gemini-2.5-flash-image"),
        "gemini-2.5-flash-image",
        generated(
            "gemini-2.5-flash-image",
            {
                "promptTokenCount": 20,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
                "candidatesTokenCount": 1_310,
                "candidatesTokensDetails": [
                    {"modality": "IMAGE", "tokenCount": 1_290},
                    {"modality": "TEXT", "tokenCount": 20},
                ],
                "totalTokenCount": 1_330,
            },
        ),
        ((20, "0.3"), (20, "2.5"), (1_290, "30")),
        library=("google", "default"),
    ),
    Golden(
        "chat at Google: thoughts show in the total only",
        "openai.chat",
        "generativelanguage.googleapis.com",
        "/v1beta/openai/chat/completions",
        "gemini-2.5-pro",
        chat("gemini-2.5-pro", {"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1_725}),
        ((758, "1.25"), (967, "10")),
        why="it prices the completion's tokens alone, and thoughts are billed",
    ),
]


def priced(golden: Golden, body: dict[str, Any]) -> Row:
    """The attempt's row in the store after such a response."""
    attempt = Attempt(
        *("a", "c", "r", "p", 1, NOW_NS, 10**9, golden.api, "POST", golden.host, golden.path, "s", "complete"),
        http_status=200,
        model=golden.model,
    )
    fmt = formats.match("POST", golden.path)
    assert fmt is not None
    request = json.dumps({"model": golden.model, "messages": []}).encode()
    records = ExchangeBuilder("off").build(Captured(attempt, fmt, request, json.dumps(body).encode(), False))
    (exchange,) = (r for r in records if isinstance(r, Exchange))
    row = attempt_row(attempt)
    apply_exchange(row, exchange)
    finish_attempt(row, PRICES)
    return row


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.name)
def test_documented_usage_costs_what_the_price_page_says(golden: Golden) -> None:
    """Each documented body costs, to the micro-dollar, its tokens times the rates, worked out by hand."""
    row = priced(golden, golden.body)
    assert int((golden.usd * 1_000_000).to_integral_value()) == row["cost_musd"]
    assert ("reported", "estimated") == (row["usage_source"], row["cost_source"])
    assert (row["price_version"] or "").startswith("genai-prices ")


@pytest.mark.parametrize("golden", [g for g in GOLDENS if g.library], ids=lambda golden: golden.name)
def test_the_library_agrees(golden: Golden) -> None:
    """Where genai-prices extracts the usage of such a body itself, its sum is the same."""
    provider, flavor = golden.library or ("", "")
    extracted = extract_usage(golden.body, provider_id=provider, api_flavor=flavor)
    then = datetime.fromtimestamp(NOW_NS / 1e9, tz=UTC)
    price = extracted.calc_price(genai_request_timestamp=then, price_context=golden.context or None)
    assert golden.usd == price.total_price


def test_every_case_is_compared_or_explained() -> None:
    """A case that the library does not handle says why."""
    assert all(bool(golden.library) != bool(golden.why) for golden in GOLDENS)


def test_a_killed_process_is_billed_the_same() -> None:
    """The fragment that is written inside the call carries all that the price needs where it stands in the usage."""
    for golden in GOLDENS:
        key = "usageMetadata" if golden.api == "gemini" else "usage"
        if golden.api == "openai.responses":
            continue  # its tier and searches stand beside the usage object
        fragment = json.dumps(golden.body[key])
        attempt = Attempt(
            *("a", "c", "r", "p", 1, NOW_NS, 10**9, golden.api, "POST", golden.host, golden.path, "s", "complete"),
            http_status=200,
            model=golden.model,
            usage_fragment=fragment,
        )
        row = attempt_row(attempt)
        finish_attempt(row, PRICES)
        assert int((golden.usd * 1_000_000).to_integral_value()) == row["cost_musd"], golden.name
