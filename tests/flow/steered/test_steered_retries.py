"""Retries of a steered call: as many as the policy says, in one loop, with the SDK's own exception at the end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

FAILURES: dict[str, dict[str, Any]] = {
    "429": {"status": 429},
    "500": {"status": 500},
    "529": {"status": 529},
    "dropped": {"kind": "drop"},
    "timeout": {"kind": "delay", "delay_s": 1.5},
}
TIMEOUT_S = 0.25

FINAL = {
    "429": "RateLimitError",
    "500": "InternalServerError",
    "529": "OverloadedError InternalServerError",
    "dropped": "APIConnectionError",
    "timeout": "APITimeoutError",
}
"""Names that the SDKs give to what remains."""


def retries(value: Any, **more: Any) -> dict[str, Any]:
    return {"knob": "max_retries", "value": value, **more}


@pytest.mark.parametrize("failure", FAILURES)
def test_more_retries_than_none(agent: Any, sdk: Any, backoff: Any, failure: str) -> None:
    """A client that makes no retries makes as many as the policy says, and raises its own class at the end."""
    provider = agent.provider({"fault": FAILURES[failure]})
    agent.obey(retries(2), backoff)
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        sdk(provider.url, max_retries=0, timeout=TIMEOUT_S)
    assert type(caught.value).__name__ in FINAL[failure].split()
    assert 3 == len(provider.log.wait_for(3))
    assert [(1, 2), (2, 2), (3, 2)] == [(a.number, a.max_retries) for a in agent.attempts()]
    assert 1 == len({a.call_id for a in agent.attempts()})


@pytest.mark.parametrize("failure", ["429", "dropped", "timeout"])
def test_fewer_retries_than_the_clients(agent: Any, sdk: Any, backoff: Any, failure: str) -> None:
    """A client that makes two retries makes one, whatever fails: there is no second loop behind ours."""
    provider = agent.provider({"fault": FAILURES[failure]})
    agent.obey(retries(1), backoff)
    with pytest.raises((openai.APIError, anthropic.APIError)):
        sdk(provider.url, timeout=TIMEOUT_S)
    assert 2 == len(provider.log.wait_for(2))
    assert [0, 1] == [a.sdk_retry for a in agent.attempts()]


def test_failure_that_passes_is_healed(agent: Any, ask: Any, backoff: Any) -> None:
    """A refusal, a lost connection and another refusal are not seen by the agent."""
    faults = [{"status": 503, "times": 1}, {"kind": "drop", "times": 1}, {"status": 429, "times": 1}]
    provider = agent.provider({"text": "At last.", "faults": faults})
    agent.obey(retries(3), backoff)
    assert "At last." == ask(provider.url)
    assert [503, None, 429, 200] == [entry.status for entry in provider.log.entries]
    assert [1, 2, 3, 4] == [a.number for a in agent.attempts()]


@pytest.mark.parametrize("failure", ["429", "dropped"])
def test_without_an_sdk(agent: Any, raw: Any, backoff: Any, failure: str) -> None:
    """Code that sends by itself makes no retries; under a policy it does, and gets what came last as it came."""
    provider = agent.provider({"fault": FAILURES[failure]})
    agent.obey(retries(2), backoff)
    with pytest.raises((httpx.HTTPError, httpx2.HTTPError)) as caught:
        raw(provider.url)
    assert 3 == len(provider.log.wait_for(3))
    expected = {"429": "HTTPStatusError", "dropped": "RemoteProtocolError"}[failure]
    assert expected == type(caught.value).__name__
    assert caught.value.__context__ is None or not isinstance(caught.value.__context__, type(caught.value))


def test_backoff_alone_keeps_the_clients_number(agent: Any, sdk: Any, backoff: Any) -> None:
    """With only the pauses steered a call is sent as often as the client says."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey(backoff)
    with pytest.raises((openai.APIError, anthropic.APIError)):
        sdk(provider.url, max_retries=3)
    assert 4 == len(provider.log.entries)
    assert [3] * 4 == [a.max_retries for a in agent.attempts()]


