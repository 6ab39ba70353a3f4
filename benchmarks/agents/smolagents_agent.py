"""A smolagents agent of either kind: ToolCallingAgent asks for tools, CodeAgent writes Python that calls them."""

import sys

import smolagents
from smolagents import OpenAIServerModel, tool


@tool
def lookup_order(order_id: str) -> str:
    """Find an order.

    Args:
        order_id: Its number.
    """
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@tool
def shipping_quote(city: str) -> str:
    """Price of a parcel.

    Args:
        city: Where it goes.
    """
    print("ran shipping_quote")
    return f"{city}: 12 euros"


model = OpenAIServerModel("gpt-5-mini")
kind = getattr(smolagents, sys.argv[1])
agent = kind([lookup_order, shipping_quote], model, max_steps=6, verbosity_level=0)
print(agent.run("Where is A-17, and what would Rome cost?"))  # call
