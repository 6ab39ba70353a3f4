"""Shadow runs: what is asked again, what is never sent, what it costs, and what comes of the pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.errors import TrimtabError
from trimtab_tracer.prices import PriceList
from trimtab_tracer.setting_values import PriceOverride
from trimtab_tracer.wire.facts import ResponseFacts, ToolCall
from trimtab_tuner.shadow import asking, judge, run
from trimtab_tuner.shadow.sample import Recorded

PRICES = PriceList([PriceOverride("small", 1.0, 2.0), PriceOverride("big", 10.0, 20.0)])
"""USD per million tokens."""


def answer(text: str, tokens: tuple[int, int] = (100, 10)) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "small", "choices": [choice], "usage": usage}


def recorded(n: int, text: str = "yes", **request: Any) -> Recorded:
    """A call that was answered with ``text``."""
    asked = {"model": "big", "messages": [{"role": "user", "content": f"question {n}"}], "stream": True} | request
    facts = ResponseFacts(text=text, finish_reason="stop")
    return Recorded(
        f"c{n}", "s1", "openai.chat", "api.example", "/v1/chat/completions", "big", asked, facts, 100, 10, 1200, 1.0
    )


class Provider:
    """Answers every request the same way and keeps what it was sent."""

    def __init__(self, text: str = "yes", status: int = 200) -> None:
        self.sent: list[httpx.Request] = []
        self._text, self._status = text, status
        self.client = httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(self._status, json=answer(self._text))


def ask(provider: Provider, calls: list[Recorded], **more: Any) -> run.Summary:
    """Shadow ``small`` on ``calls``."""
    known: dict[str, Any] = {"cap_usd": 1.0, "key": "k-1", "prices": PRICES} | more
    return run.run(provider.client, calls, "small", **known)


def test_the_same_is_asked_of_the_other_model_once_and_whole() -> None:
    """The recorded request with another model, not streamed, with the user's key, at the recorded address."""
    provider = Provider()
    done = ask(provider, [recorded(1, temperature=0.2)])
    (request,) = provider.sent
    assert str(request.url) == "https://api.example/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer k-1"
    assert json.loads(request.content) == {
        "model": "small",
        "messages": [{"role": "user", "content": "question 1"}],
        "temperature": 0.2,
    }
    (pair,) = done.pairs
    assert (pair.quality, pair.own_quality, pair.cost_musd, pair.own_cost_musd) == (1.0, 1.0, 120, 1200)


def test_the_cap_holds_before_a_request_begins() -> None:
    """A request is not sent whose answer, four times as long, would pass the cap."""
    provider = Provider()
    longest = (100 * 1.0 + 41 * 2.0) / 1e6  # USD: what is set aside for one request
    done = ask(provider, [recorded(n) for n in range(9)], cap_usd=2.5 * 120e-6)
    assert done.is_capped
    assert done.spent_musd <= 300
    assert len(provider.sent) == sum(n * 120e-6 + longest <= 300e-6 for n in range(9)) == 1


def test_a_model_of_unknown_price_is_not_asked() -> None:
    """The cap could not be kept, so nothing is sent and the sentence says how to give a price."""
    provider = Provider()
    with pytest.raises(TrimtabError, match=r'\[prices\."nobody-knows-it"\]'):
        run.run(provider.client, [recorded(1)], "nobody-knows-it", cap_usd=1.0, key="k", prices=PRICES)
    assert provider.sent == []


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "mcp", "server_url": "x"}]},
        {"mcp_servers": [{"url": "x"}]},
        {"web_search_options": {"search_context_size": "low"}},
        {"background": True},
    ],
)
def test_what_would_make_the_provider_act_is_never_sent(more: dict[str, Any]) -> None:
    """Tools that run at the provider could have side effects; tools of the agent's are only ever named."""
    provider = Provider()
    done = ask(provider, [recorded(1, **more), recorded(2, tools=[{"type": "function", "function": {"name": "pay"}}])])
    assert len(provider.sent) == len(done.pairs) == done.left_out.total() == 1


def test_a_provider_that_fails_is_left_alone() -> None:
    """After five requests in a row without an answer it ends, and says what went wrong."""
    provider = Provider(status=401)
    done = ask(provider, [recorded(n) for n in range(20)])
    assert len(provider.sent) == 5
    assert done.pairs == []
    assert dict(done.problems) == {"status 401": 5}


