from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.wire.facts import Usage
from trimtab_tracer.wire.tokens import usage
from trimtab_tracer.wire.usage import FRAGMENT_BYTES, fragment, model_in, model_of

COUNTS = st.integers(0, 10**9)
SCALAR = st.none() | st.booleans() | st.integers() | st.text(max_size=60) | st.floats(allow_nan=False)
JSON = st.recursive(
    SCALAR, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=12), v, max_size=3), max_leaves=8
)


@pytest.mark.parametrize(
    ("api", "raw", "expected"),
    [
        (
            "openai.chat",
            {
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "total_tokens": 130,
                "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(100, 80, 5, 30, 20),
        ),
        (
            "openai.responses",
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 80},
                "output_tokens": 30,
                "output_tokens_details": {"reasoning_tokens": 0},
            },
            Usage(100, 80, None, 30, 0),
        ),
        # xAI counts reasoning beside the completion; only the total shows it.
        (
            "openai.chat",
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(10, None, None, 12, 7),
        ),
        (
            "openai.chat",
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8},
            Usage(9, 8, None, 1),
        ),
        ("openai.embeddings", {"prompt_tokens": 12, "total_tokens": 12}, Usage(12)),
        (
            "anthropic.messages",
            {
                "input_tokens": 8,
                "cache_read_input_tokens": 90,
                "cache_creation_input_tokens": 2,
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3},
            },
            Usage(100, 90, 2, 7, 3),
        ),
        (
            "anthropic.messages",
            {
                "input_tokens": 8,
                "output_tokens": 7,
                "iterations": [
                    {"type": "compaction", "input_tokens": 1000, "output_tokens": 50},
                    {"type": "message", "input_tokens": 8, "output_tokens": 7},
                ],
            },
            Usage(1008, None, None, 57),
        ),
        (
            "gemini",
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 5,
                "candidatesTokenCount": 10,
                "thoughtsTokenCount": 40,
                "totalTokenCount": 155,
            },
            Usage(105, 60, None, 50, 40),
        ),
        ("ollama", {"prompt_eval_count": 9, "eval_count": 7, "total_duration": 1}, Usage(9, None, None, 7)),
        (
            "openai.chat",
            {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.004596},
            Usage(1, None, None, 2, None, "0.004596"),
        ),
        (
            "openai.chat",
            {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}},
            Usage(cost_reported_usd="0.0021"),
        ),
        ("openai.chat", {"cost": 4.5e-07}, Usage(cost_reported_usd="0.00000045")),
    ],
)
def test_usage_has_one_meaning(api: str, raw: dict[str, Any], expected: Usage) -> None:
    """Input includes cached tokens and output includes reasoning, for every provider."""
    assert expected == usage(api, raw)


@pytest.mark.parametrize(
    "raw", [None, [], "x", {}, {"prompt_tokens": "9"}, {"prompt_tokens": -1}, {"cost": float("nan")}]
)
def test_no_usage_is_none(raw: object) -> None:
    """Absent, empty and senseless usage objects read as no usage, not as zero."""
    assert usage("openai.chat", raw) is None


def test_anthropic_without_fresh_tokens_has_no_input() -> None:
    """A last stream event without ``input_tokens`` leaves the input unknown instead of counting the cache alone."""
    assert Usage(None, 3, None, 7) == usage("anthropic.messages", {"cache_read_input_tokens": 3, "output_tokens": 7})


@given(api=st.sampled_from(["openai.chat", "anthropic.messages", "gemini", "ollama"]), raw=JSON)
def test_usage_never_raises(api: str, raw: object) -> None:
    """Any JSON value reads as a usage or as none."""
    found = usage(api, raw)
    assert found is None or found.cost_reported_usd is None or Decimal(found.cost_reported_usd) >= 0


@given(
    raw=st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"]), COUNTS, min_size=1),
    text=st.text(),
    spaced=st.booleans(),
)
def test_fragment_is_the_bodys_usage(raw: dict[str, int], text: str, spaced: bool) -> None:
    """The fragment equals the body's usage, whatever the message says, also about usage."""
    body = {"choices": [{"message": {"content": text + ' "usage": {"prompt_tokens": 666}'}}], "usage": raw}
    separators = (", ", ": ") if spaced else (",", ":")
    found = fragment(json.dumps(body, separators=separators).encode()[-8192:])
    assert found is not None
    assert raw == json.loads(found)


