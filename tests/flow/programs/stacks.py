"""Agents whose retry loops stand around each other, at a provider that is down for good: how often do they ask?

Prints a JSON line for each stack, outage and policy: the requests at the provider, and what the agent saw. Stacks,
outages and policies are the arguments, each with commas between; ``off`` is no trimtab at all, ``none`` no policy. With
one argument that stack works once, at the provider and in the home that the environment names.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anthropic
import httpx
import openai

import trimtab
from trimtab_tuner.provider import Provider, Scenario

OUTAGES = {
    "429": {"status": 429, "retry_after_ms": 1},
    "500": {"status": 500, "retry_after_ms": 1},
    "529": {"status": 529},
    "drop": {"kind": "drop"},
    "mixed": None,
}
ON = ["rate_limit", "overloaded", "server", "connection", "timeout"]
BACKOFF = ("backoff", {"initial_s": 0.001, "factor": 1.5, "max_s": 0.002, "jitter": 0.5})
POLICIES = {
    "none": [],
    "max_retries": [("max_retries", 5)],
    "no retries": [("max_retries", 0)],
    "fallback": [("fallback", {"on": ON, "models": ["gpt-b", "gpt-c"]})],
    "backoff": [],
    "all": [("max_retries", 5), ("fallback", {"on": ON, "models": ["gpt-b", "gpt-c", "gpt-d"]})],
}
"""Every policy but ``none`` sets the backoff, too: the SDKs' own would take too long here."""
MESSAGES = [{"role": "user", "content": "Sum it up."}]
Ask = Callable[[], object]


class AgentError(Exception):
    """What a framework raises when it has given up."""


def openai_client(url: str, **options: object) -> openai.OpenAI:
    """A client; checking certificates of a provider without any would take most of the time."""
    http = openai.DefaultHttpxClient(verify=False)
    return openai.OpenAI(base_url=url + "/v1", api_key="any", http_client=http, **options)


def stubborn(ask: Ask, times: int) -> object:
    """A loop as frameworks have it: again after any error, and in the end an error of its own."""
    for attempt in range(times):
        try:
            return ask()
        except Exception as error:
            if attempt + 1 == times:
                raise AgentError(type(error).__name__) from error
    return None


def crew(url: str) -> object:
    """Tasks that retry agents that retry an SDK that retries; the SDK is called in a worker thread."""
    client = openai_client(url, max_retries=2)

    def ask() -> object:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(client.chat.completions.create, model="gpt-a", messages=MESSAGES).result()

    return stubborn(lambda: stubborn(ask, 3), 3)


def fresh_clients(url: str) -> object:
    """The same, with a new client for each attempt."""

    def ask() -> object:
        with openai_client(url) as client:
            return client.chat.completions.create(model="gpt-a", messages=MESSAGES)

    return stubborn(lambda: stubborn(ask, 3), 3)


def talkative(url: str) -> object:
    """The same, telling the model at each attempt what went wrong before: no body is sent twice by the outer loops."""
    client = openai_client(url, max_retries=2)
    messages = list(MESSAGES)

    def ask() -> object:
        messages.append({"role": "user", "content": f"Attempt {len(messages)}: try again."})
        return client.chat.completions.create(model="gpt-a", messages=messages)

    return stubborn(lambda: stubborn(ask, 3), 3)


def streaming(url: str) -> object:
    """The same over streams of the other SDK, awaited."""

    async def ask() -> object:
        http = anthropic.DefaultAsyncHttpxClient(verify=False)
        asked = {"model": "gpt-a", "max_tokens": 99, "messages": MESSAGES}
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key="any", http_client=http) as client,
            client.messages.stream(**asked) as events,
        ):
            return [event async for event in events]

    return stubborn(lambda: stubborn(lambda: asyncio.run(ask()), 3), 3)


