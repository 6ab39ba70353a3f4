"""The OpenAI Agents SDK."""

from agents import Agent, Runner, function_tool

import trimtab

trimtab.instrument(service="agents-sdk-desk")


@function_tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


desk = Agent(name="Desk", instructions="You help customers.", model="gpt-5-mini", tools=[lookup_order])
result = Runner.run_sync(desk, "Where is order A-17?", max_turns=6)  # every call is pinned here
print(result.final_output)
