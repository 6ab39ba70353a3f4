"""Values of knobs: what each knob takes, and that no value carries an address or a secret."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy import STEERABLE, check_value
from trimtab_tracer.policy_values import EFFORTS, FALLBACK_CLASSES, RETRY_CLASSES
from trimtab_tracer.wire.errors import classify

BACKOFF = {"initial_s": 0.5, "factor": 2, "max_s": 8, "jitter": 0.25}
FALLBACK = {"on": ["overloaded"], "models": ["gpt-6-mini"]}

BUDGET = {"capacity": 500, "retry_cost": 5, "timeout_cost": 10, "refill": 1}
BREAKER = {"failures": 5, "window_s": 60, "open_s": 4}

GOOD: list[tuple[str, Any]] = [
    ("model", "gpt-6-mini"),
    ("model", "meta-llama/Llama-4@prod:free"),
    ("model", "arn:aws:bedrock:us-east-1::foundation-model/x"),
    ("timeout_s", 0.1),
    ("timeout_s", 3600),
    ("max_retries", 0),
    ("max_retries", 10),
    ("max_retries", {"rate_limit": 3, "other": 0}),
    ("backoff", BACKOFF),
    ("backoff", {"initial_s": 0, "factor": 1, "max_s": 0, "jitter": 0}),
    ("fallback", FALLBACK),
    ("fallback", {"on": list(FALLBACK_CLASSES), "models": ["a", "b", "c"]}),
    ("timeout_s", {"total": 60, "first_token": 0.1, "connect": 3600}),
    ("timeout_s", {"first_token": 5}),
    ("max_retries", {"529": 3, "5xx": 1, "4xx": 0, "404": 1, "overloaded": 2}),
    ("hedge_delay_s", 0.05),
    ("hedge_delay_s", 600),
    ("retry_budget", BUDGET),
    ("circuit_breaker", BREAKER),
    ("max_concurrency", 1),
    ("max_tokens", 1),
    ("max_tokens", 1_000_000),
    ("temperature", 0),
    ("temperature", 2.0),
    *(("reasoning_effort", effort) for effort in EFFORTS),
    ("prompt_cache", "1h"),
    ("endpoint", "eu-west_1"),
    ("escalate", {"model": "gpt-6-mini", "verify": ["nonempty", "json", "my_check", "b.c-d", "e"]}),
    ("top_k", 5),
    ("top_k", None),
    ("prompt.version", "v2: say it short; mind key points, 10:30 is fine"),
    ("stops", ["a", {"b": 1.5}]),
    ("token_budget", 12345678),
    ("top_k", "qwen2.5:72b, meta.llama3:1 or mistral.v2:8b at 10:30, list[1:30]; see e.g. [10:30] and README.md: 12"),
    ("model", "anthropic.claude-sonnet-5-20260101-v1:0"),
    ("model", "hf.co/org/Model-GGUF:Q4_K_M"),
    ("prompt", "x" * 4094),
]

BAD: list[tuple[str, Any, str]] = [
    ("model", "", "a model's name"),
    ("model", "x" * 201, "a model's name"),
    ("model", "a b", "a model's name"),
    ("model", "https://evil.example/v1", "a model's name"),
    ("model", "//evil.example/m", "a model's name"),
    ("model", "../../files", "without '//' and '..'"),
    ("model", "m?key=1", "a model's name"),
    ("model", "m\n", "a model's name"),
    ("model", "sk-abcdefghij0123456789", "looks like a secret"),
    ("model", "10.0.0.7:8000/m", "an address"),
    ("model", 4, "a model's name"),
    ("temperature", 2.1, "from 0 to 2"),
    ("temperature", True, "from 0 to 2"),
    ("reasoning_effort", "harder", "one of none, minimal, low, medium, high, xhigh, max"),
    ("reasoning_effort", None, "one of none, minimal"),
    ("prompt_cache", True, "one of 5m, 1h"),
    ("endpoint", "https://evil.example/v1", "the name of an endpoint"),
    ("endpoint", "evil.example", "the name of an endpoint"),
    ("endpoint", "", "the name of an endpoint"),
    ("escalate", {"model": "m"}, "verify"),
    ("escalate", {"model": "m", "verify": []}, "a list of 1 to 5 different texts"),
    ("escalate", {"model": "m", "verify": ["a", "b", "c", "d", "e", "f"]}, "a list of 1 to 5 different texts"),
    ("escalate", {"model": "https://evil.example/v1", "verify": ["json"]}, "a model's name"),
    ("escalate", {"model": "m", "verify": ["not a name"]}, "the name of a verifier"),
    ("escalate", {"model": "m", "verify": ["json"], "base_url": "x"}, "unknown key"),
    ("timeout_s", 0.09, "from 0.1 to 3600"),
    ("timeout_s", 3600.1, "from 0.1 to 3600"),
    ("timeout_s", True, "is true"),
    ("timeout_s", "10", 'is "10"'),
    ("timeout_s", float("nan"), "no finite number"),
    ("timeout_s", float("inf"), "no finite number"),
    ("timeout_s", None, "is null"),
    ("timeout_s", {}, "an empty object"),
    ("timeout_s", {"read": 3}, "unknown key"),
    ("timeout_s", {"total": 0}, "value.total is 0"),
    ("max_retries", {"401": 1}, "unknown key"),
    ("max_retries", {"403": 1}, "unknown key"),
    ("max_retries", {"200": 1}, "unknown key"),
    ("max_retries", {"3xx": 1}, "unknown key"),
    ("max_retries", {"529": 11}, "is 11"),
    ("hedge_delay_s", 0.01, "from 0.05 to 600"),
    ("hedge_delay_s", None, "is null"),
    ("retry_budget", {"capacity": 500}, "lacks the key"),
    ("retry_budget", {**BUDGET, "retry_cost": 0}, "value.retry_cost is 0"),
    ("retry_budget", {**BUDGET, "capacity": -1}, "value.capacity is -1"),
    ("circuit_breaker", {**BREAKER, "open_s": 5}, "value.open_s is 5"),
    ("circuit_breaker", {**BREAKER, "failures": 0}, "value.failures is 0"),
    ("circuit_breaker", {**BREAKER, "probes": 2}, "unknown key"),
    ("max_concurrency", 0, "from 1 to 10000"),
    ("max_concurrency", 2.0, "is 2.0"),
    ("max_retries", -1, "from 0 to 10"),
    ("max_retries", 11, "from 0 to 10"),
    ("max_retries", 3.0, "is 3.0"),
    ("max_retries", {}, "an empty object"),
    ("max_retries", {"auth": 1}, "unknown key"),
    ("max_retries", {"rate_limit": 11}, "value.rate_limit is 11"),
    ("backoff", 1, "an object"),
    ("backoff", {**BACKOFF, "base": 2}, "unknown key"),
    ("backoff", {"initial_s": 1, "factor": 2, "max_s": 8}, "lacks the key 'jitter'"),
    ("backoff", {**BACKOFF, "initial_s": 61}, "value.initial_s is 61"),
    ("backoff", {**BACKOFF, "factor": 0.5}, "value.factor is 0.5"),
    ("backoff", {**BACKOFF, "max_s": 0.4}, "value.max_s is 0.4"),
    ("backoff", {**BACKOFF, "jitter": 1.1}, "value.jitter is 1.1"),
    ("fallback", {**FALLBACK, "on": []}, "value.on is a list of 0"),
    ("fallback", {**FALLBACK, "on": "overloaded"}, "value.on is"),
    ("fallback", {**FALLBACK, "on": ["overloaded"] * 2}, "different texts"),
    ("fallback", {**FALLBACK, "on": ["bad_request"]}, 'value.on[0] is "bad_request"'),
    ("fallback", {**FALLBACK, "on": ["auth"]}, 'value.on[0] is "auth"'),
    ("fallback", {**FALLBACK, "on": [["overloaded"]]}, "different texts"),
    ("fallback", {**FALLBACK, "models": list("abcd")}, "value.models is a list of 4"),
    ("fallback", {**FALLBACK, "models": ["http://x"]}, "value.models[0] is"),
    ("fallback", {**FALLBACK, "base_url": "x"}, "unknown key"),
    ("max_tokens", 0, "from 1 to 1000000"),
    ("max_tokens", 1e3, "is 1000.0"),
    ("top_k", "x" * 4095, "4097 bytes of JSON"),
    ("top_k", "ü" * 2100, "4202 bytes of JSON"),
    ("top_k", [[[[[[[[[[[[[[1]]]]]]]]]]]]]], "nested deeper than 12"),
    ("top_k", "see https://evil.example", "an address"),
    ("top_k", {"a": ["HTTPS%3A%2F%2Fevil.example"]}, "an address"),
    ("top_k", {"http://evil.example": 1}, "an address"),
    ("top_k", "//evil.example/v1", "an address"),
    ("top_k", "www.evil.example", "an address"),
    ("top_k", "use 192.168.1.20 instead", "an address"),
    ("top_k", "evil.example:443/v1", "an address"),
    ("top_k", "ask localhost:8080", "an address"),
    ("top_k", "[fe80::1]:8080", "an address"),
    ("model", "api.evil.example:8443/m", "an address"),
    ("top_k", {"password": "hunter2hunter2"}, "looks like a secret"),
    ("top_k", "api_key=abcdef123456", "looks like a secret"),
    ("top_k", "Bearer abcdefghijklmnop1234", "looks like a secret"),
    ("base_url", "evil", "knob is"),
    ("OpenAIBaseURL", "evil", "knob is"),
    ("db.host", "evil", "knob is"),
    ("api_base", "evil", "knob is"),
    ("apiKey", "x", "knob is"),
    ("auth-token", "x", "knob is"),
    ("sessionToken", "x", "knob is"),
    ("sentry.dsn", "x", "knob is"),
    ("bearer", "x", "knob is"),
    ("", 1, "knob is"),
    ("1st", 1, "knob is"),
    ("a b", 1, "knob is"),
    ("k" * 65, 1, "knob is"),
    ("größe", 1, "knob is"),
]


@pytest.mark.parametrize(("knob", "value"), GOOD)
def test_values_a_knob_takes(knob: str, value: object) -> None:
    """Each knob takes the whole of its range, and a declared one any small JSON."""
    check_value(knob, value)


@pytest.mark.parametrize(("knob", "value", "expected"), BAD)
def test_values_no_knob_takes(knob: str, value: object, expected: str) -> None:
    """What lies outside a knob's range, or carries an address or a secret, is refused with its place."""
    with pytest.raises(PolicyError) as caught:
        check_value(knob, value)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(("value", "knob", "a key of value"))


def test_a_refused_secret_is_not_shown() -> None:
    """The sentence about a secret does not hold it."""
    with pytest.raises(PolicyError) as caught:
        check_value("top_k", {"password": "hunter2hunter2"})
    assert "hunter2" not in str(caught.value)


def test_error_classes_are_those_of_the_wire() -> None:
    """Every class that a policy may name is one that the classifier gives; no fallback on a bad request."""
    doc = classify.__doc__ or ""
    assert [] == [name for name in RETRY_CLASSES if name not in doc]
    assert {"bad_request"} == set(RETRY_CLASSES) - set(FALLBACK_CLASSES)
    assert {"auth", "cancelled", "stream_broken"}.isdisjoint(RETRY_CLASSES)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4) | st.tuples(inner)
    ),
    max_leaves=10,
)


@given(st.sampled_from(STEERABLE) | st.text(max_size=10), ANYTHING)
def test_any_value_is_taken_or_refused(knob: str, value: object) -> None:
    """Whatever Python value comes, a refusal is the one thing that is raised; what is taken is JSON."""
    with suppress(PolicyError):
        check_value(knob, value)
        assert value == json.loads(json.dumps(value))
