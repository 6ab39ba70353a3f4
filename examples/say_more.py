"""Everything an agent can tell trimtab beyond the one line: runs, outcomes, tools and knobs. Each of them is optional.

trimtab provider --scenario examples/scenarios/tool_loop.toml --port 4330 &
OPENAI_BASE_URL=http://127.0.0.1:4330/v1 OPENAI_API_KEY=any python examples/say_more.py
trimtab up          # then `trimtab report`
"""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI

import trimtab

trimtab.instrument(service="adder")


@trimtab.tool  # its own duration and error are recorded, instead of what the model was told about them
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


NUMBER = {"type": "integer"}
SCHEMA = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]}
TOOLS: Any = [{"type": "function", "function": {"name": "add", "description": add.__doc__, "parameters": SCHEMA}}]


def answer(client: OpenAI, question: str) -> str:
    """Ask until the model has an answer, but not for ever."""
    messages: list[Any] = [{"role": "user", "content": question}]
    for _ in range(trimtab.knob("max_steps", 4, choices=[2, 4, 8])):  # a value that may be turned one day
        message = client.chat.completions.create(model="gpt-5", messages=messages, tools=TOOLS).choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            if call.type == "function":
                result = str(add(**json.loads(call.function.arguments)))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return ""


if __name__ == "__main__":
    # A process is a run by itself; a service that works on many tasks says where each begins and what came of it.
    with trimtab.run("add", task="2+3") as run:
        text = answer(OpenAI(), "What is 2 + 3?")
        run.outcome(success="5" in text, comment=text)
    print(text)
