"""Messages with AsyncAnthropic: a cheap model plans while a better one works with tools."""

import asyncio

from anthropic import AsyncAnthropic
import trimtab; trimtab.instrument()

TOOLS = [
    {"name": "lookup_order", "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}}},
    {"name": "shipping_quote", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
]


async def use(block):
    await asyncio.sleep(0.005)
    return {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.name} of {sorted(block.input.values())}: fine"}


async def work(client, question):
    messages = [{"role": "user", "content": question}]
    for round_number in range(5):
        reply = await client.messages.create(model="claude-sonnet-4-5", max_tokens=256, tools=TOOLS, messages=messages)
        uses = [block for block in reply.content if block.type == "tool_use"]
        if not uses:
            return round_number, reply.content[-1].text
        messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in reply.content]})
        messages.append({"role": "user", "content": list(await asyncio.gather(*map(use, uses)))})
    return None


async def plan(client, question):
    reply = await client.with_options(timeout=7).messages.create(
        model="claude-haiku-4-5", max_tokens=64, messages=[{"role": "user", "content": f"Plan: {question}"}]
    )
    return reply.content[0].text


async def main():
    client = AsyncAnthropic()
    question = "Where is A-17, and what would Rome cost?"
    async with asyncio.TaskGroup() as group:
        planned = group.create_task(plan(client, question))
        worked = group.create_task(work(client, question))
    print(planned.result(), worked.result())


asyncio.run(main())
