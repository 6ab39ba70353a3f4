"""Mistral's SDK: whole answers, streamed, and async, with the loop by hand."""

import asyncio
import json
import os

from mistralai.client import Mistral

client = Mistral(api_key=os.environ["MISTRAL_API_KEY"], server_url=os.environ["MISTRAL_BASE_URL"])

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("lookup_order", "shipping_quote")
]


def run_tool(call):
    print("ran", call.function.name)
    arguments = call.function.arguments
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return f"{call.function.name} says {sorted(arguments.values())}"


async def converse(respond):
    messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
    while True:
        content, calls = await respond(messages)
        if not calls:
            return content
        messages.append({"role": "assistant", "content": content, "tool_calls": calls})
        for call in calls:
            messages.append(
                {"role": "tool", "name": call.function.name, "tool_call_id": call.id, "content": run_tool(call)}
            )


async def whole(messages):
    response = client.chat.complete(model="mistral-small-latest", messages=messages, tools=TOOLS)  # call
    return response.choices[0].message.content, response.choices[0].message.tool_calls


async def awaited(messages):
    response = await client.chat.complete_async(model="mistral-small-latest", messages=messages, tools=TOOLS)  # call
    return response.choices[0].message.content, response.choices[0].message.tool_calls


async def main():
    print(await converse(whole))
    print(await converse(awaited))


asyncio.run(main())
question = [{"role": "user", "content": "Check: all well?"}]
for event in client.chat.stream(model="mistral-large-latest", messages=question):  # call
    print(event.data.choices[0].delta.content if event.data.choices else "", end="|")
print()
