"""How a steered call travels: its time, its second request, its budget, its breaker and its place."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
import trio

import trimtab
from trimtab_tracer.concurrency import Place
from trimtab_tracer.instrument.switch import switch

TIMEOUTS = (openai.APITimeoutError, anthropic.APITimeoutError)
ERRORS = (openai.APIError, anthropic.APIError)
LIBRARY = (httpx.ReadTimeout, httpx2.ReadTimeout)
BREAKER = {"knob": "circuit_breaker", "value": {"failures": 2, "window_s": 60, "open_s": 0.3}}
SHORT = {"total": 0.4}
NONE_LEFT = {"capacity": 0, "retry_cost": 5, "timeout_cost": 10, "refill": 1}


def knob(name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"knob": name, "value": value, **more}


def seconds(ask: Any, expected: Any, *args: Any, **options: Any) -> float:
    """How long a call takes that raises."""
    began = time.monotonic()
    with pytest.raises(expected):
        ask(*args, **options)
    return time.monotonic() - began


# The time of a call


def test_total_ends_a_request_under_way(agent: Any, sdk: Any) -> None:
    """The whole call has its time: then the SDK raises its own timeout, and asks no second time."""
    provider = agent.provider({"text": "Late.", "delay_s": 1.5})
    agent.obey(knob("timeout_s", SHORT))
    assert 0.4 <= seconds(sdk, TIMEOUTS, provider.url, timeout=30) < 2.5
    assert 1 == len(provider.log.wait_for(1))
    assert [(SHORT, "human", 1.0, 1)] == agent.decisions("timeout_s")


def test_total_without_an_sdk(agent: Any, raw: Any) -> None:
    """Code that sends by itself gets the read timeout of its HTTP library."""
    provider = agent.provider({"text": "Late.", "delay_s": 3})
    agent.obey(knob("timeout_s", SHORT))
    assert 0.4 <= seconds(raw, LIBRARY, provider.url) < 2.5
    (attempt,) = agent.attempts()
    assert attempt.error_type in ("httpx.ReadTimeout", "httpx2.ReadTimeout")


@pytest.mark.parametrize("way", ["openai", "anthropic async"])
def test_total_ends_pauses_before_they_begin(agent: Any, ways: dict[str, Any], way: str) -> None:
    """A pause that would outlast the call is not made: the failure is handed on at once."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey(knob("timeout_s", {"total": 20}), knob("max_retries", 3), knob("backoff", LONG_PAUSES))
    assert seconds(ways[way], ERRORS, provider.url) < 10
    assert 1 == len(provider.log.entries)


LONG_PAUSES = {"initial_s": 30, "factor": 1, "max_s": 30, "jitter": 0}