def tenacious(url: str) -> object:
    """A decorator's loop around a client that does not retry."""
    import tenacity  # a second of imports, as langchain's below

    client = openai_client(url, max_retries=0)

    @tenacity.retry(stop=tenacity.stop_after_attempt(6), wait=tenacity.wait_none(), reraise=True)
    def ask() -> object:
        return client.chat.completions.create(model="gpt-a", messages=MESSAGES)

    return ask()


def by_hand(url: str) -> object:
    """A loop around an HTTP client, without any SDK."""
    with httpx.Client(base_url=url) as client:

        def ask() -> object:
            return client.post("/v1/chat/completions", json={"model": "gpt-a", "messages": MESSAGES}).raise_for_status()

        return stubborn(lambda: stubborn(ask, 3), 3)


def langchain(url: str) -> object:
    """LangChain's retries around those of its OpenAI client."""
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-a", base_url=url + "/v1", api_key="any", max_retries=2)
    patient = model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    return stubborn(lambda: patient.invoke("Sum it up."), 3)


def together(url: str) -> object:
    """Four workers of one run, each with its stack, asking the same at the same time."""

    def work(_: int) -> str:
        try:
            crew(url)
        except AgentError as error:
            return str(error)
        return "answered"

    with ThreadPoolExecutor(4) as pool:
        raise AgentError(*pool.map(work, range(4)))


STACKS = {
    stack.__name__: stack
    for stack in (crew, fresh_clients, talkative, streaming, tenacious, by_hand, langchain, together)
}


def rules(outage: str) -> list[dict[str, object]]:
    """The provider's rules: every model is down, and where outages are mixed each request meets another one."""
    faults = [OUTAGES[outage]]
    if outage == "mixed":
        faults = [{**fault, "times": 1} for _ in range(60) for fault in OUTAGES.values() if fault]
    return [{"faults": faults}]


def publish(home: Path, policy: str) -> None:
    """Lay the policy into the home."""
    steered = [] if policy == "none" else [*POLICIES[policy], BACKOFF]
    head = {"schema": 1, "version": 1, "issued_ns": time.time_ns(), "lifetime_s": 3600, "frozen": False}
    each = {"match": {}, "sticky": "run", "source": "human"}
    written = [{"rule_id": f"r-{knob}", "knob": knob, "value": value, **each} for knob, value in steered]
    path = home / "policy.json"
    path.write_text(json.dumps({**head, "rules": written}))
    path.chmod(0o600)


def chain(error: BaseException | None) -> list[str]:
    """Classes of an exception and of its causes."""
    return [] if error is None else [type(error).__name__, *chain(error.__cause__)]


def play(stack: str, outage: str, policy: str) -> dict[str, object]:
    """One agent, from its start to its end."""
    with Provider(Scenario.from_dict({"rules": rules(outage)})) as provider, tempfile.TemporaryDirectory() as folder:
        if policy != "off":
            publish(Path(folder), policy)
            trimtab.instrument(home=folder, harness="1")
        try:
            STACKS[stack](provider.url)
            seen = "an answer"
        except Exception as error:
            seen = chain(error)
        finally:
            trimtab.uninstrument()
        log = provider.log.entries
    models = [entry.model for entry in log]
    return {"stack": stack, "outage": outage, "policy": policy, "requests": len(log), "models": models, "seen": seen}


def work() -> None:
    """One agent as its user would run it."""
    trimtab.instrument()
    try:
        STACKS[sys.argv[1]](os.environ["ANTHROPIC_BASE_URL"])
    except AgentError as error:
        print(f"gave up after {error}")


if __name__ == "__main__":
    for sdk in (openai, anthropic):  # alike in all arms
        sdk._base_client.INITIAL_RETRY_DELAY = 0.001
    if len(sys.argv) == 2:
        work()
    else:
        stacks, outages, policies = (argument.split(",") for argument in sys.argv[1:])
        for outage in outages:
            for policy in policies:
                for stack in stacks:
                    print(json.dumps(play(stack, outage, policy)), flush=True)
