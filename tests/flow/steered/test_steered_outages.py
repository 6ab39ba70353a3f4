"""Outages under a policy: another model where one is overloaded, no more requests than without us where all fail."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

OUTAGES: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "retry_after_ms": 1},
    "500": {"status": 500, "retry_after_ms": 1},
    "dropped": {"kind": "drop"},
}


def fall_back(*models: str, on: tuple[str, ...] = ("overloaded",), **more: Any) -> dict[str, Any]:
    return {"knob": "fallback", "value": {"on": list(on), "models": list(models)}, **more}


def stacked(ask: Any, url: str, **options: Any) -> int:
    """Two loops of three around each other, as frameworks have them; gives how often they ended in vain."""
    vain = 0
    for _ in range(3):
        for _ in range(3):
            try:
                ask(url, **options)
            except (openai.APIError, anthropic.APIError):
                vain += 1
    return vain


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("steered", ["max_retries", "fallback", "backoff", "all"])
def test_permanent_outage_costs_no_more(agent: Any, openai_ask: Any, backoff: Any, outage: str, steered: str) -> None:
    """Three loops of three around each other make 27 requests without us, and not one more under any of these rules."""
    provider = agent.provider({"fault": OUTAGES[outage]})
    rules = {
        "max_retries": [{"knob": "max_retries", "value": 5}],
        "fallback": [fall_back("gpt-b", "gpt-c", on=("rate_limit", "server", "connection"))],
        "backoff": [],
    }
    agent.obey(*(rule for name in rules if steered in (name, "all") for rule in rules[name]), backoff)
    assert 9 == stacked(openai_ask, provider.url)
    assert 27 == len(provider.log.wait_for(27)) == len(agent.attempts())


def test_other_sdk_in_the_same_outage(agent: Any, ways: dict[str, Any], backoff: Any) -> None:
    """The same with Anthropic's SDK, awaited."""
    provider = agent.provider({"fault": {"status": 529}})
    agent.obey({"knob": "max_retries", "value": 5}, fall_back("claude-b"), backoff)
    assert 9 == stacked(ways["anthropic async"], provider.url)
    assert 27 == len(provider.log.entries)


def test_incumbent_has_no_more_without_us(agent: Any, openai_ask: Any) -> None:
    """The 27 that the others are measured against."""
    provider = agent.provider({"fault": OUTAGES["500"]})
    agent.begin()
    assert 9 == stacked(openai_ask, provider.url)
    assert 27 == len(provider.log.entries)


