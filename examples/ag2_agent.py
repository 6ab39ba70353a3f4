"""AG2."""

import asyncio

from ag2 import Agent
from ag2.config import OpenAIConfig

import trimtab

trimtab.instrument(service="ag2-desk")


def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


async def main():
    """One question."""
    desk = Agent("desk", "You help customers.", config=OpenAIConfig("gpt-5-mini"), tools=[lookup_order])
    reply = await desk.ask("Where is order A-17?")  # every call is pinned here
    print(await reply.content())


asyncio.run(main())
