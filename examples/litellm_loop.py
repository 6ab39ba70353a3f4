"""LiteLLM with a loop by hand; the model's name says which provider is asked."""

import json

import litellm

import trimtab

trimtab.instrument(service="litellm-desk")

PARAMETERS = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOLS = [{"type": "function", "function": {"name": "lookup_order", "parameters": PARAMETERS}}]


@trimtab.tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


messages = [{"role": "user", "content": "Where is order A-17?"}]
while True:
    answer = litellm.completion("openai/gpt-5-mini", messages, tools=TOOLS)  # every call is pinned here
    message = answer.choices[0].message
    if not message.tool_calls:
        break
    messages.append(message.model_dump())
    for call in message.tool_calls:
        result = lookup_order(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": result})
print(message.content)