@given(
    tail=st.binary(max_size=300) | st.text(alphabet='{}[]":,usage 0\\', max_size=200).map(str.encode), key=st.booleans()
)
def test_fragment_never_raises(tail: bytes, key: bool) -> None:
    """Any bytes, cut anywhere, give a JSON object or None."""
    found = fragment(b'{"usage":' + tail if key else tail)
    assert found is None or isinstance(json.loads(found), dict)


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b'data: {"usage":null}\n\ndata: [DONE]\n\n',
        b'{"usage":{"prompt_tokens":1,"completion_to',
        b'{"content":"the \\"usage\\":{\\"a\\":1}"}',
        b'{"usage":{"note":"' + b"x" * 41 + b'"}}',
        b'{"usage":{' + b",".join(b'"k%d":1' % i for i in range(400)) + b"}}",
        b'{"usage":' + b"[" * 5000,
        b'{"usage":' + b'{"a":' * 5000,
    ],
)
def test_fragment_refuses(tail: bytes) -> None:
    """No usage, a cut one, one inside a message, one with prose, one beyond 2 kB: None."""
    assert fragment(tail) is None
    assert FRAGMENT_BYTES == 2048


def test_fragment_of_streams() -> None:
    """The last usage counts, nulls are skipped, and Anthropic's input tokens come from the stream's beginning."""
    chat = b'data: {"usage":{"prompt_tokens":3}}\n\ndata: {"usage":null}\n\ndata: [DONE]\n\n'
    assert fragment(chat) == '{"prompt_tokens":3}'
    head = b'data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\n'
    tail = b'data: {"type":"message_delta","usage":{"output_tokens":7}}\n\n'
    assert json.loads(fragment(head + tail) or "") == {"input_tokens": 9, "output_tokens": 7}
    assert json.loads(fragment(tail, head) or "") == {"input_tokens": 9, "output_tokens": 7}
    assert json.loads(fragment(b'{"done":true,"prompt_eval_count":9,"eval_count":7}') or "") == {
        "prompt_eval_count": 9,
        "eval_count": 7,
    }


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"gpt-x","messages":[]}', "gpt-x"),
        (b'{ "messages" : [] , "model" : "gpt-x" }', "gpt-x"),
        (b'{"model":"outer","messages":[{"input":{"model":"inner"}}]}', "outer"),
        (b'{"messages":[{"input":{"model":"inner"}}],"model":"outer","tools":[{"default":{"model":"x"}}]}', "outer"),
        (b'{"messages":[{"content":"\\"model\\": \\"no\\""}],"model":"yes"}', "yes"),
        (b'{"tools":[{"properties":{"model":{"type":"string"}}}],"model":"yes"}', "yes"),
        ('{"model":"mödel"}'.encode(), "mödel"),
        (b'{"model":"m\\u00f6del"}', "mödel"),
        (b"", None),
        (b'{"model":null}', None),
        (b'{"model":"' + b"x" * 9999 + b'"}', None),
        (b'{"messages":[{"model":"inner"}],"a":{"model":"b"}}', None),
    ],
)
def test_model_of(body: bytes, model: str | None) -> None:
    """The top-level model is found, not one in a message, an argument or a schema."""
    assert model == model_of(body)


def test_model_in_the_path() -> None:
    """Gemini and Azure name the model in the path, and the body's comes first."""
    assert model_of(b'{"contents":[]}', "/v1beta/models/gemini-x:generateContent") == "gemini-x"
    assert model_in("/openai/deployments/gpt-4o/chat/completions?api-version=1") == "gpt-4o"
    assert model_of(b'{"model":"a"}', "/openai/deployments/b/chat/completions") == "a"
    assert model_in("/v1/chat/completions") is None


@given(body=st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_model_of_never_raises(body: bytes) -> None:
    """Any bytes give a name or None."""
    assert isinstance(model_of(b'{"a":{"model":"x"},"model":' + body), str | None)


def test_hot_path_is_cheap() -> None:
    """On 2 kB bodies both look-ups take microseconds, and hostile bodies do not blow them up."""
    request = json.dumps({"messages": [{"role": "user", "content": "x" * 2000}], "model": "gpt-x"}).encode()
    response = json.dumps({"choices": ["y" * 2000], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
    started = time.thread_time()
    for _ in range(1000):
        model_of(request)
        fragment(response)
    assert time.thread_time() - started < 0.1  # 100 us for both, twenty times what was measured
    started = time.thread_time()
    model_of(b'"model"' * 200_000)
    fragment(b'"usage":{' * 1000)
    assert time.thread_time() - started < 2


@pytest.mark.parametrize(
    "extra",
    [
        {"service_tier": "sk-proj-" + "Qz7a" * 6},
        {"details": [{"tiers": ["standard", "ghp_" + "a1B2" * 6]}]},
        {"password": "hunter2"},
    ],
)
def test_fragment_with_a_secret_is_refused(extra: dict[str, Any]) -> None:
    """A usage object is kept with its short enums, and not with what looks like a key or is called one."""
    enums = {"prompt_tokens": 9, "service_tier": "standard", "modalities": ["TEXT"]}
    assert fragment(json.dumps({"usage": enums}).encode()) == json.dumps(enums)
    assert fragment(json.dumps({"usage": {**enums, **extra}}).encode()) is None
