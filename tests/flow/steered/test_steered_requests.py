"""What goes out of a steered agent: exactly what the policy says is changed, and what must not be touched is not."""

from __future__ import annotations

import json
import time
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import trimtab

MODEL = {"knob": "model", "value": "new-one"}
CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "ho"}


def test_model_is_another_one(agent: Any, ask: Any) -> None:
    """Every SDK and library gets its answer from the model of the policy; body and length are right."""
    provider = agent.provider({"text": "I am {model}."})
    agent.obey(MODEL)
    assert "I am new-one." == ask(provider.url)
    (entry,), (attempt,) = provider.log.entries, agent.attempts()
    assert ("new-one", entry.body_digest) == (attempt.model, attempt.body_digest)
    assert [("new-one", "human", 1.0, 1)] == agent.decisions("model")


def test_length_counts_bytes(agent: Any, openai_ask: Any) -> None:
    """A question outside of ASCII arrives whole: the length is that of the new bytes."""
    provider = agent.provider()
    agent.obey(MODEL)
    question = "Grüße aus Zürich, 你好, 🛶"
    openai_ask(provider.url, messages=[{"role": "user", "content": question}])
    (entry,) = provider.log.entries
    sent = json.dumps(entry.body, ensure_ascii=False, separators=(",", ":")).encode()
    assert (question, str(len(sent))) == (entry.body["messages"][0]["content"], entry.headers["content-length"])


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
def test_model_in_the_url(agent: Any, verb: str) -> None:
    """Gemini's model is in the path: path changed, query and body kept."""
    provider = agent.provider({"text": "I am {model}."})
    agent.obey(MODEL)
    with httpx2.Client() as http:
        answer = http.post(f"{provider.url}/v1beta/models/gemini-old:{verb}", json={"contents": [{"parts": []}]})
    (entry,), (attempt,) = provider.log.entries, agent.attempts()
    assert 200 == answer.status_code
    assert f"/v1beta/models/new-one:{verb}" == entry.path
    assert {"contents": [{"parts": []}]} == entry.body
    assert ("new-one", "/v1beta/models/new-one:" + verb.partition("?")[0]) == (attempt.model, attempt.path)


def test_signed_requests_are_left_alone(agent: Any) -> None:
    """A signature is over the body: nothing in it changes, while its timeout, which is not signed, may."""
    provider = agent.provider()
    agent.obey(MODEL, {"knob": "max_tokens", "value": 7}, {"knob": "timeout_s", "value": 21})
    body = {"model": "old", "max_tokens": 5, "messages": [USER]}
    signature = {"authorization": "AWS4-HMAC-SHA256 Credential=x", "x-amz-date": "20260101T000000Z"}
    with httpx2.Client() as http:
        http.post(provider.url + CHAT, json=body, headers=signature)
    assert body == provider.log.entries[0].body
    assert [21] == [a.timeout_s for a in agent.attempts()]
    assert [("old", "code", 1.0, None)] == agent.decisions("model")


def test_retries_of_a_signed_request_are_the_same_bytes(agent: Any, backoff: Any) -> None:
    """A signed request may be sent again, as it is."""
    provider = agent.provider({"text": "ok", "fault": {"status": 500, "times": 1}})
    agent.obey({"knob": "max_retries", "value": 1}, backoff)
    with httpx.Client() as http:
        answer = http.post(provider.url + CHAT, json={"model": "old", "messages": [USER]}, headers={"x-amz-date": "x"})
    first, second = provider.log.entries
    assert (200, first.body_digest, first.headers) == (answer.status_code, second.body_digest, second.headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_unknown"}),
        ("/v1/responses", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}, USER]}),
        ("/v1/messages", {"max_tokens": 5, "messages": [USER], "container": "box"}),
        ("/v1/messages", {"max_tokens": 5, "messages": [USER, SAID, USER]}),
        (CHAT, {"messages": [USER, SAID, USER]}),
    ],
)
def test_conversation_that_began_without_us_keeps_its_model(agent: Any, path: str, body: dict[str, Any]) -> None:
    """What a model has begun is not handed to another one, whether it is bound or merely goes on."""
    provider = agent.provider()
    agent.obey(MODEL)
    with httpx2.Client() as http:
        http.post(provider.url + path, json={"model": "old", **body})
    assert ["old"] == [entry.model for entry in provider.log.entries]
    assert [("old", "code", 1.0, None)] == agent.decisions("model")


def test_conversation_that_began_with_the_policy_goes_on_with_it(agent: Any, openai_ask: Any) -> None:
    """Turn by turn the same model answers; a conversation that was under way before stays with its own."""
    provider = agent.provider({"text": "I am {model}."})
    old = [{"role": "user", "content": "before"}]
    agent.begin()
    openai_ask(provider.url, messages=old)
    agent.obey(MODEL)
    openai_ask(provider.url, messages=[USER])
    openai_ask(provider.url, messages=[USER, SAID, USER])
    openai_ask(provider.url, messages=[*old, SAID, USER])
    assert ["gpt-old", "new-one", "new-one", "gpt-old"] == [entry.model for entry in provider.log.entries]