def test_what_an_experiment_draws_is_done_and_said(agent: Any, sdk: Any) -> None:
    """The incumbent leaves the call to the client, the other arm does not, and both say with which probability."""
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    arms = [{"incumbent": True, "weight": 0.75}, {"value": 3, "weight": 0.25}]
    agent.obey({"knob": "max_retries", "source": "experiment", "arms": arms, "rule_id": "exp-1"})
    with pytest.raises((openai.APIError, anthropic.APIError)):
        sdk(provider.url, max_retries=1)
    (said,) = agent.decisions("max_retries")
    drawn = {2: (1, "experiment", 0.75, 1), 4: (3, "experiment", 0.25, 1)}
    assert drawn[len(provider.log.entries)] == said


def test_numbers_per_class(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Rate limits are met with one number, broken servers with another, used-up quotas with none."""
    quota = {"status": 429, "type": "insufficient_quota", "code": "insufficient_quota"}
    provider = agent.provider(
        {"model": "limited", "fault": {"status": 429}},
        {"model": "broken", "fault": {"status": 500}},
        {"model": "poor", "fault": quota},
    )
    agent.obey(retries({"rate_limit": 3, "server": 1, "other": 2}), backoff)
    for model in ("limited", "broken", "poor"):
        with pytest.raises(openai.APIStatusError):
            openai_ask(provider.url, model=model)
    counts = {model: sum(e.model == model for e in provider.log.entries) for model in ("limited", "broken", "poor")}
    assert {"limited": 4, "broken": 2, "poor": 1} == counts
    assert ({"rate_limit": 3, "server": 1, "other": 2}, "human", 1.0, 1) == agent.decisions("max_retries")[0]


def test_futile_retries_are_stopped(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """A quota that is used up is not asked for again, although its status is that of a rate limit."""
    quota = {"status": 429, "type": "insufficient_quota", "code": "insufficient_quota"}
    provider = agent.provider({"fault": quota})
    agent.obey(backoff)
    with pytest.raises(openai.RateLimitError) as caught:
        openai_ask(provider.url)
    assert "insufficient_quota" == caught.value.code
    assert 1 == len(provider.log.entries)


def test_provider_that_says_no_is_obeyed(agent: Any, sdk: Any, backoff: Any) -> None:
    """``x-should-retry: false`` ends the call at once."""
    provider = agent.provider({"fault": {"status": 500, "should_retry": False}})
    agent.obey(retries(4), backoff)
    with pytest.raises((openai.APIError, anthropic.APIError)):
        sdk(provider.url)
    assert 1 == len(provider.log.entries)


def test_wish_to_wait_is_met(agent: Any, sdk: Any, backoff: Any) -> None:
    """Between two requests lies at least what the provider asked for, whatever the backoff says."""
    provider = agent.provider({"text": "ok", "fault": {"status": 429, "retry_after_s": 0.3, "times": 1}})
    agent.obey(retries(1), backoff)
    assert "ok" == sdk(provider.url)
    first, second = agent.attempts()
    assert 0.3e9 <= second.ts_ns - (first.ts_ns + first.duration_ns)


def test_wish_to_wait_too_long_is_handed_on(agent: Any, sdk: Any, backoff: Any) -> None:
    """For longer than the cap nobody waits on a policy's account: the agent gets the answer at once."""
    provider = agent.provider({"fault": {"status": 429, "retry_after_s": 2}})
    agent.obey(retries(4), backoff, guardrails={"max_delay_s": 1.5})
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)):
        sdk(provider.url, max_retries=0)
    assert 1 == len(provider.log.entries)


