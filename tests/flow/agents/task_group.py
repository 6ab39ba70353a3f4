"""Three customers in an asyncio.TaskGroup, a run for each, with a second opinion asked in a thread."""

import asyncio
import json

import anthropic
import openai
import trimtab; trimtab.instrument()

desk = openai.AsyncOpenAI(max_retries=0)
critic = anthropic.Anthropic(timeout=9)
TOOLS = [
    {"type": "function", "function": {"name": "lookup_order", "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "shipping_quote", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
]


def second_opinion(text):
    reply = critic.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=[{"role": "user", "content": f"Check: {text}"}])
    return reply.content[0].text


async def converse(customer):
    messages = [{"role": "user", "content": f"I am {customer}. Where is A-17, and what would Rome cost?"}]
    while True:
        reply = await desk.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS)
        message = reply.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            content = f"{call.function.name}({json.loads(call.function.arguments)}) is fine"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})


async def serve(customer):
    with trimtab.run(name="serve", task=customer):
        text = await converse(customer)
        checked = await asyncio.to_thread(second_opinion, text)
        trimtab.outcome(success=customer != "bob")
        return customer, text, checked


async def main():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(serve(customer)) for customer in ("ada", "bob", "cyd")]
    for task in tasks:
        print(task.result())


asyncio.run(main())