def test_conversation_keeps_its_draw_on_another_line(agent: Any) -> None:
    """In an experiment a conversation that goes on elsewhere in the code keeps what was drawn when it began."""
    provider = agent.provider()
    arms = [{"value": "a", "weight": 0.5}, {"value": "b", "weight": 0.5}]
    agent.obey({"knob": "model", "source": "experiment", "arms": arms})
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for n in range(12):
            first = {"role": "user", "content": f"question {n}"}
            with trimtab.run("r"):
                client.chat.completions.create(model="old", messages=[first])
                client.chat.completions.create(model="old", messages=[first, SAID, USER])
    models = [entry.model for entry in provider.log.entries]
    assert models[0::2] == models[1::2]
    assert {"a", "b"} == set(models)
    assert [(model, "experiment", 0.5, 1) for model in models] == agent.decisions("model")


@pytest.mark.parametrize("stream", [False, True])
def test_response_kept_by_the_provider_keeps_its_model(agent: Any, stream: bool) -> None:
    """What goes on from a response by its id asks the model that gave it."""
    provider = agent.provider({"text": "I am {model}."})
    agent.obey(MODEL)
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        if stream:
            events = list(client.responses.create(model="old", input="hi", stream=True))
            response_id = events[-1].response.id
        else:
            response_id = client.responses.create(model="old", input="hi").id
        client.responses.create(model="old", input="and?", previous_response_id=response_id)
    assert ["new-one", "new-one"] == [entry.model for entry in provider.log.entries]


@pytest.mark.parametrize("value", [7, 900])
def test_limit_of_tokens(agent: Any, value: int) -> None:
    """A limit that the request sets is another one; a request without any gets none."""
    provider = agent.provider()
    agent.obey({"knob": "max_tokens", "value": value})
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        client.chat.completions.create(model="m", messages=[USER], max_completion_tokens=50)
        client.chat.completions.create(model="m", messages=[USER])
    asked = [entry.body for entry in provider.log.entries]
    assert (value, True) == (asked[0]["max_completion_tokens"], "max_completion_tokens" not in asked[1])
    assert [(value, "human", 1.0, 1), (None, "default", 1.0, None)] == agent.decisions("max_tokens")


def test_timeout_is_shorter(agent: Any, ask: Any) -> None:
    """A call that may take five seconds is given up earlier, with the library's or the SDK's own exception."""
    provider = agent.provider({"text": "late", "delay_s": 1.5})
    agent.obey({"knob": "timeout_s", "value": 0.2})
    with pytest.raises((openai.APITimeoutError, anthropic.APITimeoutError, httpx.ReadTimeout, httpx2.ReadTimeout)):
        ask(provider.url, timeout=5.0, max_retries=0)
    assert [0.2] == [a.timeout_s for a in agent.attempts()]
    assert [(0.2, "human", 1.0, 1)] == agent.decisions("timeout_s")


def test_timeout_is_longer(agent: Any, ask: Any) -> None:
    """A call that its code would have given up gets its answer."""
    provider = agent.provider({"text": "late", "delay_s": 0.4})
    agent.obey({"knob": "timeout_s", "value": 30})
    assert "late" == ask(provider.url, timeout=0.1)
    assert [30] == [a.timeout_s for a in agent.attempts()]


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_request_that_brings_no_timeout(agent: Any, module: Any) -> None:
    """A request that was built by hand has the client's timeouts, with the policy's for reading and writing."""
    provider = agent.provider()
    agent.obey({"knob": "timeout_s", "value": 9})
    seen: list[Any] = []
    with module.Client(timeout=module.Timeout(3, pool=None), event_hooks={"request": [seen.append]}) as http:
        request = module.Request("POST", provider.url + CHAT, json={"model": "m", "messages": [USER]})
        assert 200 == http.send(request).status_code
    assert {"connect": 3, "read": 9, "write": 9, "pool": None} == seen[0].extensions["timeout"]
    assert "timeout" not in request.extensions or request.extensions["timeout"]["read"] == 3


def test_generator_body_is_left_alone(agent: Any, backoff: Any) -> None:
    """A body that can be read once is neither changed nor sent twice."""
    provider = agent.provider({"fault": {"status": 500}})
    agent.obey(MODEL, {"knob": "max_retries", "value": 3}, backoff)
    parts = iter([b'{"model":"old",', b'"messages":[{"role":"user","content":"hi"}]}'])
    with httpx2.Client() as http:
        response = http.post(provider.url + CHAT, content=parts)
    assert (500, ["old"]) == (response.status_code, [entry.model for entry in provider.log.entries])


