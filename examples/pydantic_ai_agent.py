"""pydantic-ai."""

from pydantic_ai import Agent

import trimtab

trimtab.instrument(service="pydantic-ai-desk")

desk = Agent("openai-chat:gpt-5-mini", instructions="You help customers.", retries=2)


@desk.tool_plain
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


print(desk.run_sync("Where is order A-17?").output)  # every call is pinned here
