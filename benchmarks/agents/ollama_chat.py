"""A local model through Ollama's client: functions as tools, whole and streamed, sync and async; and an embedding."""

import asyncio

import ollama


def lookup_order(order_id: str) -> str:
    """Find an order.

    Args:
        order_id: Its number.
    """
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


def shipping_quote(city: str) -> str:
    """Price of a parcel.

    Args:
        city: Where it goes.
    """
    print("ran shipping_quote")
    return f"{city}: 12 euros"


TOOLS = {"lookup_order": lookup_order, "shipping_quote": shipping_quote}
QUESTION = {"role": "user", "content": "Where is A-17, and what would Rome cost?"}


def run_tools(messages, message):
    messages.append(message)
    for call in message.tool_calls:
        result = TOOLS[call.function.name](**call.function.arguments)
        messages.append({"role": "tool", "tool_name": call.function.name, "content": result})


messages = [QUESTION]
while (message := ollama.chat("qwen3", messages=messages, tools=TOOLS.values()).message).tool_calls:  # call
    run_tools(messages, message)
print(message.content)

for part in ollama.chat("llama3.2", messages=[{"role": "user", "content": "Check: all well?"}], stream=True):  # call
    print(part.message.content, end="|")
print()


async def main():
    client, messages = ollama.AsyncClient(), [QUESTION]
    while True:
        response = await client.chat("qwen3", messages=messages, tools=TOOLS.values())  # call
        if not response.message.tool_calls:
            return response.message.content
        run_tools(messages, response.message)


print(asyncio.run(main()))
print(len(ollama.embed("nomic-embed-text", ["kettle", "parcel"]).embeddings))  # call