def test_a_judge_of_the_users_grades_both_answers() -> None:
    """It gets the request and an answer with text and tool calls; what it can't grade ends the command."""
    seen = []

    def grade(request: dict[str, Any], given: dict[str, Any]) -> float:
        seen.append((request["messages"][0]["content"], given["text"]))
        return 0.25 if given["text"] == "no" else 0.75

    done = ask(Provider("no"), [recorded(1)], by=grade, judge_name="checks:grade")
    assert seen == [("question 1", "yes"), ("question 1", "no")]
    assert [(p.own_quality, p.quality, p.judge) for p in done.pairs] == [(0.75, 0.25, "checks:grade")]
    with pytest.raises(TrimtabError, match="expected a number from 0 to 1"):
        ask(Provider(), [recorded(1)], by=lambda request, given: 7.0)


def test_a_judge_is_found_beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--judge MODULE:FUNCTION`` is imported from the working directory; one that is not there is named."""
    (tmp_path / "own_checks.py").write_text("def grade(request, answer):\n    return 1.0\n")
    monkeypatch.chdir(tmp_path)
    assert judge.load("own_checks:grade")({}, {}) == 1.0
    for name in ("own_checks:nothing", "no_such_module:grade", "own_checks"):
        with pytest.raises(TrimtabError, match="--judge"):
            judge.load(name)


@given(st.text(), st.text())
def test_agreement_is_symmetric_and_between_0_and_1(one: str, two: str) -> None:
    """Whatever is said, agreement is the same both ways, and 1 with oneself."""
    a, b = ResponseFacts(text=one), ResponseFacts(text=two)
    assert judge.agreement(a, b) == judge.agreement(b, a)
    assert 0.0 <= judge.agreement(a, b) <= 1.0
    assert judge.agreement(a, a) == 1.0


def test_agreement_reads_json_and_tool_calls() -> None:
    """Equal JSON agrees however it is written; the same tool with other arguments agrees by half."""
    assert judge.agreement(ResponseFacts(text='{"a": 1, "b": 2}'), ResponseFacts(text='{"b":2,"a":1}')) == 1.0
    assert judge.agreement(ResponseFacts(text='{"a": 1}'), ResponseFacts(text='{"a": 2}')) == 0.0
    calls = [ResponseFacts(tool_calls=(ToolCall(f"t{n}", "pay", arguments),)) for n, arguments in enumerate(ARGUMENTS)]
    assert [judge.agreement(calls[0], call) for call in calls] == [1.0, 1.0, 0.5]
    assert judge.agreement(calls[0], ResponseFacts(text="I paid")) == 0.0


ARGUMENTS = ('{"to": "a", "usd": 5}', '{"usd": 5, "to": "a"}', '{"to": "b", "usd": 5}')


def test_an_answer_of_a_local_server_is_asked_for_without_tls() -> None:
    """Loopback has no certificate; a base of the user's own takes the place of host and version."""
    provider = Provider()
    local = recorded(1)._replace(host="127.0.0.1:8000")
    asking.ask(provider.client, local, "small", None, "k", PRICES)
    asking.ask(provider.client, local, "small", "https://other.example/v1", "k", PRICES)
    urls = [str(request.url) for request in provider.sent]
    assert urls == ["http://127.0.0.1:8000/v1/chat/completions", "https://other.example/v1/chat/completions"]


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.example", ".evil.example/v1/chat/completions"),
        ("api.example", "@evil.example/v1/chat/completions"),
        ("127.0.0.1:80@evil.example", "/v1/chat/completions"),
        ("api.example/x", "/v1/chat/completions"),
        ("api.example", "/v1/chat/completions?to=evil.example"),
    ],
)
def test_a_key_goes_to_the_recorded_host_alone(host: str, path: str) -> None:
    """What an agent was made to ask can't send the user's key elsewhere."""
    provider = Provider()
    done = ask(provider, [recorded(1)._replace(host=host, path=path)])
    assert provider.sent == []
    assert dict(done.left_out) == {"whose address can't be asked again": 1}
