"""Two customers at once on the async client, one of them streamed."""

import asyncio
import json

from openai import AsyncOpenAI

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("lookup_order", "shipping_quote")
]


async def run_tool(name, arguments):
    await asyncio.sleep(0.01)
    print("ran", name)
    return f"{name} says {json.loads(arguments)}"


async def whole(client, messages):
    response = await client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS)  # call
    message = response.choices[0].message
    return message.content, [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or []]


async def streamed(client, messages):
    text, calls = "", {}
    stream = await client.chat.completions.create(  # call
        model="gpt-5", messages=messages, tools=TOOLS, stream=True, stream_options={"include_usage": True}
    )
    async for chunk in stream:
        if not chunk.choices:
            continue
        text += chunk.choices[0].delta.content or ""
        for piece in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(piece.index, ["", "", ""])
            call[0] += piece.id or ""
            call[1] += piece.function.name or ""
            call[2] += piece.function.arguments or ""
    return text, [tuple(call) for call in calls.values()]


async def serve(client, turn, question):
    messages = [{"role": "user", "content": question}]
    while True:
        text, calls = await turn(client, messages)
        if not calls:
            return text
        asked = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
        messages.append({"role": "assistant", "content": text, "tool_calls": asked})
        results = await asyncio.gather(*(run_tool(name, arguments) for _, name, arguments in calls))
        for (call_id, _, _), result in zip(calls, results):
            messages.append({"role": "tool", "tool_call_id": call_id, "content": result})


async def main():
    async with AsyncOpenAI() as client:
        questions = ("Where is A-17?", "What would Rome cost?")
        for text in await asyncio.gather(*(serve(client, w, q) for w, q in zip((whole, streamed), questions))):
            print(text)


asyncio.run(main())
