"""The cases that are compared: a way to use an SDK, what the provider does meanwhile, and a policy that is not active.

In: a seed and a number, from the environment where it names others than usual. Out: the same cases every time. The
first ones cover: they are drawn one after the other, and of several candidates the one wins whose values have least of
what is due to them, so that a hundred cases cover every value of a space of millions. The others Hypothesis draws from
the same axes: see :mod:`drawing`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import faults
from policies import INACTIVE

SEED = int(os.environ.get("TRIMTAB_DIFFERENTIAL_SEED", "3"))
COUNT = int(os.environ.get("TRIMTAB_DIFFERENTIAL_CASES", "136"))
COVERING = min(COUNT, 130)
"""How many of them cover."""
CANDIDATES = 150
"""Drawn for each case that is kept."""
DUE = 10
"""How many times as often as anything else nothing is to go wrong."""

SDK_APIS = ("openai.chat", "openai.responses", "anthropic.messages")
HTTP_APIS = ("httpx", "httpx2")
APIS = (*SDK_APIS, "openai.embeddings", *HTTP_APIS)

WHOLE = ("plain", "raw response", "streaming response", "low level")
STREAMS = ("stream", "raw stream", "streaming stream", "helper")
LEFT = ("break", "unread", "forget", "cancel")
"""Ways that leave a stream before its end."""
WAYS = {
    **dict.fromkeys(SDK_APIS, (*WHOLE, *STREAMS, *LEFT, "tools", "listing")),
    "openai.embeddings": WHOLE,
    **dict.fromkeys(HTTP_APIS, ("plain", "stream", "raw stream", *LEFT[:2], "cancel", "generator", "auth", "listing")),
}
"""How a program asks, by API; :mod:`sdk_ways` and :mod:`http_ways` have one function for each."""

HOOKS = ("none", "request raises", "response raises", "raise for status", "read")
CLIENTS = ("default", "own", "slicing", "legacy")
"""The SDK's own HTTP client; one over a transport that counts; the same, cutting bodies into pieces of seven bytes, so
that chunks do not depend on the network; and the former on httpx instead of httpx2."""
GIVEN = ("client", "with_options", "call")
"""Where timeout and retries are set."""
TIMEOUTS = ("none", "number", "object")


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison."""

    api: str
    is_async: bool
    way: str
    fault: str
    answer: str
    retries: int
    timeout: str
    given: str
    hook: str
    client: str
    gzip: bool
    at_once: int
    is_built_before: bool
    """Whether the client is older than ``instrument()``."""
    in_run: bool
    uses_uvloop: bool
    policy: str

    @property
    def streams(self) -> bool:
        """Whether the request asks for a stream."""
        return self.way in STREAMS or self.way in LEFT

    @property
    def is_left(self) -> bool:
        """Whether the program hangs up while the provider is sending."""
        return self.way in LEFT

    @property
    def is_late(self) -> bool:
        """Whether a timeout ends it."""
        return self.fault in ("slow", "stall")

    @property
    def is_hasty(self) -> bool:
        """Whether how much the provider sends depends on when an exception of the program's own hook reaches it."""
        return self.streams and self.hook in ("response raises", "raise for status")

    @property
    def values(self) -> list[tuple[object, ...]]:
        """What is to be covered: what goes wrong in each API, and while what is read how, under each policy."""
        way, fault = ("way", self.api, self.is_async, self.way), ("fault", self.api, self.fault)
        return [
            way,
            fault,
            ("fault", self.streams, self.fault),
            ("policy", self.policy),
            ("hook", self.hook, self.streams),
        ]

    def __str__(self) -> str:
        return ", ".join(str(value) for value in astuple(self))


def axes(api: str) -> dict[str, list[Any]]:
    """What each value of a case but its API is drawn from, the simplest first and what is due more often repeated."""
    is_http = api in HTTP_APIS
    return {
        "is_async": [False, True],
        "way": list(WAYS[api]),
        "fault": [*["none"] * DUE, *(name for name in faults.NAMES if name != "none")],
        "answer": list(faults.ANSWERS),
        "retries": [0, 1, 2],
        "timeout": list(TIMEOUTS),
        "given": list(GIVEN[:1] if is_http else GIVEN),
        "hook": [*["none"] * DUE, *HOOKS[1:]],
        "client": [*([] if is_http else ["default"]), *["own"] * 3, *["slicing"] * 3, *([] if is_http else ["legacy"])],
        "gzip": [False, False, True],
        "at_once": [1, 1, 1, 4],
        "is_built_before": [False, True],
        "in_run": [False, False, True],
        "uses_uvloop": [False, False, True],
        "policy": list(INACTIVE),
    }


def generate(count: int = COVERING, seed: int = SEED) -> dict[str, Case]:
    """The cases that cover, by number and content."""
    rng = random.Random(seed)
    used: Counter[tuple[object, ...]] = Counter()
    cases: dict[str, Case] = {}
    for number in range(count):
        candidates = _candidates(rng, APIS[number % len(APIS)])
        case = min(candidates, key=lambda c: sum(used[v] / (DUE if "none" in v else 1) for v in c.values))
        used.update(case.values)
        cases[f"{number:03} {case}"] = case
    return cases


def _candidates(rng: random.Random, api: str) -> Iterator[Case]:
    left, of_api = CANDIDATES, axes(api)
    while left:
        case = Case(api, **{axis: rng.choice(values) for axis, values in of_api.items()})
        if is_possible(case):
            left -= 1
            yield case


def is_possible(case: Case) -> bool:
    """Whether a case can be played, and would come out the same twice."""
    return all(
        (
            _has_such_a_client(case),
            _has_such_a_fault(case),
            case.is_async or not (case.way == "cancel" or case.uses_uvloop),
            # What hangs up early is waited for, which needs a transport that counts.
            case.client != "default" or not (case.is_left or case.is_late or case.hook != "none"),
            case.at_once == 1 or not (case.is_left or case.is_late or case.hook != "none" or _tells_order(case)),
            not case.is_left or (case.fault in ("none", "429 once", "503 once", "drop once") and case.hook != "read"),
            not case.is_late or (case.timeout == "object" and case.retries < 2 and case.hook != "read"),
        )
    )


def _tells_order(case: Case) -> bool:
    """Whether the number of a request shows elsewhere than in its ids: in pieces of them, or how well they compress."""
    return case.gzip or case.way in ("raw stream", "streaming stream")


def _has_such_a_client(case: Case) -> bool:
    return case.client != "legacy" or case.api.startswith("openai")  # anthropic takes no other than httpx2's


def _has_such_a_fault(case: Case) -> bool:
    whole = not case.streams
    return all(
        (
            case.fault != "malformed arguments" or "tool" in case.answer,
            case.fault != "truncate" or "tool" not in case.answer,
            case.fault != "stall" or (case.streams and not case.is_left),
            case.fault != "429 in an hour" or case.retries < 2,
            case.way != "listing" or case.fault == "none",
            case.way != "tools" or (case.answer == "tool" and case.at_once == 1),
            case.api != "openai.embeddings" or case.answer in ("text", "counted"),
            case.api != "openai.embeddings" or case.fault not in ("malformed arguments", "truncate", "content filter"),
            not (whole and case.fault.startswith("error event")) or case.answer == "text",
        )
    )
