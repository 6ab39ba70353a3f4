"""smolagents with its ToolCallingAgent."""

from smolagents import OpenAIServerModel, ToolCallingAgent, tool

import trimtab

trimtab.instrument(service="smolagents-desk")


@tool
def lookup_order(order_id: str) -> str:
    """Where an order is.

    Args:
        order_id: Its number.
    """
    return f"order {order_id}: one kettle, now in Oslo"


desk = ToolCallingAgent([lookup_order], OpenAIServerModel("gpt-5-mini"), max_steps=4, verbosity_level=0)
print(desk.run("Where is order A-17?"))  # every call is pinned here
