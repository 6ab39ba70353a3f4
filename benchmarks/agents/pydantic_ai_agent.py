"""A pydantic-ai agent with its own instrumentation on and a model by name: run_sync, then streamed."""

import asyncio
import sys

from pydantic_ai import Agent

Agent.instrument_all()
agent = Agent(sys.argv[1], instructions="You help customers.")


@agent.tool_plain
def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@agent.tool_plain
async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


async def streamed(question):
    async with agent.run_stream(question) as result:  # call
        async for text in result.stream_text(delta=True):
            print(text, end="|")
    print()


question = "Where is A-17, and what would Rome cost?"
print(agent.run_sync(question).output)  # call
asyncio.run(streamed(question))