def test_total_spans_all_requests(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Requests that each fail soon end together when the time is over, however many retries are left."""
    provider = agent.provider({"fault": {"status": 500, "delay_s": 0.25}})
    agent.obey(knob("timeout_s", {"total": 0.6}), knob("max_retries", 5), backoff)
    assert seconds(openai_ask, openai.APIError, provider.url) < 2.5
    assert 3 == len(provider.log.wait_for(3))


@pytest.mark.parametrize("limit", ["total", "first_token"])
@pytest.mark.parametrize("way", ["openai stream", "openai async stream", "anthropic stream"])
def test_time_of_a_stream(agent: Any, ways: dict[str, Any], way: str, limit: str) -> None:
    """A stream that brings its first bytes in time may go on; only the total ends it then."""
    provider = agent.provider({"words": 6, "chunk_delay_s": 0.15})
    agent.obey(knob("timeout_s", {limit: 0.5}))
    if limit == "total":
        seconds(ways[way], (*ERRORS, *LIBRARY), provider.url, timeout=30)
        assert ["error"] == [a.end for a in agent.attempts()]
    else:
        ways[way](provider.url, timeout=30)
        assert ["complete"] == [a.end for a in agent.attempts()]


@pytest.mark.parametrize("way", ["openai stream", "openai async stream", "anthropic stream"])
def test_stream_without_a_first_token(agent: Any, ways: dict[str, Any], way: str) -> None:
    """A head alone is no token: where nothing follows it the stream ends with a timeout, long before its total."""
    provider = agent.provider({"words": 6, "chunk_delay_s": 2})
    agent.obey(knob("timeout_s", {"first_token": 0.3, "total": 20}))
    assert seconds(ways[way], (*ERRORS, *LIBRARY), provider.url, timeout=30) < 1.9


def test_first_token_late_is_asked_again(agent: Any, ways: dict[str, Any], backoff: Any) -> None:
    """Before the head was handed out nothing is lost by another request."""
    provider = agent.provider({"text": "Here.", "fault": {"kind": "delay", "delay_s": 2, "times": 1}})
    agent.obey(knob("timeout_s", {"first_token": 0.4}), knob("max_retries", 1), backoff)
    assert "Here." == ways["openai stream"](provider.url, max_retries=0, timeout=30).strip()
    assert 2 == len(provider.log.wait_for(2))


def test_connect_alone_leaves_the_rest(agent: Any, openai_ask: Any) -> None:
    """Another time to connect changes no other limit."""
    provider = agent.provider({"text": "Here."})
    agent.obey(knob("timeout_s", {"connect": 1.5}))
    assert "Here." == openai_ask(provider.url, timeout=33)
    assert [33] == [a.timeout_s for a in agent.attempts()]


# The second request


def hedged(agent: Any, ways: Any, way: str, *rules: Any, **options: Any) -> tuple[str, Any]:
    """The answer of a call whose first request is slow, and the provider."""
    provider = agent.provider({"text": "slow", "delay_s": 1.2, "times": 1}, {"text": "quick"})
    agent.obey(knob("hedge_delay_s", 0.1), *rules)
    return ways[way](provider.url, **options).strip(), provider


@pytest.mark.parametrize("way", [
    "openai", "openai stream", "openai async", "openai async stream", "anthropic", "anthropic async",
    "httpx", "httpx2 trio",
])  # fmt: skip
def test_second_request_is_faster(agent: Any, ways: dict[str, Any], way: str) -> None:
    """The same is asked once more, the first answer counts, and the other is an attempt of the same call."""
    answer, provider = hedged(agent, ways, way)
    assert "quick" == answer
    first, second = provider.log.wait_for(2)
    assert first.body_digest == second.body_digest
    slow, quick = sorted(agent.attempts(), key=lambda a: a.number)
    assert (slow.call_id, "abandoned", "complete") == (quick.call_id, slow.end, quick.end)
    assert [(0.1, "human", 1.0, 1)] == agent.decisions("hedge_delay_s")


@pytest.mark.parametrize("way", ["openai", "anthropic async"])
def test_first_request_may_still_be_faster(agent: Any, ways: dict[str, Any], way: str) -> None:
    """A second one that is slower is left, and one that fails does not hide the first one's answer."""
    for late in ({"text": "slower", "delay_s": 2}, {"fault": {"status": 500}}):
        provider = agent.provider({"text": "first", "delay_s": 0.5, "times": 1}, late)
        agent.obey(knob("hedge_delay_s", 0.1))
        switch.active().steering.hedges.give_back()
        assert "first" == ways[way](provider.url, max_retries=0)
        assert 2 == len(provider.log.wait_for(2))


@pytest.mark.parametrize("way", ["openai", "openai async"])
def test_both_fail(agent: Any, ways: dict[str, Any], way: str) -> None:
    """The agent meets the failure that it would have met without the second request."""
    provider = agent.provider({"fault": {"status": 500, "delay_s": 0.4, "times": 1}}, {"fault": {"status": 429}})
    agent.obey(knob("hedge_delay_s", 0.1))
    with pytest.raises(openai.InternalServerError):
        ways[way](provider.url, max_retries=0)
    assert {429, 500} == {a.http_status for a in agent.attempts()}


@pytest.mark.parametrize("tools", [[{"type": "web_search"}], [{"type": "computer_use_preview"}]])
def test_no_second_request_for_what_acts_at_the_provider(agent: Any, tools: Any) -> None:
    """Tools that run there, and answers that are kept there, are asked for once."""
    provider = agent.provider({"text": "slow", "delay_s": 0.4})
    agent.obey(knob("hedge_delay_s", 0.1))
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        client.responses.create(model="m", input="hi", tools=tools, store=False)
        client.responses.create(model="m", input="hi")
    assert 2 == len(provider.log.entries)
    assert [] == agent.decisions("hedge_delay_s")


def test_no_second_request_inside_a_tool_that_mutates(agent: Any, openai_ask: Any) -> None:
    """What a tool with side effects asks for, it asks for once; one without may ask twice."""
    provider = agent.provider({"text": "slow", "delay_s": 0.4})
    agent.obey(knob("hedge_delay_s", 0.1))
    trimtab.tool(mutates=True)(openai_ask)(provider.url)
    assert 1 == len(provider.log.entries)
    trimtab.tool(openai_ask)(provider.url)
    assert 3 == len(provider.log.wait_for(3))


def test_share_of_second_requests(agent: Any, openai_ask: Any) -> None:
    """Of twelve slow calls the first is asked for twice, and one more after ten others."""
    provider = agent.provider({"text": "slow", "delay_s": 0.12})
    agent.obey(knob("hedge_delay_s", 0.05))
    for _ in range(12):
        openai_ask(provider.url)
    assert 12 + 2 == len(provider.log.wait_for(14))


def test_cancelled_with_two_under_way(agent: Any) -> None:
    """A cancelled call takes both of its requests with it."""
    provider = agent.provider({"text": "slow", "delay_s": 5})
    agent.obey(knob("hedge_delay_s", 0.05))

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="any", max_retries=0) as client:
            call = asyncio.create_task(client.chat.completions.create(model="m", messages=MESSAGES))
            while switch.active().steering.hedges._saved > 0.5:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            call.cancel()
            await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())
    assert 2 == len(agent.attempts())


