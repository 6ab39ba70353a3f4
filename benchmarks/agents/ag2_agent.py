"""An AG2 agent: a plain function and a coroutine as tools."""

import asyncio

from ag2 import Agent
from ag2.config import OpenAIConfig


def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


async def main():
    clerk = Agent(
        "clerk", "You help customers.", config=OpenAIConfig("gpt-5-mini"), tools=[lookup_order, shipping_quote]
    )
    reply = await clerk.ask("Where is A-17, and what would Rome cost?")  # call
    print(await reply.content())
    streaming = OpenAIConfig("gpt-5", streaming=True)
    print(await (await clerk.ask("And Oslo?", config=streaming)).content())  # call


asyncio.run(main())
