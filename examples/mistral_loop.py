"""Mistral's SDK with a loop by hand."""

import json
import os

from mistralai.client import Mistral

import trimtab

trimtab.instrument(service="mistral-desk")

client = Mistral(api_key=os.environ["MISTRAL_API_KEY"], server_url=os.environ.get("MISTRAL_BASE_URL"))
PARAMETERS = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOLS = [{"type": "function", "function": {"name": "lookup_order", "parameters": PARAMETERS}}]


@trimtab.tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


messages = [{"role": "user", "content": "Where is order A-17?"}]
while True:
    answer = client.chat.complete(  # every call is pinned here
        model="mistral-small-latest", messages=messages, tools=TOOLS
    )
    message = answer.choices[0].message
    if not message.tool_calls:
        break
    messages.append({"role": "assistant", "content": message.content, "tool_calls": message.tool_calls})
    for call in message.tool_calls:
        result = lookup_order(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "name": call.function.name, "tool_call_id": call.id, "content": result})
print(message.content)