MESSAGES: Any = [{"role": "user", "content": "hi"}]


# What all calls share


@pytest.mark.parametrize("way", ["openai", "openai async", "anthropic", "anthropic async"])
def test_budget_is_shared_by_all_sites(agent: Any, ways: dict[str, Any], way: str, backoff: Any) -> None:
    """With ten tokens two retries are made, whoever asks for them; other calls are sent once."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey(knob("retry_budget", {**NONE_LEFT, "capacity": 10}), backoff)
    with pytest.raises(ERRORS):
        ways[way](provider.url, max_retries=2)
    for _ in range(2):
        with pytest.raises(ERRORS):
            ways[way](provider.url, max_retries=2)
    assert 3 + 2 == len(provider.log.entries)


def test_answers_fill_the_budget(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Five answers pay for a retry."""
    provider = agent.provider(
        {"fault": {"status": 500, "times": 2}}, {"text": "ok", "times": 5}, {"fault": {"status": 500}}
    )
    agent.obey(knob("retry_budget", {**NONE_LEFT, "capacity": 5}), backoff)
    with pytest.raises(openai.APIError):
        openai_ask(provider.url, max_retries=2)
    for _ in range(5):
        openai_ask(provider.url, max_retries=2)
    with pytest.raises(openai.APIError):
        openai_ask(provider.url, max_retries=2)
    assert 2 + 5 + 2 == len(provider.log.entries)


