"""What a policy may set each knob to: asked by the agent when it reads, by the sidecar before it writes.

In: a knob's name and a JSON value. Out: nothing, or :class:`~.errors.PolicyError`. Apart from :mod:`.policy` because
each knob has a shape of its own, and this is the one list of them. Ranges here are wider than the caps of
:mod:`.caps`: a value between the two is obeyed up to the cap.

No value carries where requests go or what they are signed with: texts with an address or a secret in them are refused,
and so are declared knobs whose names say that they hold one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from .errors import PolicyError
from .patterns import lazy_pattern
from .policy_json import (
    check_integer,
    check_keys,
    check_number,
    check_plain,
    check_text,
    inside,
    shown,
)
from .redact import redact

STEERABLE = (
    *("model", "timeout_s", "max_retries", "backoff", "fallback", "max_tokens"),
    *("hedge_delay_s", "retry_budget", "circuit_breaker", "max_concurrency"),
    *("temperature", "reasoning_effort", "prompt_cache", "endpoint", "escalate"),
)
"""Knobs of a call itself; any other name is one that the code declares with ``trimtab.knob()``."""

RETRY_CLASSES = (
    "rate_limit",
    "overloaded",
    "server",
    "timeout",
    "connection",
    "quota",
    "not_found",
    "context_overflow",
    "bad_request",
    "other",
)
"""Classes of :mod:`.wire.errors` that ``max_retries`` may name. Bad credentials and a call that was cancelled are
never repeated, nor is a stream whose beginning the agent has already seen."""
FALLBACK_CLASSES = tuple(name for name in RETRY_CLASSES if name != "bad_request")
"""Classes after which another model may be asked: a request that is wrong stays wrong."""

STATUSES = frozenset((*(str(n) for n in range(400, 600) if n not in (401, 403)), "4xx", "5xx"))
"""Statuses, and classes of them, that ``max_retries`` may name besides."""

MAX_RETRIES_WRITTEN = 10
"""Largest number of retries a document may write."""
MAX_TIMEOUT_S = 3600.0
"""Longest timeout."""
MAX_BACKOFF_S = 60.0
"""Longest pause a backoff may name."""
MAX_OUTPUT_TOKENS = 1_000_000
"""Largest ``max_tokens``."""
MAX_FALLBACK_MODELS = 3
"""Models that a fallback tries, one after the other."""
MIN_HEDGE_DELAY_S, MAX_HEDGE_DELAY_S = 0.05, 600.0
"""When a second request may follow the first."""
MAX_BUDGET = 10_000
"""Largest capacity of a retry budget, in tokens."""
MAX_COST = 1000
"""Most tokens that one request may cost or one answer may bring."""
MAX_BREAKER_FAILURES = 100
"""Most failures in a row that a breaker may wait for."""
MAX_WINDOW_S = 600.0
"""Longest time in which they count."""
MIN_OPEN_S, MAX_OPEN_S = 0.1, 4.0
"""From one probe to the next: short enough that calls go through again 5 s after an outage."""
MAX_PLACES = 10_000
"""Largest ``max_concurrency``."""
MAX_TEMPERATURE = 2.0
"""Highest ``temperature``."""
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""What ``reasoning_effort`` may be; no provider takes all of them."""
CACHE_LIFETIMES = ("5m", "1h")
"""What ``prompt_cache`` may be: how long Anthropic keeps what it has read."""
MAX_CHECKS = 5
"""Checks of one ``escalate``."""
MAX_DECLARED_BYTES = 4096
"""A declared knob's value as JSON."""

