"""The OpenAI Agents SDK: awaited, then streamed, with a sync and an async tool."""

import asyncio

from agents import Agent, Runner, function_tool


@function_tool
def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@function_tool
async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    await asyncio.sleep(0.01)
    print("ran shipping_quote")
    return f"{city}: 12 euros"


agent = Agent(
    name="Help desk", instructions="You help customers.", model="gpt-5-mini", tools=[lookup_order, shipping_quote]
)
question = "Where is A-17, and what would Rome cost?"


async def main():
    result = await Runner.run(agent, question)  # call
    print(result.final_output)
    streamed = Runner.run_streamed(agent, question)  # call
    async for event in streamed.stream_events():
        if event.type == "run_item_stream_event":
            print(event.name)
    print(streamed.final_output)


asyncio.run(main())