@pytest.mark.parametrize("failure", ["500", "dropped"])
@pytest.mark.parametrize(
    "way", ["openai", "openai async stream", "anthropic", "anthropic async", "httpx", "httpx2 trio"]
)
def test_open_breaker_fails_at_once(agent: Any, ways: dict[str, Any], way: str, failure: str, backoff: Any) -> None:
    """After two failures nothing is sent any more, and the agent gets the class that it would have got."""
    fault = {"500": {"status": 500}, "dropped": {"kind": "drop"}}[failure]
    provider = agent.provider({"fault": fault})
    agent.obey({**BREAKER, "value": {**BREAKER["value"], "open_s": 4}}, backoff)
    seen = []
    for _ in range(4):
        with pytest.raises((*ERRORS, httpx.HTTPError, httpx2.HTTPError)) as caught:
            ways[way](provider.url, max_retries=2)
        seen.append(type(caught.value))
    assert 2 == len(provider.log.wait_for(2))
    expected = {"500": ("InternalServerError", "HTTPStatusError")}.get(failure, ("APIConnectionError", "ConnectError"))
    assert seen[-1].__name__ in expected


def test_response_of_the_breaker_says_so(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Header and error name trimtab's breaker; the record has it as an attempt that took no time."""
    provider = agent.provider({"fault": {"status": 503}})
    agent.obey(BREAKER, backoff)
    for _ in range(2):
        with pytest.raises(openai.APIStatusError) as caught:
            openai_ask(provider.url, max_retries=1)
    response = caught.value.response
    assert (503, "false", "circuit_breaker_open") == (
        response.status_code, response.headers["x-should-retry"], response.headers["x-trimtab"],
    )  # fmt: skip
    assert "circuit_breaker is open" in str(caught.value)
    assert 2 == len(provider.log.entries)


def test_breaker_lets_one_probe_through(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Of the calls that come while it is open one is sent per ``open_s``; its answer closes it."""
    provider = agent.provider({"fault": {"status": 500, "times": 3}}, {"text": "Back."})
    agent.obey(BREAKER, backoff)
    now_s = [100.0]
    switch.active().steering.lanes.monotonic = lambda: now_s[0]
    for sent in (2, 2, 2):
        with pytest.raises(openai.APIError):
            openai_ask(provider.url, max_retries=1)
        assert sent == len(provider.log.entries)
    now_s[0] += 0.4
    for _ in range(3):
        with pytest.raises(openai.APIError):
            openai_ask(provider.url, max_retries=1)
    assert 3 == len(provider.log.entries)
    now_s[0] += 0.4
    assert ["Back."] * 3 == [openai_ask(provider.url) for _ in range(3)]
    assert 6 == len(provider.log.entries)


@pytest.mark.parametrize("way", ["openai", "openai async", "anthropic", "anthropic async"])
def test_open_breaker_goes_to_the_fallback(agent: Any, ways: dict[str, Any], way: str) -> None:
    """While the model is down each call goes to the other one at once, as its first request."""
    old = "claude-old" if "anthropic" in way else "gpt-old"
    provider = agent.provider({"model": old, "fault": {"status": 529}}, {"text": "I am {model}."})
    fallback = {"on": ["overloaded"], "models": ["new"]}
    agent.obey({**BREAKER, "value": {**BREAKER["value"], "open_s": 4}}, knob("fallback", fallback))
    assert ["I am new."] * 5 == [ways[way](provider.url) for _ in range(5)]
    assert [old, "new", old, *["new"] * 4] == [e.model for e in provider.log.entries]
    assert [1, 2, 1, 2, 1, 1, 1] == [a.number for a in agent.attempts()]


def test_freeze_opens_the_breaker_no_more(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """A frozen policy has no breaker: calls are sent as without us."""
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    agent.obey({**BREAKER, "value": {**BREAKER["value"], "open_s": 4}}, backoff)
    with pytest.raises(openai.APIError):
        openai_ask(provider.url, max_retries=2)
    agent.obey(frozen=True)
    with pytest.raises(openai.APIError):
        openai_ask(provider.url, max_retries=2)
    assert 2 + 3 == len(provider.log.entries)


def test_places_of_threads(agent: Any, ways: dict[str, Any]) -> None:
    """Six calls at once take two places by turns, and all are answered."""
    provider = agent.provider({"fault": {"status": 400}, "in_flight_above": 2}, {"text": "ok", "delay_s": 0.1})
    agent.obey(knob("max_concurrency", 2))
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(ways["openai"](provider.url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["ok"] * 6 == answers


def test_places_of_tasks(agent: Any) -> None:
    """Tasks wait without blocking their loop; one that is cancelled while it waits frees its turn."""
    provider = agent.provider({"fault": {"status": 400}, "in_flight_above": 1}, {"text": "ok", "delay_s": 0.15})
    agent.obey(knob("max_concurrency", 1))

    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="any", max_retries=0) as client:
            calls = [
                asyncio.create_task(client.chat.completions.create(model="m", messages=MESSAGES)) for _ in range(4)
            ]
            for _ in range(5):
                await asyncio.sleep(0.01)
            calls[1].cancel()
            return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(ask())
    assert [False, True, False, False] == [isinstance(each, asyncio.CancelledError) for each in found]
    assert 3 == len(provider.log.entries)


def test_places_in_trio(agent: Any) -> None:
    """The same in another event loop."""
    provider = agent.provider({"fault": {"status": 400}, "in_flight_above": 1}, {"text": "ok", "delay_s": 0.1})
    agent.obey(knob("max_concurrency", 1))
    statuses: list[int] = []

    async def ask(http: Any) -> None:
        body = {"model": "m", "messages": MESSAGES}
        statuses.append((await http.post(provider.url + "/v1/chat/completions", json=body)).status_code)

    async def main() -> None:
        async with httpx2.AsyncClient() as http, trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, http)

    trio.run(main)
    assert [200] * 3 == statuses


@pytest.mark.parametrize("way", ["openai", "openai async stream"])
def test_waiting_for_a_place_ends_with_the_time(agent: Any, ways: dict[str, Any], way: str) -> None:
    """A call that has no place within its time times out, unsent."""
    provider = agent.provider({"text": "ok"})
    agent.obey(knob("max_concurrency", 1), knob("timeout_s", {"total": 0.3}))
    lane = switch.active().steering.lanes.lane(provider.url.removeprefix("http://"), "gpt-old")
    lane._places.force(Place(), time.monotonic())
    assert 0.3 <= seconds(ways[way], TIMEOUTS, provider.url) < 2
    assert 0 == len(provider.log.entries)


def test_crowding_halves_the_places(agent: Any, openai_ask: Any) -> None:
    """A rate limit is answered with half as many requests at once."""
    provider = agent.provider({"fault": {"status": 429}})
    agent.obey(knob("max_concurrency", 8))
    with pytest.raises(openai.RateLimitError):
        openai_ask(provider.url, max_retries=0)
    lane = switch.active().steering.lanes.lane(provider.url.removeprefix("http://"), "gpt-old")
    assert 1 == lane._places.limit(8), "half of the one that was under way"


def test_a_status_has_a_number_of_its_own(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """A status counts before its error class, and that before its class of statuses."""
    provider = agent.provider(
        {"model": "a", "fault": {"status": 529}}, {"model": "b", "fault": {"status": 502}}, {"fault": {"status": 504}}
    )
    agent.obey(knob("max_retries", {"529": 3, "server": 1, "5xx": 2, "overloaded": 0, "other": 0}), backoff)
    for model in "ab":
        with pytest.raises(openai.InternalServerError):
            openai_ask(provider.url, model=model)
    assert [4, 2] == [sum(e.model == m for e in provider.log.entries) for m in "ab"]


def test_nothing_of_it_without_a_policy(agent: Any, openai_ask: Any) -> None:
    """Without a rule no lane is made and no thread is started."""
    provider = agent.provider({"text": "ok"})
    agent.begin()
    openai_ask(provider.url)
    assert {} == switch.active().steering.lanes._lanes
