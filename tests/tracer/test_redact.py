from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer.redact import KEPT_HEADERS, MARK, keep_headers, redact, redact_url

A40 = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9n"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----"
TOKENS = [
    f"sk-proj-{A40}",
    f"sk-ant-api03-{A40}",
    f"AIzaSy{A40[:33]}",
    f"ghp_{A40[:36]}",
    f"github_pat_{A40}",
    f"xoxb-123456789-{A40[:20]}",
    "AKIAIOSFODNN7EXAMPLE",
    f"hf_{A40[:34]}",
    f"gsk_{A40}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{A40}",
    f"glpat-{A40[:20]}",
    PEM,
]
SECRETS = [
    *TOKENS,
    f"Bearer {A40}",
    f"Authorization: Basic {A40[:20]}",
    f"OPENAI_API_KEY={A40}",
    f'{{"api_key": "{A40}"}}',
    f"client_secret: '{A40}'",
    f'"password" : "{A40}"',
    f"postgres://user:{A40}@db/x",
    f"https://x.test/v1?key={A40}&alt=sse",
    f"https://x.test/?a=1&X-Amz-Signature={A40}",
    f"x-api-key: {A40}",
    f'"token": "{A40}"',
]
STARTS = [
    *(
        "api_key",
        "password",
        "token",
        "secret",
        "authorization",
        "=",
        ": ",
        '"',
        "'",
        "\\",
        "\n",
        "://",
        "@",
        ",",
        "{",
        "}",
    ),
    *("?key=", "&sig=", "sk-", "eyJ", "Bearer ", "-----BEGIN PRIVATE KEY-----", "a1b2c3d4e5f6a7b8", MARK),
]
PIECES = st.sampled_from(SECRETS + STARTS)
TEXT = st.lists(PIECES | st.text(max_size=8), max_size=14).map("".join)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "a {} b", "x\n{}\n", "({})", "cmd --flag {};"])
def test_secrets_go(secret: str, around: str) -> None:
    """Every kind of secret goes, wherever in a text it stands."""
    found = redact(around.format(secret))
    assert MARK in found
    assert A40[:16] not in found
    assert "MIIE" not in found
    assert "IOSFODNN7" not in found


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_inside_json_go(secret: str) -> None:
    """Secrets inside JSON strings go too, also in JSON that is quoted in JSON, and the JSON stays valid."""
    inner = json.dumps({"args": f"line\n{secret}\tend"})
    found = redact(json.dumps({"messages": [{"content": inner}], "n": 1}))
    assert A40[:16] not in found
    assert "MIIE" not in found
    assert "IOSFODNN7" not in found
    assert json.loads(found)["n"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "risk-assessment-of-the-whole-project",
        "the task-2024-q1-planning-document is ready",
        "sk-learn and scikit-learn",
        "def login(password: str, token: Token) -> None:",
        "api_key = os.environ['OPENAI_API_KEY']",
        '{"max_tokens": 100, "prompt_tokens": 12345678, "total_tokens": 12345678}',
        '{"token": " the", "logprob": -0.5}',
        '{"properties": {"password": {"type": "string"}}, "required": ["password"]}',
        '{"secret": null, "password": 12345678}',
        "https://example.test/a?q=keys&page=2",
        "user@example.test wrote to http://host:8080/path",
        "The secretary kept the tokenizer; authorizations were fine.",
        "Bearer of bad news arrived yesterday",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "gen-1763510516-q2qLQlCJZ4rY0grQoaXv",
    ],
)
def test_other_text_stays(text: str) -> None:
    """Words, code, token counts, schemas, hashes and plain URLs are left as they are."""
    assert redact(text) == text


@settings(deadline=None)
@given(text=TEXT)
def test_redact_is_idempotent(text: str) -> None:
    """Redacting twice is redacting once."""
    once = redact(text)
    assert redact(once) == once


@settings(deadline=None)
@given(
    value=st.recursive(
        st.none() | st.integers() | TEXT,
        lambda v: st.lists(v, max_size=3) | st.dictionaries(PIECES | st.text(max_size=5), v, max_size=3),
        max_leaves=8,
    ),
    is_spaced=st.booleans(),
    is_ascii=st.booleans(),
)
def test_json_stays_json(value: object, is_spaced: bool, is_ascii: bool) -> None:
    """Valid JSON stays valid, and what is no text in it stays the same."""
    text = json.dumps(value, separators=(", ", ": ") if is_spaced else (",", ":"), ensure_ascii=is_ascii)
    found = json.loads(redact(text))
    assert type(found) is type(value)
    assert isinstance(value, str | list | dict) or found == value
    assert not isinstance(value, list) or len(found) == len(value)


@pytest.mark.parametrize(
    "unit",
    [*STARTS, "eyJa.", "password=", "password:'", "password=a1", "://a:", "?key=a", 'token":"', "sk-a-", "secret: ",
     "eyJaaaaaaaa.eyJ", "authorization: basic ", "a" * 50],
)  # fmt: skip
def test_redact_is_linear(unit: str) -> None:
    """Text that repeats the beginning of a secret costs in proportion to its length."""

    def cost(chars: int) -> float:
        text = unit * (chars // len(unit))
        times = []
        for _ in range(3):
            started = time.perf_counter()
            redact(text)
            times.append(time.perf_counter() - started)
        return min(times)

    assert cost(200_000) < 40 * cost(20_000) + 0.01


def test_urls() -> None:
    """Userinfo and secret parameters go, the rest of a URL stays."""
    assert redact_url("https://u:p@h.test/v1?key=abc&alt=sse") == f"https://{MARK}@h.test/v1?key={MARK}&alt=sse"
    assert redact_url("https://h.test/v1/chat/completions") == "https://h.test/v1/chat/completions"


def test_headers_are_kept_by_name() -> None:
    """Only headers known to be harmless are kept; credentials and unknown ones are not."""
    given_headers = [("Authorization", "Bearer x"), ("X-Request-Id", "r1"), ("Cookie", "a=b"), ("x-api-key", "k"),
                     ("x-ratelimit-remaining-requests", "9"), ("X-New", "1")]  # fmt: skip
    assert keep_headers(given_headers) == {"x-request-id": "r1", "x-ratelimit-remaining-requests": "9"}
    assert not KEPT_HEADERS & {"authorization", "cookie", "set-cookie", "x-api-key", "x-goog-api-key", "api-key"}
