from __future__ import annotations

import time

import pytest

from trimtab_tracer.wire.formats import by_api, match


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", "openai.chat"),
        ("/api/v1/chat/completions", "openai.chat"),
        ("/chat/completions", "openai.chat"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01", "openai.chat"),
        ("/v1/responses", "openai.responses"),
        ("/openai/v1/responses/", "openai.responses"),
        ("/v1/embeddings", "openai.embeddings"),
        ("/v1/messages", "anthropic.messages"),
        ("/anthropic/v1/messages?beta=true", "anthropic.messages"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:streamRawPredict", "anthropic.messages"),
        ("/v1beta/models/gemini-x:generateContent", "gemini"),
        ("/v1/models/gemini-x:streamGenerateContent?alt=sse", "gemini"),
        ("/api/chat", "ollama"),
        ("/api/generate", "ollama"),
        ("/api/embed", "openai.embeddings"),
    ],
)
def test_path_tells_the_format(path: str, api: str) -> None:
    """The end of the path tells the format, whatever gateway stands before it."""
    found = match("POST", path)
    assert found is not None
    assert api == found.api
    assert found is by_api(api)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/channels/7/messages"),
        ("POST", "/v1/threads/t/messages"),
        ("POST", "/chat"),
        ("POST", "/api/show"),
        ("POST", "/v1beta/models/gemini-x:countTokens"),
        ("POST", "/publishers/google/models/x:rawPredict"),
        ("POST", "/"),
        ("POST", ""),
        ("POST", "/files/report:generateContent.txt"),
    ],
)
def test_other_traffic_has_no_format(method: str, path: str) -> None:
    """Other endpoints, also near ones of the same providers, are no LLM calls."""
    assert match(method, path) is None


def test_match_costs_microseconds() -> None:
    """A thousand look-ups stay far below ten milliseconds: every HTTP request of the agent pays one."""
    started = time.thread_time()
    for _ in range(1000):
        match("POST", "/openai/deployments/gpt-4o/chat/completions")
    assert time.thread_time() - started < 0.02


def test_unknown_api_has_no_format() -> None:
    """A name that no format has gives None."""
    assert by_api("cohere") is None
