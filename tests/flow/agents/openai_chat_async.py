"""Two questions at once with AsyncOpenAI; tools of one turn run together."""

import asyncio
import json

from openai import AsyncOpenAI
import trimtab; trimtab.instrument()

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup_order",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "shipping_quote",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    },
]


async def lookup_order(order_id):
    await asyncio.sleep(0.01)
    return {"order_id": order_id, "city": "Oslo"}


async def shipping_quote(city):
    await asyncio.sleep(0.01)
    return {"city": city, "euros": len(city) * 2.5}


async def run_tool(call):
    function = {"lookup_order": lookup_order, "shipping_quote": shipping_quote}[call.function.name]
    result = await function(**json.loads(call.function.arguments))
    return {"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}


async def answer(client, question):
    messages = [{"role": "user", "content": question}]
    steps = []
    while True:
        response = await client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS)
        message = response.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return steps, message.content
        results = await asyncio.gather(*(run_tool(call) for call in message.tool_calls))
        steps.append([result["content"] for result in results])
        messages.extend(results)


async def summarise(client, question):
    draft = await client.chat.completions.create(
        model="gpt-5-nano", messages=[{"role": "user", "content": f"Summarise in five words: {question}"}], temperature=0
    )
    return draft.choices[0].message.content


async def main():
    async with AsyncOpenAI(timeout=15) as client:
        question = "What would it cost to send A-17 to Oslo or Rome?"
        results = await asyncio.gather(answer(client, question), summarise(client, question))
    for result in results:
        print(result)


asyncio.run(main())
