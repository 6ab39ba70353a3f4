"""What goes along to another endpoint, and which requests and clients stay with their own provider."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

from trimtab_tracer.endpoints import headers, is_kept_elsewhere, is_plain, key_of, url
from trimtab_tracer.setting_values import Endpoint, Unusable, endpoints

OTHER = Endpoint("other", "https://other.example/base/v1", "OTHER_KEY")


@pytest.mark.parametrize(
    ("api", "given", "expected"),
    [
        ("openai.chat", "https://own/v1/chat/completions", "/base/v1/chat/completions"),
        ("openai.chat", "https://own/proxy/openai/chat/completions?api-version=1", None),
        ("openai.responses", "https://own/v1/responses", "/base/v1/responses"),
        ("anthropic.messages", "https://own/v1/messages?beta=true", "/base/v1/v1/messages?beta=true"),
        ("anthropic.messages", "https://own/v1/projects/p/publishers/anthropic/models/m:rawPredict", None),
        (
            "gemini",
            "https://own/v1beta/models/g:streamGenerateContent?alt=sse&key=k",
            "/base/v1/models/g:streamGenerateContent?alt=sse",
        ),
        ("ollama", "http://own/api/chat", "/base/v1/api/chat"),
        ("ollama", "http://own/api/generate", None),
        ("openai.embeddings", "https://own/v1/embeddings", None),
    ],
)
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_addresses(library: Any, api: str, given: str, expected: str | None) -> None:
    """What follows an API's base goes behind the endpoint's; a query that is not known stays, and with it the call."""
    found = url(api, OTHER, library.Request("POST", given, json={}))
    shown = None if found is None else (found.host, found.raw_path.decode())
    assert (None if expected is None else ("other.example", expected)) == shown
    assert found is None or type(found) is library.URL


@pytest.mark.parametrize(
    ("api", "name", "value"),
    [
        ("openai.chat", "authorization", "Bearer k"),
        ("openai.responses", "authorization", "Bearer k"),
        ("anthropic.messages", "x-api-key", "k"),
        ("gemini", "x-goog-api-key", "k"),
    ],
)
def test_headers(api: str, name: str, value: str) -> None:
    """The endpoint's key where its API has it; nothing by which the agent shows itself to its own provider."""
    secrets = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "openai-organization", "x-house")
    kept = {"content-type": "application/json", "x-stainless-lang": "python", "anthropic-version": "2023-06-01"}
    request = httpx2.Request("POST", "https://own/", headers={**dict.fromkeys(secrets, "mine"), **kept}, json={})
    found = headers(api, request, "k")
    assert "mine" not in found.values()
    assert "host" not in found
    assert {**kept, name: value}.items() <= found.items()
    assert "authorization" not in headers(api, request, None)


def test_keys_are_read_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the variable as it is now: None where none is needed, empty where it is not set."""
    monkeypatch.delenv("OTHER_KEY", raising=False)
    assert (None, "") == (key_of(Endpoint("a", "https://a")), key_of(OTHER))
    monkeypatch.setenv("OTHER_KEY", "k")
    assert "k" == key_of(OTHER)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_plain_clients(library: Any) -> None:
    """A client that signs, hooks or sends in a way of its own is none; neither is one call with an ``auth``."""
    ways: list[dict[str, Any]] = [
        {},
        {"auth": ("me", "secret")},
        {"event_hooks": {"request": [print]}},
        {"transport": library.MockTransport(lambda request: library.Response(200))},
        {"event_hooks": {"response": [print]}},
    ]
    found = []
    for way in ways:
        with library.Client(**way) as client:
            found.append(is_plain(client, {}))
    assert [True, False, False, False, True] == found
    with library.Client() as client:
        assert not is_plain(client, {"auth": ("me", "secret")})
        assert is_plain(client, {"auth": library.USE_CLIENT_DEFAULT, "stream": True})


@pytest.mark.parametrize(
    ("api", "body", "is_kept"),
    [
        ("openai.chat", {"messages": [{"role": "user", "content": "file_id"}]}, False),
        ("openai.chat", {"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, True),
        ("openai.responses", {"input": "x"}, True),
        ("openai.responses", {"input": "x", "store": False}, False),
        ("openai.responses", {"input": "x", "store": False, "background": True}, True),
        ("openai.responses", {"store": False, "tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, True),
        ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "u"}}]}]}, True),
        ("anthropic.messages", {"messages": [{"content": [{"source": {"type": "file", "file_id": "f"}}]}]}, True),
    ],
)
def test_what_the_provider_keeps(api: str, body: dict[str, Any], is_kept: bool) -> None:
    """Files, stores and responses that later requests may name tie a call to its provider."""
    assert is_kept is is_kept_elsewhere(api, body)


def test_endpoints_in_settings() -> None:
    """Names, an address that is safe to send a key to, and a variable's name; all else is refused."""
    given = {
        "eu-1": {"base_url": "https://llm.example/v1/", "key_env": "K"},
        "here": {"base_url": "http://127.0.0.1:9"},
    }
    wanted = (Endpoint("eu-1", "https://llm.example/v1", "K"), Endpoint("here", "http://127.0.0.1:9"))
    assert wanted == endpoints(given)
    assert wanted == endpoints(wanted)
    for wrong in (
        "x",
        {"a.b": {"base_url": "https://a.example"}},
        {"a": {}},
        {"a": {"base_url": "http://a.example"}},
        {"a": {"base_url": "https://a.example", "key": "sk-1"}},
        {"a": {"base_url": "https://me:secret@a.example"}},
    ):
        with pytest.raises(Unusable, match=r"\[endpoints.NAME\]"):
            endpoints(wrong)
