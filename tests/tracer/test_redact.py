from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trimtab
from trimtab_tracer.records import RunStart
from trimtab_tracer.redact import MARK, redact, redact_url, redact_value

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


@given(text=TEXT)
def test_redact_is_idempotent(text: str) -> None:
    """Redacting twice is redacting once."""
    once = redact(text)
    assert redact(once) == once


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
            started = time.thread_time()
            redact(text)
            times.append(time.thread_time() - started)
        return min(times)

    assert cost(200_000) < 40 * cost(20_000) + 0.01


def test_urls() -> None:
    """Userinfo and secret parameters go, the rest of a URL stays."""
    assert redact_url("https://u:p@h.test/v1?key=abc&alt=sse") == f"https://{MARK}@h.test/v1?key={MARK}&alt=sse"
    assert redact_url("https://h.test/v1/chat/completions") == "https://h.test/v1/chat/completions"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (f"https://api.telegram.org/bot123456789:{A40[:35]}/sendMessage", f"https://api.telegram.org/bot{MARK}/sendMessage"),
        ("https://hooks.slack.test/services/T00000000/B00000000/XXXXXXXX", f"https://hooks.slack.test/services/{MARK}"),
        (f"https://d.test/api/webhooks/1234567890/{A40}?wait=true", f"https://d.test/api/webhooks/1234567890/{MARK}?wait=true"),
        ("/api/v10/webhooks/1234567890/abcdefghijklmnop", f"/api/v10/webhooks/1234567890/{MARK}"),
        (f"/share/{A40[:22]}/page", f"/share/{MARK}/page"),
        ("/share/q2qLQlC-JZ4rY0gr-QoaXv1/page", f"/share/{MARK}/page"),
    ],
)  # fmt: skip
def test_secrets_in_a_path_go(url: str, kept: str) -> None:
    """Tokens that services put in the path are masked, once and for all, and the path stays readable."""
    assert redact_url(url) == kept
    assert redact_url(kept) == kept


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/gemini-2.5-flash-preview-09-2025:streamGenerateContent",
        "/models/meta-llama/Llama-3.3-70B-Instruct/v1/chat/completions",
        "/models/Qwen3-30B-A3B-Instruct-2507/v1/chat/completions",
        "/openai/deployments/My-GPT4-Deployment-2024/chat/completions",
        "/model/us.anthropic.claude-3-5-sonnet-20241022-v2:0/invoke",
        "/orders/3f786850e387550fdab836ed7e6dc881de23001b",
        "/a/getAllTheOpenOrders2024/x",
    ],
)
def test_readable_paths_stay(path: str) -> None:
    """Models, deployments, hashes and method names in a path are no secrets."""
    assert redact_url(path) == path


@given(url=TEXT)
def test_redact_url_is_idempotent(url: str) -> None:
    """Masking a URL twice is masking it once."""
    once = redact_url(url)
    assert redact_url(once) == once


def test_a_value_is_judged_with_its_name() -> None:
    """A telling name makes a secret of any value; other values are redacted as text, and numbers stay numbers."""
    assert {MARK} == {redact_value(k, v) for k, v in
                      [("api_key", "plainSecret"), ("password", "two words"), ("PASSWORD", 12345678)]}  # fmt: skip
    assert ("blue", 5, None, True) == tuple(redact_value("tier", v) for v in ("blue", 5, None, True))
    assert MARK == redact_value("note", TOKENS[0])
    assert "strict" == redact_value("password_policy", "strict")
    assert 100_000 == redact_value("max_tokens", 100_000)


def test_secret_attributes_of_a_run_go(recorded: Callable[[type], list[Any]]) -> None:
    """What a run is told under a telling name is masked, other attributes stay."""
    with trimtab.run("r", api_key="plainSecret12345", password="hunter2abc", team="blue", size=3):
        pass
    (start,) = recorded(RunStart)
    assert {"api_key": MARK, "password": MARK, "team": "blue", "size": 3} == start.attributes


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_across_slices_go(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text is searched in slices; wherever they are cut, what goes is what goes from the whole text."""
    around = f"some words before it\n{secret}\nand the rest of it, information-technology-everywhere\n"
    text = around * 3
    whole = redact(text)
    assert A40[:16] not in whole
    for size in (33, 64, 97, len(text) - 1):
        monkeypatch.setattr("trimtab_tracer.redact.SLICE", size)
        assert whole == redact(text)


def test_other_threads_run_while_a_long_text_is_searched() -> None:
    """Redacting megabytes lets a thread that waits to run have its turn many times."""
    text = "lorem ipsum: dolor = sit amet, consectetur adipiscing elit? " * 100_000
    turns, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            turns[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10.0)  # nobody is interrupted: a turn is what is given away
    try:
        thread.start()
        before = turns[0]
        redact(text)
        given = turns[0] - before
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
    assert given >= 8