_MODEL = lazy_pattern(r"[A-Za-z0-9._:/@+-]{1,200}")
_KNOB = lazy_pattern(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_ENDPOINT = lazy_pattern(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS = lazy_pattern(
    r"://|%3a%2f%2f|^\s*(?://|\\\\)|(?<![\w.])www\.|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"
    # With a port: evil.example:8080, localhost:8080, [::1]:8080; 10:30 and qwen2.5:72b are none.
    r"|(?<![\w.-])(?:localhost|(?:[a-z0-9-]+\.)+[a-z]{2,}|\[(?=[0-9a-f.]*:)[0-9a-f:.]+\]):\d{2,5}(?!\w)",
    re.IGNORECASE,
)
"""What betrays an address inside a text; a bare host name can't be told from a word."""
_HOLDERS = lazy_pattern(
    r"(?:^|_)(?:urls?|uri|endpoints?|hosts?|hostname|prox(?:y|ies)|webhook|passw(?:or)?d|passphrase|secrets?"
    r"|credentials?|authorization|bearer|cookies?|dsn|jwt"
    r"|(?:api|access|secret|private|signing|account|auth|session|refresh|bot)_?(?:keys?|token|base))(?:_|$)"
)
"""Words of a name, in lower case with ``_`` between them, that say what it holds."""
_WORD = lazy_pattern(r"[A-Z]*[a-z]+|[A-Z]+|[0-9]+")


def check_knob(knob: Any, where: str) -> str:
    """``knob`` as the name of one that a policy may set.

    Raises:
        PolicyError: no name of a knob, or the name of one that holds an address or a secret.
    """
    name = check_text(knob, where, _KNOB, "a letter or _, then at most 63 letters, digits and _ . -")
    if name not in STEERABLE and _HOLDERS.search("_".join(_WORD.findall(name)).lower()):
        expected = "a knob that by its name holds no address and no secret: a policy never carries those"
        raise PolicyError.unusable(where, shown(name), expected)
    return name


def check_value(knob: str, value: Any, where: str = "value") -> None:
    """Refuse a ``value`` that no policy may set ``knob`` to.

    Args:
        knob: One of :data:`STEERABLE`, or the name of a declared one.
        value: As it came out of a JSON reader.
        where: What an error calls it.

    Raises:
        PolicyError: in one sentence: the place, what was seen, what was expected.
    """
    check_knob(knob, "knob")
    check_plain(value, where)
    _CHECKS.get(knob, _declared)(value, where)
    check_harmless({knob: value}, where)


def check_harmless(value: Any, where: str) -> None:
    """Refuse a secret or an address in any text of a plain JSON ``value``, judged also by the key it stands under."""
    dumped = json.dumps(value, ensure_ascii=False)
    if redact(dumped) != dumped:
        raise PolicyError.unusable(where, "something that looks like a secret", "none: a policy never carries one")
    if any(_ADDRESS.search(text) for text in _texts(value)):
        raise PolicyError.unusable(where, "something with an address in it", "none: a policy never carries one")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in _texts(inner))]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else []


def _model(value: Any, where: str) -> None:
    expected = "a model's name: 1 to 200 of letters, digits and . _ : / @ + -, without '//' and '..'"
    name = check_text(value, where, _MODEL, expected)
    if "//" in name or ".." in name:  # an address, or a way out of the folder where it becomes part of a URL's path
        raise PolicyError.unusable(where, shown(name), expected)


