"""Detours: one thing is left at a time, each once, and what failed is left alone for as long as it should be."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer import detours as module
from trimtab_tracer.decisions import Order, Pin
from trimtab_tracer.detours import LEFT_S, Detour, Escalation, LeftAlone, endpoint_key, first_key, knob_key
from trimtab_tracer.records import Site
from trimtab_tracer.resending import Destination, Outgoing
from trimtab_tracer.retries import Failure, of_status
from trimtab_tracer.rewrite import Draft, draft
from trimtab_tracer.setting_values import Endpoint

URL = "https://own.example/v1/chat/completions"
BODY: dict[str, Any] = {"model": "own", "messages": [], "temperature": 1}
SITE = Site("site", "a.py", "f", 1, 1, "f()")
ORDER = Order("escalate", {}, False, 1.0, "human", 1, "r", Pin(SITE, "code", "call"))
REFUSED = of_status(400, {}, b"{}")
DOWN = of_status(500, {}, b"{}")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def everything(left: LeftAlone) -> Detour:
    """A call that tries another temperature, another endpoint and another model first."""
    request = httpx2.Request("POST", URL, json=BODY, headers={"authorization": "Bearer own"})
    asked = draft("openai.chat", request, request.content)
    assert asked is not None
    tried = Draft(asked.api, asked.raw_path, {**asked.body, "temperature": 0.5})
    outgoing = Outgoing(
        request=request,
        body=request.content,
        model="own",
        asked=asked,
        draft=tried,
        timeout=None,
        bare=asked,
        changed=("temperature",),
        destination=Destination(Endpoint("other", "https://other.example/v1", "KEY"), "key"),
        first="cheap",
    )
    return Detour(left, outgoing, "site", Escalation(ORDER, ("json",), 0.5, tried.body))


def told(sending: Any) -> tuple[str, str, float] | None:
    """Host, model and temperature of a request."""
    if sending is None:
        return None
    body = json.loads(sending.request.content)
    assert body["model"] == sending.model
    assert sending.request.headers["authorization"] == f"Bearer {'own' if 'own' in sending.request.url.host else 'key'}"
    return sending.request.url.host.partition(".")[0], body["model"], body["temperature"]


def test_one_thing_is_left_at_a_time() -> None:
    """Parameters that the refusal names, then the model that was first, then the endpoint; then the failure stands."""
    detour = everything(LeftAlone())
    steps = [detour.failed(REFUSED, 400, b"temperature: no"), *(detour.failed(DOWN, 500, b"") for _ in range(3))]
    assert [("other", "cheap", 1), ("other", "own", 1), ("own", "own", 1), None] == [told(step) for step in steps]
    assert ("failed: server", False) == (detour.verdict, detour.is_open)
    assert steps[2] is not None
    assert detour.own.request is steps[2].request


def test_answer_that_is_turned_down() -> None:
    """It is asked again with everything but the model that was first; one that passes stands."""
    detour = everything(LeftAlone())
    detour.failed_check = ""
    assert detour.judged() is None
    assert "passed" == detour.verdict
    for check, verdict in (("json", "failed: json"), (None, "failed: error")):
        detour = everything(LeftAlone())
        detour.failed_check = check
        assert ("other", "own", 0.5) == told(detour.judged())
        assert verdict == detour.verdict


def test_a_grade_stands_in_the_verdict() -> None:
    """Whether it passed or not; experiments over thresholds are told apart by it."""
    for check, verdict in (("", "passed 0.82"), ("cites", "failed: cites 0.82")):
        detour = everything(LeftAlone())
        detour.failed_check, detour.grade = check, 0.82
        detour.judged()
        assert verdict == detour.verdict


@pytest.mark.parametrize(
    ("failure", "status", "body", "left_alone"),
    [
        (REFUSED, 400, b"no temperature", [True, False, False]),
        (REFUSED, 400, b"something else", [False, False, False]),
        (DOWN, 500, b"temperature", [False, True, False]),
        (Failure("connection", True), None, None, [False, True, False]),
        (of_status(404, {}, b"{}"), 404, b"{}", [False, True, False]),
    ],
)
def test_what_is_left_alone(failure: Failure, status: int | None, body: bytes | None, left_alone: list[bool]) -> None:
    """A parameter by the refusal that names it; a model by its failure, not by a wrong request."""
    left = LeftAlone()
    everything(left).failed(failure, status, body)
    keys = [knob_key("temperature", "site", "own"), first_key("own.example", "cheap"), endpoint_key("other")]
    assert left_alone == [left.has(key) for key in keys]
    assert not left.has(knob_key("temperature", "elsewhere", "own"))


def test_failures_pass_and_refusals_do_not() -> None:
    """After a while a failed endpoint is tried again; a refused parameter never is."""
    clock = Clock()
    left = LeftAlone(clock)
    assert not left.has(("a",))
    left.leave(("a",), LEFT_S)
    left.leave(("b",))
    found = []
    for clock.now_s in (0.0, LEFT_S - 1, LEFT_S + 1, 1e9):
        found.append((left.has(("a",)), left.has(("b",)), left.has(("c",), ("b",))))
    assert [(True, True, True)] * 2 + [(False, True, True)] * 2 == found


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first."""
    monkeypatch.setattr(module, "MAX_KNOWN", 3)
    left = LeftAlone()
    for name in "abcd":
        left.leave((name,))
    assert [False, True, True, True] == [left.has((name,)) for name in "abcd"]


@given(st.lists(st.sampled_from(["refusal", "wrong", "down", "lost", "judged"]), max_size=8))
def test_no_order_of_failures_sends_more_than_three(kinds: list[str]) -> None:
    """Whatever fails, in whichever order: at most one more request for each thing that was tried."""
    detour = everything(LeftAlone())
    sent = []
    for kind in kinds:
        match kind:
            case "judged" if detour.escalation is not None:
                sent.append(detour.judged())
                detour.escalation = None
            case "refusal":
                sent.append(detour.failed(REFUSED, 400, b"temperature"))
            case "wrong":
                sent.append(detour.failed(REFUSED, 400, b"messages"))
            case "lost":
                sent.append(detour.failed(Failure("connection", True), None, None))
            case "down":
                sent.append(detour.failed(DOWN, 503, b""))
    different = [told(each) for each in sent if each is not None]
    assert len(different) == len(set(different)) <= 3
