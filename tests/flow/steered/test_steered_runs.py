"""Rules that look at the run: how it was declared, and what it has come to so far."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest

import trimtab

USER = {"role": "user", "content": "hi"}
GOLD = {"knob": "model", "value": "strong", "match": {"context": {"tier": "gold", "vip": "true"}}}


def chat(client: Any, content: str, model: str = "own", **more: Any) -> str:
    """One conversation of its own."""
    messages: Any = [{"role": "user", "content": content}]
    return str(client.chat.completions.create(model=model, messages=messages, **more).choices[0].message.content)


def test_declared_runs_are_told_apart(agent: Any) -> None:
    """Attributes, task and name of the innermost run decide; elsewhere the code's model holds."""
    provider = agent.provider({"text": "ok"})
    by_task = {"knob": "model", "value": "task", "match": {"context": {"task": "t-9"}}}
    by_name = {"knob": "model", "value": "named", "match": {"name": "digest"}}
    agent.obey(GOLD, by_task, by_name)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        chat(client, "0")
        with trimtab.run("triage", tier="gold", vip=True):
            chat(client, "1")
            with trimtab.run("inner", task="t-9"):
                chat(client, "2")
            with trimtab.run("digest", tier="gold", vip=False):
                chat(client, "3")
        with trimtab.run("triage", tier="tin", vip=True):
            chat(client, "4")
    assert ["own", "strong", "task", "named", "own"] == [entry.model for entry in provider.log.entries]
    assert ["rule-0", "rule-1", "rule-2"] == [d.rule_id for d in agent.choices() if d.knob == "model" and d.rule_id]


def test_steps_of_a_run_are_counted(agent: Any) -> None:
    """A rule for later steps holds from its step on, in each run anew; what it saw is on record."""
    provider = agent.provider({"text": "ok"})
    agent.obey({"knob": "model", "value": "late", "when": {"min_step": 2}})
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for _ in range(2):
            with trimtab.run("r"):
                for step in range(4):
                    chat(client, f"step {step}")
    assert ["own", "own", "late", "late"] * 2 == [entry.model for entry in provider.log.entries]
    seen = [d.seen for d in agent.choices() if d.knob == "model" and d.source == "human"]
    assert [{"calls": n, "tokens": None, "previous_failed": False} for n in (2, 3)] * 2 == seen


@pytest.mark.parametrize("is_async", [False, True])
def test_failed_steps_are_seen(agent: Any, is_async: bool) -> None:
    """After a failed call or tool the rule holds, after one that went well it does not; also in a thread."""
    provider = agent.provider({"model": "bad", "fault": {"status": 400}}, {"text": "ok"})
    agent.obey({"knob": "max_tokens", "value": 77, "when": {"previous_failed": True}})

    @trimtab.tool
    def lookup(fails: bool) -> str:
        if fails:
            raise ValueError("no such thing")
        return "found"

    def work(client: Any) -> None:
        with trimtab.run("r"):
            chat(client, "a", max_tokens=5)
            with pytest.raises(openai.BadRequestError):
                chat(client, "b", model="bad", max_tokens=5)
            chat(client, "c", max_tokens=5)
            with pytest.raises(ValueError, match="no such"):
                lookup(True)
            chat(client, "d", max_tokens=5)
            lookup(False)
            chat(client, "e", max_tokens=5)

    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any", max_retries=0) as client:
        asyncio.run(asyncio.to_thread(work, client)) if is_async else work(client)
    assert [5, 5, 77, 77, 5] == [entry.body["max_tokens"] for entry in provider.log.entries]


def test_tokens_of_a_run_are_counted(agent: Any) -> None:
    """Input and output as the provider reports them; from the limit on the rule holds."""
    usage = {"input_tokens": 60, "output_tokens": 40}
    provider = agent.provider({"text": "ok", "usage": usage})
    agent.obey({"knob": "max_tokens", "value": 7, "when": {"min_tokens": 200}})
    with anthropic.Anthropic(base_url=provider.url, api_key="any") as client, trimtab.run("r"):
        for _ in range(4):
            client.messages.create(model="own", max_tokens=50, messages=[USER])
    assert [50, 50, 7, 7] == [entry.body["max_tokens"] for entry in provider.log.entries]
    seen = [d.seen["tokens"] for d in agent.choices() if d.knob == "max_tokens" and d.seen is not None]
    assert [200, 300] == seen


def test_a_conversation_keeps_its_model_beyond_the_condition(agent: Any) -> None:
    """A condition decides where a conversation begins; what began under a rule goes on with its model."""
    provider = agent.provider({"text": "ok"})
    agent.obey(
        {"knob": "model", "value": "first", "when": {"max_step": 0}},
        {"knob": "model", "value": "later", "when": {"min_step": 2}},
    )
    said = {"role": "assistant", "content": "ok"}
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client, trimtab.run("r"):
        for messages in ([USER], [USER, said, USER], [USER, said, USER, said, USER], [{**USER, "content": "anew"}]):
            client.chat.completions.create(model="own", messages=messages)
    assert ["first", "first", "first", "later"] == [entry.model for entry in provider.log.entries]


def test_one_draw_per_rule_and_run(agent: Any) -> None:
    """A conditional experiment draws once per run: whenever its condition holds the run gets the same arm."""
    provider = agent.provider({"model": "bad", "fault": {"status": 400}}, {"text": "ok"})
    arms = [{"value": 11, "weight": 0.5}, {"value": 22, "weight": 0.5}]
    failed = {"knob": "max_tokens", "source": "experiment", "arms": arms, "when": {"previous_failed": True}}
    agent.obey({"knob": "max_tokens", "value": 9}, failed)
    drawn = set()
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any", max_retries=0) as client:
        for _ in range(14):
            at = len(provider.log.entries)
            with trimtab.run("r"):
                for _ in range(2):
                    with pytest.raises(openai.BadRequestError):
                        chat(client, "x", model="bad", max_tokens=5)
                    chat(client, "y", max_tokens=5)
            sent = [entry.body["max_tokens"] for entry in provider.log.entries[at:]]
            assert [9, sent[1], 9, sent[1]] == sent
            drawn.add(sent[1])
    assert {11, 22} == drawn
    found = {(d.value, d.rule_id, d.propensity) for d in agent.choices() if d.knob == "max_tokens"}
    assert {(9, "rule-0", 1.0), (11, "rule-1", 0.5), (22, "rule-1", 0.5)} == found
