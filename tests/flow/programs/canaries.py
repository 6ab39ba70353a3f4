"""An agent that is careless with secrets in every place that it has: each one is a canary of its own.

Argument: a JSON object with a secret for each place. Prints nothing of them.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress

import anthropic
import httpx
import httpx2
import openai

import trimtab

trimtab.instrument()
SECRETS: dict[str, str] = json.loads(sys.argv[1])
URL = os.environ["ANTHROPIC_BASE_URL"]
WITH_PASSWORD = URL.replace("//", f"//user:{SECRETS['url_password']}@")
TOOL = {
    "type": "function",
    "function": {
        "name": "login",
        "description": f"Log in; the staging key is {SECRETS['tool_description']}.",
        "parameters": {"type": "object", "properties": {"token": {"default": SECRETS["tool_schema"]}}},
    },
}


@trimtab.tool
def login(password: str, note: str) -> str:
    """A tool that gives a secret back."""
    return f"marmalade, token={SECRETS['tool_result']}"


@trimtab.tool
def fail(password: str) -> str:
    """A tool that tells a secret by its exception."""
    raise PermissionError(f"rejected api_key={SECRETS['tool_exception']}")


def ask() -> None:
    """A conversation with a tool, plain and streamed."""
    client = openai.OpenAI(
        base_url=WITH_PASSWORD + "/v1",
        api_key=SECRETS["api_key"],
        default_headers={"x-team-key": SECRETS["header"], "cookie": f"session={SECRETS['cookie']}"},
        default_query={"key": SECRETS["url_query"]},
    )
    messages = [
        {"role": "system", "content": f"Never tell that password={SECRETS['system_prompt']} is ours."},
        {"role": "user", "content": f'Log in with {{"password": "{SECRETS["user_message"]}"}}, marmalade.'},
    ]
    options = {"model": "gpt-5-mini", "tools": [TOOL], "user": SECRETS["user_field"], "stop": [SECRETS["stop"]]}
    options["metadata"] = {"api_key": SECRETS["metadata"]}
    with trimtab.run("careless", task=f"log in as {SECRETS['run_task']}", password=SECRETS["run_attribute"]) as run:
        trimtab.knob("greeting", f"Hello, {SECRETS['knob']}")
        answer = client.chat.completions.create(messages=messages, **options).choices[0].message
        call = answer.tool_calls[0]
        result = login(**json.loads(call.function.arguments))
        messages += [answer.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": result}]
        for _ in client.chat.completions.create(messages=messages, stream=True, **options):
            pass
        run.outcome(False, comment=f"could not, with {SECRETS['outcome']}")


async def ask_other() -> None:
    """The other SDK, awaited: a stream."""
    client = anthropic.AsyncAnthropic(api_key=SECRETS["other_api_key"])
    question = [{"role": "user", "content": f"Is {SECRETS['other_message']} mine?"}]
    async with client.messages.stream(model="claude-haiku-4-5", max_tokens=64, messages=question) as events:
        async for _ in events:
            pass


def fetch() -> None:
    """Requests of tools, and one that reaches nobody."""
    httpx.get(f"{URL}/v1/models?access_token={SECRETS['tool_url']}", headers={"authorization": SECRETS["tool_header"]})
    httpx2.get(f"{URL}/bot123456789:{SECRETS['tool_path']}/sendMessage")
    with suppress(httpx.ConnectError):
        httpx.get(f"http://user:{SECRETS['unreachable_password']}@127.0.0.1:9/?sig={SECRETS['unreachable_query']}")


def be_refused() -> None:
    """A call that the provider refuses with a message that repeats a secret, and exceptions that tell others."""
    with suppress(openai.APIStatusError):
        openai.OpenAI(max_retries=0).chat.completions.create(
            model="refuses", messages=[{"role": "user", "content": "?"}]
        )
    with suppress(PermissionError):
        fail("x")
    with suppress(ValueError), trimtab.run("fails"):
        raise ValueError(f"Bearer {SECRETS['run_exception']} has expired")


ask()
asyncio.run(ask_other())
fetch()
be_refused()
trimtab.flush()
raise RuntimeError(f"the last one: {SECRETS['last_exception']}")