def test_wish_that_the_sdk_meets_is_met(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """A pause that the client would have made by itself is made, also where a policy's own ones are capped below it."""
    provider = agent.provider({"fault": {"status": 429, "retry_after_s": 1, "times": 1}, "text": "Here."})
    agent.obey(retries(4), backoff, guardrails={"max_delay_s": 0})
    openai_ask(provider.url, max_retries=1)
    assert 2 == len(provider.log.entries)


def test_number_above_the_cap_is_cut(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """The cap is what is obeyed, and what is on record."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey(retries(9), backoff, guardrails={"max_retries": 3})
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url)
    assert 4 == len(provider.log.entries)
    assert [(3, "human", 1.0, 1)] == agent.decisions("max_retries")


@pytest.mark.parametrize("way", ["openai stream", "openai async stream", "anthropic stream"])
def test_nothing_is_sent_again_after_the_first_byte(agent: Any, ways: dict[str, Any], backoff: Any, way: str) -> None:
    """A stream that breaks is the agent's to see: what it has read can't be taken back."""
    provider = agent.provider({"words": 30, "fault": {"kind": "drop_mid_stream", "after_chunks": 4}})
    agent.obey(retries(4), backoff, {"knob": "fallback", "value": {"on": ["connection"], "models": ["other"]}})
    with pytest.raises((openai.APIError, anthropic.APIError, httpx2.HTTPError)):
        ways[way](provider.url)
    assert 1 == len(provider.log.wait_for(1))
    assert ["error"] == [a.end for a in agent.attempts()]


@pytest.mark.parametrize("way", ["openai", "anthropic async", "httpx", "httpx2 trio"])
def test_body_that_breaks_off_is_asked_for_again(agent: Any, ways: dict[str, Any], backoff: Any, way: str) -> None:
    """Where nothing was handed out yet, half an answer is a lost connection."""
    provider = agent.provider({"text": "whole", "fault": {"kind": "drop_mid_stream", "times": 1}})
    agent.obey(retries(1), backoff)
    assert "whole" == ways[way](provider.url)
    assert 2 == len(provider.log.entries)


def test_loop_of_the_sdk_under_way_goes_on_alone(agent: Any, sdk: Any, backoff: Any) -> None:
    """A policy that arrives between two attempts of an SDK changes nothing about this call, and all about the next."""
    calls: list[Callable[[], None]] = [lambda: agent.obey(retries(3), backoff)]
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    agent.begin()

    def once(_: Any) -> None:
        if calls:
            calls.pop()()

    client_class = anthropic.DefaultHttpxClient if "anthropic" in sdk.__name__ else openai.DefaultHttpxClient
    if "async" in sdk.__name__:

        async def once_awaited(response: Any) -> None:
            once(response)

        module = anthropic if "anthropic" in sdk.__name__ else openai
        http: Any = module.DefaultAsyncHttpxClient(event_hooks={"response": [once_awaited]})
    else:
        http = client_class(event_hooks={"response": [once]})
    with pytest.raises((openai.APIError, anthropic.APIError)):
        sdk(provider.url, http_client=http, max_retries=2)
    assert 3 == len(provider.log.entries)
    assert [0, 1, 2] == [a.sdk_retry for a in agent.attempts()]
    assert ["code"] == [source for _, source, _, _ in agent.decisions("max_retries")]
    with pytest.raises((openai.APIError, anthropic.APIError)):
        sdk(provider.url + "/", max_retries=2)
    assert 3 + 4 == len(provider.log.entries)


def test_policy_that_goes_between_two_attempts(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Frozen while a call is being retried: it gets no more than its client would have made."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey(retries(5), backoff)
    seen: list[int] = []

    def freeze(response: Any) -> None:
        seen.append(response.status_code)
        if len(seen) == 2:
            agent.obey(frozen=True)

    http = openai.DefaultHttpxClient(event_hooks={"response": [freeze]})
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url, http_client=http, max_retries=2)
    assert 3 == len(provider.log.entries)


def test_unknown_sdk_keeps_its_own_loop(agent: Any, openai_ask: Any, backoff: Any, monkeypatch: Any) -> None:
    """Where the place is gone at which an SDK's loop is turned off, it stays the only one."""
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    monkeypatch.setattr("trimtab_tracer.instrument.stainless.LOOPS", ("renamed",))
    agent.obey(retries(4), backoff, {"knob": "model", "value": "gpt-new"})
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url, max_retries=1)
    assert ["gpt-new", "gpt-new"] == [entry.model for entry in provider.log.entries]
    assert [(1, "code", 1.0, None)] == agent.decisions("max_retries")


def test_exception_of_the_users_own_hook_is_no_failure(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """What an event hook raises passes through once, unchanged."""
    provider = agent.provider({"text": "ok"})
    agent.obey(retries(3), backoff)

    def refuse(_: Any) -> None:
        raise LookupError("the agent's own")

    http = openai.DefaultHttpxClient(event_hooks={"request": [refuse]})
    with pytest.raises(LookupError, match="the agent's own"):
        openai_ask(provider.url, http_client=http)
    assert ["LookupError"] == [a.error_type for a in agent.attempts()]


def test_cancelled_while_it_waits(agent: Any) -> None:
    """A call that is cancelled in a pause of ours ends there, and its place is free again."""
    import asyncio

    from trimtab_tracer.instrument.switch import switch

    provider = agent.provider({"fault": {"status": 500}})
    pause = {"initial_s": 30, "factor": 1, "max_s": 30, "jitter": 0}
    agent.obey(retries(3), {"knob": "backoff", "value": pause})

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="any", max_retries=0) as client:
            call = asyncio.create_task(client.responses.create(model="m", input="hi"))
            while not provider.log.entries or switch.active().steering._waiting == 0:
                await asyncio.sleep(0.01)
            call.cancel()
            await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())
    assert 1 == len(provider.log.entries)
    assert 0 == switch.active().steering._waiting