def test_client_without_retries_gets_one_advance(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Where the inner client makes no retries nothing can be saved again: the advance is given once and stays small."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey({"knob": "max_retries", "value": 3}, backoff)
    assert 9 == stacked(openai_ask, provider.url, max_retries=0)
    assert 9 + 3 == len(provider.log.entries)


def test_runs_do_not_pay_for_each_other(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Another run with the same question has an advance of its own."""
    import trimtab

    provider = agent.provider({"fault": {"status": 500}})
    agent.obey({"knob": "max_retries", "value": 2}, backoff)
    for name in ("one", "two"):
        with trimtab.run(name), pytest.raises(openai.InternalServerError):
            openai_ask(provider.url, max_retries=0)
    assert 6 == len(provider.log.entries)


def test_host_that_never_answers_uses_up_its_budget(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """Many different questions to a host that is down cost 20 requests more, and then none."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey({"knob": "max_retries", "value": 5}, backoff)
    for n in range(7):
        with pytest.raises(openai.InternalServerError):
            openai_ask(provider.url, max_retries=0, messages=[{"role": "user", "content": f"question {n}"}])
    assert 7 + 20 == len(provider.log.entries)


@pytest.mark.parametrize("way", ["anthropic", "anthropic async", "anthropic stream"])
def test_overloaded_model_gives_way(agent: Any, ways: dict[str, Any], way: str) -> None:
    """On 529 the call goes to the other model at once and has its answer; the client's own retries are not needed."""
    provider = agent.provider({"model": "claude-old", "fault": {"status": 529}}, {"text": "I am {model}."})
    agent.obey(fall_back("claude-new"))
    assert "I am claude-new." == ways[way](provider.url, max_retries=0)
    assert ["claude-old", "claude-new"] == [entry.model for entry in provider.log.entries]
    assert [(1, "claude-old"), (2, "claude-new")] == [(a.number, a.model) for a in agent.attempts()]
    assert [({"on": ["overloaded"], "models": ["claude-new"]}, "human", 1.0, 1)] == agent.decisions("fallback")


def test_fallback_counts_as_one_of_the_retries(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """With two retries: the other model, and once more the other model."""
    provider = agent.provider({"fault": {"status": 503}})
    agent.obey(fall_back("gpt-new", on=("server", "overloaded")), backoff)
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url, max_retries=2)
    assert ["gpt-old", "gpt-new", "gpt-new"] == [entry.model for entry in provider.log.entries]


def test_fallback_only_on_its_classes(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """A used-up quota is told from a rate limit by the body, and only the named class changes the model."""
    quota = {"status": 429, "type": "insufficient_quota", "code": "insufficient_quota"}
    provider = agent.provider(
        {"model": "limited", "fault": {"status": 429}}, {"model": "poor", "fault": quota}, {"text": "I am {model}."}
    )
    agent.obey(fall_back("rich", on=("quota",)), backoff)
    assert "I am rich." == openai_ask(provider.url, model="poor", max_retries=0)
    with pytest.raises(openai.RateLimitError):
        openai_ask(provider.url, model="limited", max_retries=0)
    assert ["poor", "rich", "limited"] == [entry.model for entry in provider.log.entries]


def test_fallback_by_the_url(agent: Any) -> None:
    """Gemini's model is in the path: there the fallback goes, too."""
    import httpx2

    provider = agent.provider({"model": "gemini-a", "fault": {"status": 503}}, {"text": "I am {model}."})
    agent.obey(fall_back("gemini-b", on=("server", "overloaded")))
    with httpx2.Client() as http:
        answer = http.post(
            provider.url + "/v1beta/models/gemini-a:generateContent?key=k",
            json={"contents": [{"parts": [{"text": "hi"}]}]},
        )
    assert "I am gemini-b." == answer.json()["candidates"][0]["content"]["parts"][0]["text"]
    assert ["gemini-a", "gemini-b"] == [entry.model for entry in provider.log.entries]


def test_wrong_fallback_model_costs_one_request(agent: Any, openai_ask: Any, backoff: Any) -> None:
    """A model that does not exist is left again: the agent meets the failure that it would have met."""
    provider = agent.provider({"fault": {"status": 503}}, models=["gpt-old"])
    agent.obey(fall_back("gpt-tpyo", on=("server", "overloaded")), backoff)
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url, max_retries=2)
    assert ["gpt-old", "gpt-tpyo", "gpt-old"] == [entry.model for entry in provider.log.entries]


def test_bound_conversation_does_not_fall_back(agent: Any, backoff: Any) -> None:
    """Signed thoughts are of no use to another model: such a conversation waits for its own."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    turns: Any = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "ho"}]},
        {"role": "user", "content": "and?"},
    ]
    provider = agent.provider({"fault": {"status": 529}})
    agent.obey(fall_back("claude-new"), backoff)
    with (
        anthropic.Anthropic(base_url=provider.url, api_key="any", max_retries=1) as client,
        pytest.raises(anthropic.APIStatusError),
    ):
        client.messages.create(model="claude-old", max_tokens=9, messages=turns)
    assert ["claude-old", "claude-old"] == [entry.model for entry in provider.log.entries]
    assert [] == agent.decisions("fallback")


def test_conversation_that_is_not_bound_falls_back(agent: Any, openai_ask: Any) -> None:
    """Plain text can be read by any model."""
    turns = [*({"role": r, "content": "x"} for r in ("user", "assistant", "user"))]
    provider = agent.provider({"model": "gpt-old", "fault": {"status": 529}}, {"text": "I am {model}."})
    agent.obey(fall_back("gpt-new"))
    assert "I am gpt-new." == openai_ask(provider.url, messages=turns)


def test_tokens_of_the_hour_are_used_up(agent: Any, openai_ask: Any, backoff: Any, caplog: Any) -> None:
    """Above the cap nothing that costs more is steered, which is said once; what costs nothing goes on."""
    import trimtab

    usage = {"input_tokens": 600, "output_tokens": 500}
    provider = agent.provider(
        {"model": "gpt-down", "fault": {"status": 500, "retry_after_ms": 1}}, {"text": "I am {model}.", "usage": usage}
    )
    agent.obey(
        {"knob": "model", "value": "gpt-new", "match": {"model": "gpt-old"}},
        {"knob": "max_retries", "value": 4},
        {"knob": "timeout_s", "value": 33},
        backoff,
        guardrails={"max_tokens_per_hour": 1000},
    )
    assert "I am gpt-new." == openai_ask(provider.url)
    trimtab.flush()
    assert "I am gpt-old." == openai_ask(provider.url)
    with pytest.raises(openai.InternalServerError):
        openai_ask(provider.url, model="gpt-down", max_retries=1)
    assert 2 == sum(entry.model == "gpt-down" for entry in provider.log.entries)
    assert {33} == {a.timeout_s for a in agent.attempts()}
    assert 1 == caplog.text.count("Steered calls used 1100 tokens within an hour, and 1000 are allowed")