def test_rule_for_a_line_is_for_that_line(agent: Any) -> None:
    """A rule that names the line of a call, or the line where its client was built, is about those alone."""
    provider = agent.provider()
    agent.begin()

    def ask(client: Any) -> None:
        client.chat.completions.create(model="old", messages=[USER])

    def other(client: Any) -> None:
        client.chat.completions.create(model="old", messages=[USER], n=1)

    client = openai.OpenAI(base_url=provider.url + "/v1", api_key="any", timeout=3)
    ask(client)
    (attempt,) = agent.attempts()
    built = next(c.site_id for c in agent.choices() if c.knob == "timeout_s")
    agent.obey(
        {**MODEL, "match": {"site": attempt.site_id}}, {"knob": "timeout_s", "value": 8, "match": {"site": built}}
    )
    ask(client)
    other(client)
    client.close()
    assert ["old", "new-one", "old"] == [entry.model for entry in provider.log.entries]
    assert [3, 8, 8] == [a.timeout_s for a in agent.attempts()]
    assert built != attempt.site_id
    assert {("constructor", built)} == {(c.site_role, c.site_id) for c in agent.choices() if c.knob == "timeout_s"}


def test_experiment_is_sticky_per_run_and_logged(agent: Any) -> None:
    """A run draws once; over many runs both arms occur, each with the probability it was drawn with."""
    provider = agent.provider()
    arms = [{"incumbent": True, "weight": 0.4}, {"value": 11.0, "weight": 0.6}]
    agent.obey({"knob": "timeout_s", "source": "experiment", "arms": arms})
    with openai.OpenAI(base_url=provider.url + "/v1", api_key="any") as client:
        for _ in range(16):
            with trimtab.run("r"):
                for _ in range(2):
                    client.chat.completions.create(model="m", messages=[USER])
    decided = agent.decisions("timeout_s")
    assert decided[0::2] == decided[1::2]
    assert {(600, "experiment", 0.4, 1), (11.0, "experiment", 0.6, 1)} == set(decided)
    assert [value for value, *_ in decided] == [a.timeout_s for a in agent.attempts()]


def test_draw_of_a_run_outlives_a_change_of_shares(agent: Any, openai_ask: Any) -> None:
    """A run that is under way keeps its value, and the probability that it was drawn with."""
    provider = agent.provider()
    rule = {"knob": "timeout_s", "source": "experiment"}
    with trimtab.run("r"):
        for one, other in ((0.5, 0.5), (0.02, 0.98), (0.98, 0.02)):
            agent.obey({**rule, "arms": [{"value": 8, "weight": one}, {"value": 9, "weight": other}]})
            openai_ask(provider.url)
    decided = agent.decisions("timeout_s")
    assert 1 == len({value for value, *_ in decided})
    assert [0.5, 0.5, 0.5] == [propensity for *_, propensity, _ in decided]
    assert [1, 2, 3] == [version for *_, version in decided]


def test_running_agent_obeys_soon(agent: Any, openai_ask: Any) -> None:
    """An agent that asks ten times a second meets a new policy within two seconds, and a freeze too."""
    provider = agent.provider({"text": "{model}"})
    agent.begin()

    def calls_until(model: str) -> int:
        for n in range(1000):
            if openai_ask(provider.url) == model:
                return n
            time.sleep(0.1)
        return 1000

    assert 0 == calls_until("gpt-old")
    agent.publish(MODEL)
    assert calls_until("new-one") <= 20
    agent.publish(MODEL, frozen=True)
    assert calls_until("gpt-old") <= 20


@pytest.mark.parametrize("how", ["absent", "torn", "expired", "observing"])
def test_no_policy_is_the_incumbent(agent: Any, openai_ask: Any, how: str) -> None:
    """Without a usable policy the agent does what it would do without us."""
    provider = agent.provider({"text": "{model}"})
    if how != "absent":
        agent.publish(MODEL, **({"issued_ns": time.time_ns() - 10**13} if how == "expired" else {}))
    if how == "torn":
        file = agent.home / "policy.json"
        file.write_bytes(file.read_bytes()[:-20])
    agent.begin(steering=how != "observing")
    assert "gpt-old" == openai_ask(provider.url)
    assert [("gpt-old", "code", 1.0, None)] == agent.decisions("model")


def test_child_process_draws_what_its_run_drew(agent: Any, openai_ask: Any) -> None:
    """A forked child goes on with the run's policy and value."""
    import os

    provider = agent.provider()
    arms = [{"value": "a", "weight": 0.5}, {"value": "b", "weight": 0.5}]
    agent.obey({"knob": "model", "source": "experiment", "arms": arms})
    with trimtab.run("r"):
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                try:
                    openai_ask(provider.url)
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
    models = [entry.model for entry in provider.log.entries]
    assert 2 == len(models)
    assert models[0] == models[1]
