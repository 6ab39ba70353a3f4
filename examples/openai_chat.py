"""The openai SDK, chat completions with tools."""

import json

from openai import OpenAI

import trimtab

trimtab.instrument(service="openai-desk")

client = OpenAI(max_retries=3)
PARAMETERS = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOLS = [{"type": "function", "function": {"name": "lookup_order", "parameters": PARAMETERS}}]


@trimtab.tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


messages = [{"role": "user", "content": "Where is order A-17?"}]
while True:
    answer = client.chat.completions.create(  # every call is pinned here
        model="gpt-5-mini", messages=messages, tools=TOOLS
    )
    message = answer.choices[0].message
    if not message.tool_calls:
        break
    messages.append(message)
    for call in message.tool_calls:
        result = lookup_order(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
