"""openai-agents, awaited: an agent with two function tools on the Responses API."""

import asyncio

from agents import Agent, ModelSettings, Runner, function_tool, set_default_openai_client
from openai import AsyncOpenAI
import trimtab; trimtab.instrument()


@function_tool
async def lookup_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"order {order_id}: one kettle, now in Oslo"


@function_tool
def shipping_quote(city: str) -> str:
    """Price of a parcel to a city."""
    return f"{city}: 12 euros"


async def main():
    set_default_openai_client(AsyncOpenAI(timeout=40, max_retries=4))
    desk = Agent(
        name="Help desk",
        instructions="Help customers. Use the tools.",
        model="gpt-5-mini",
        model_settings=ModelSettings(max_tokens=350),
        tools=[lookup_order, shipping_quote],
    )
    result = await Runner.run(desk, "Where is A-17, and what would Rome cost?")
    print(result.final_output)
    print([type(item).__name__ for item in result.new_items])


asyncio.run(main())
