"""An AutoGen AssistantAgent: a plain function and a coroutine as tools."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient


def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


async def main():
    model = OpenAIChatCompletionClient(model="gpt-4o-mini")
    agent = AssistantAgent("clerk", model, tools=[lookup_order, shipping_quote], max_tool_iterations=5)
    result = await agent.run(task="Where is A-17, and what would Rome cost?")  # call
    print(result.messages[-1].content)
    await model.close()


asyncio.run(main())
