"""LiteLLM's async side, which sends through aiohttp."""

import asyncio
import json

import litellm

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
        },
    }
    for name, argument in (("lookup_order", "order_id"), ("shipping_quote", "city"))
]


async def converse(model):
    messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
    while True:
        response = await litellm.acompletion(model, messages, tools=TOOLS)  # call
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump())
        for call in message.tool_calls:
            print("ran", call.function.name)
            content = f"{call.function.name} says {sorted(json.loads(call.function.arguments).values())}"
            messages.append({"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": content})


async def main():
    models = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash")
    for model, text in zip(models, await asyncio.gather(*map(converse, models))):
        print(model, text)
    question = [{"role": "user", "content": "Check: all well?"}]
    async for chunk in await litellm.acompletion("anthropic/claude-sonnet-4-5", question, stream=True):  # call
        print(chunk.choices[0].delta.content, end="|")
    print()


asyncio.run(main())
