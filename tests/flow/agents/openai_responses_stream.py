"""Streams the Responses API; the whole input is sent again each turn, as stateless deployments do."""

import asyncio
import json

import trimtab; trimtab.instrument()
from openai import AsyncOpenAI

TOOLS = [
    {"type": "function", "name": "lookup_order", "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}}},
    {"type": "function", "name": "shipping_quote", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
]


async def first_turn(client, items):
    """One answer, read event by event."""
    stream = await client.responses.create(model="gpt-5-mini", input=items, tools=TOOLS, stream=True, store=False)
    kinds, response = set(), None
    async for event in stream:
        kinds.add(event.type)
        if event.type == "response.completed":
            response = event.response
    print(len(kinds), "kinds of events")
    return response


async def next_turn(client, items):
    """One answer through the SDK's stream helper."""
    async with client.responses.stream(model="gpt-5-mini", input=items, tools=TOOLS, store=False, temperature=0.5) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                print(event.delta, end="")
        return await stream.get_final_response()


async def main():
    client = AsyncOpenAI()
    items = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
    response = await first_turn(client, items)
    while True:
        items += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            print("\ndone:", response.output_text)
            return
        for call in calls:
            print(call.name, json.loads(call.arguments))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name}: all well"})
        response = await next_turn(client, items)


asyncio.run(main())