def _timeout(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        check_number(value, where, 0.1, MAX_TIMEOUT_S)
        return
    if not value:
        raise PolicyError.unusable(where, "an empty object", "a number, or one of total, first_token and connect")
    for name, limit_s in check_keys(value, where, (), ("total", "first_token", "connect")).items():
        check_number(limit_s, inside(where, name), 0.1, MAX_TIMEOUT_S)


def _max_retries(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        check_integer(value, where, 0, MAX_RETRIES_WRITTEN)
        return
    if not value:
        raise PolicyError.unusable(where, "an empty object", "a number, or retries for one error class or more")
    statuses = tuple(name for name in value if name in STATUSES)  # not all, which a refusal would list
    for error_class, retries in check_keys(value, where, (), RETRY_CLASSES + statuses).items():
        check_integer(retries, inside(where, error_class), 0, MAX_RETRIES_WRITTEN)


def _backoff(value: Any, where: str) -> None:
    found = check_keys(value, where, ("initial_s", "factor", "max_s", "jitter"))
    initial_s = check_number(found["initial_s"], f"{where}.initial_s", 0, MAX_BACKOFF_S)
    check_number(found["factor"], f"{where}.factor", 1, 10)
    check_number(found["max_s"], f"{where}.max_s", initial_s, MAX_BACKOFF_S)
    check_number(found["jitter"], f"{where}.jitter", 0, 1)


def _fallback(value: Any, where: str) -> None:
    found = check_keys(value, where, ("on", "models"))
    classes = _unique(found["on"], f"{where}.on", len(FALLBACK_CLASSES))
    for i, error_class in enumerate(classes):
        if error_class not in FALLBACK_CLASSES:
            raise PolicyError.unusable(f"{where}.on[{i}]", shown(error_class), f"one of {', '.join(FALLBACK_CLASSES)}")
    for i, model in enumerate(_unique(found["models"], f"{where}.models", MAX_FALLBACK_MODELS)):
        _model(model, f"{where}.models[{i}]")


def _unique(value: Any, where: str, most: int) -> list[str]:
    """A list of 1 to ``most`` texts, each once."""
    is_list = isinstance(value, list) and 1 <= len(value) <= most and all(isinstance(v, str) for v in value)
    if not is_list or len(set(value)) < len(value):
        raise PolicyError.unusable(where, shown(value), f"a list of 1 to {most} different texts")
    return list(value)


def _max_tokens(value: Any, where: str) -> None:
    check_integer(value, where, 1, MAX_OUTPUT_TOKENS)


def _hedge_delay(value: Any, where: str) -> None:
    check_number(value, where, MIN_HEDGE_DELAY_S, MAX_HEDGE_DELAY_S)


def _retry_budget(value: Any, where: str) -> None:
    found = check_keys(value, where, ("capacity", "retry_cost", "timeout_cost", "refill"))
    check_number(found["capacity"], f"{where}.capacity", 0, MAX_BUDGET)
    for name in ("retry_cost", "timeout_cost"):
        check_number(found[name], f"{where}.{name}", 1, MAX_COST)
    check_number(found["refill"], f"{where}.refill", 0, MAX_COST)


def _circuit_breaker(value: Any, where: str) -> None:
    found = check_keys(value, where, ("failures", "window_s", "open_s"))
    check_integer(found["failures"], f"{where}.failures", 1, MAX_BREAKER_FAILURES)
    check_number(found["window_s"], f"{where}.window_s", 1, MAX_WINDOW_S)
    check_number(found["open_s"], f"{where}.open_s", MIN_OPEN_S, MAX_OPEN_S)


def _max_concurrency(value: Any, where: str) -> None:
    check_integer(value, where, 1, MAX_PLACES)


def _temperature(value: Any, where: str) -> None:
    check_number(value, where, 0, MAX_TEMPERATURE)


def _one_of(allowed: tuple[str, ...]) -> Callable[[Any, str], None]:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise PolicyError.unusable(where, shown(value), f"one of {', '.join(allowed)}")

    return check


def _endpoint(value: Any, where: str) -> None:
    check_text(value, where, _ENDPOINT, "the name of an endpoint: 1 to 64 letters, digits, _ and -")


def _escalate(value: Any, where: str) -> None:
    found = check_keys(value, where, ("model", "verify"), ("threshold",))
    if "threshold" in found:
        check_number(found["threshold"], f"{where}.threshold", 0.0, 1.0)
    _model(found["model"], f"{where}.model")
    for i, name in enumerate(_unique(found["verify"], f"{where}.verify", MAX_CHECKS)):
        check_text(name, f"{where}.verify[{i}]", _KNOB, "the name of a verifier")


def _declared(value: Any, where: str) -> None:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_DECLARED_BYTES:
        raise PolicyError.unusable(where, f"{size} bytes of JSON", f"at most {MAX_DECLARED_BYTES}")


_CHECKS: dict[str, Callable[[Any, str], None]] = {
    "model": _model,
    "timeout_s": _timeout,
    "max_retries": _max_retries,
    "backoff": _backoff,
    "fallback": _fallback,
    "max_tokens": _max_tokens,
    "hedge_delay_s": _hedge_delay,
    "retry_budget": _retry_budget,
    "circuit_breaker": _circuit_breaker,
    "max_concurrency": _max_concurrency,
    "temperature": _temperature,
    "reasoning_effort": _one_of(EFFORTS),
    "prompt_cache": _one_of(CACHE_LIFETIMES),
    "endpoint": _endpoint,
    "escalate": _escalate,
}