def test_more_calls_than_may_wait(agent: Any, openai_ask: Any) -> None:
    """Without a place to wait in, a call gets the retries that its client would have made, and no more."""
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    agent.obey(retries(3), guardrails={"max_in_flight": 0})
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url, max_retries=1)
    assert 2 == len(provider.log.entries)


def test_deadline_of_the_user_is_no_failure(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """An alarm that ends a call early ends it, whatever its exception is called and however many retries are left."""

    class CallTimeoutError(Exception):
        pass

    def ring(*_: object) -> None:
        raise CallTimeoutError

    provider = agent.provider({"text": "Too late.", "delay_s": 3})
    agent.obey(retries(3), backoff)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.4)
    try:
        with pytest.raises(CallTimeoutError):
            openai_ask(provider.url)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert 1 == len(provider.log.wait_for(1))


def test_client_that_sends_by_itself_keeps_its_own_loop(agent: Any, backoff: Any) -> None:
    """An HTTP client with a ``send`` of its own may not reach ours, so the SDK goes on to repeat its calls."""

    class Logging(openai.DefaultHttpxClient):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return super().send(*args, **kwargs)

    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1, "times": 1}, "text": "Here."})
    agent.obey(retries(3), backoff)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any", http_client=Logging()) as client:
        assert "Here." == client.responses.create(model="m", input="hi").output_text
    assert 2 == len(provider.log.entries)


def test_policy_that_goes_before_the_first_request(agent: Any, backoff: Any) -> None:
    """Frozen after the SDK left its retries to us: the call still gets as many as its client would have made."""
    provider = agent.provider({"fault": {"status": 500, "retry_after_ms": 1}})
    agent.obey(retries(5), backoff)

    class Client(openai.OpenAI):
        def _prepare_options(self, options: Any) -> Any:
            if agent.obeyed() is not None:
                agent.obey(frozen=True)
            return super()._prepare_options(options)

    with (
        Client(base_url=provider.url + "/v1", api_key="any", max_retries=2) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert 3 == len(provider.log.entries)


def test_failing_to_change_a_request_keeps_its_retries(
    agent: Any, openai_ask: Any, backoff: Any, monkeypatch: Any
) -> None:
    """Where rewriting breaks, the request goes out as it is, and is sent again as often as without us."""
    monkeypatch.delenv("TRIMTAB_STRICT")

    def fail(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("trimtab_tracer.rewrite.draft", fail)
    provider = agent.provider({"text": "{model}", "fault": {"status": 500, "times": 2}})
    agent.obey({"knob": "model", "value": "new"}, backoff)
    assert "gpt-old" == openai_ask(provider.url, max_retries=2)
    assert 3 == len(provider.log.entries)
