"""A loop written by hand, with nothing but httpx: no SDK, no framework."""

import json
import os

import httpx

import trimtab

trimtab.instrument(service="loop-by-hand")

client = httpx.Client(
    base_url=os.environ["OPENAI_BASE_URL"], headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
)
PARAMETERS = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOLS = [{"type": "function", "function": {"name": "lookup_order", "parameters": PARAMETERS}}]


@trimtab.tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


def ask(messages: list[dict]) -> dict:
    """One request."""
    body = {"model": "gpt-5-mini", "messages": messages, "tools": TOOLS}
    response = client.post("chat/completions", json=body)  # every call is pinned here
    return response.raise_for_status().json()["choices"][0]["message"]


messages: list[dict] = [{"role": "user", "content": "Where is order A-17?"}]
while calls := (message := ask(messages)).get("tool_calls"):
    messages.append(message)
    for call in calls:
        result = lookup_order(**json.loads(call["function"]["arguments"]))
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
print(message["content"])
