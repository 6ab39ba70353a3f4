"""openai-agents, streamed: prints text as it comes."""

import asyncio

import trimtab; trimtab.instrument()
from agents import Agent, Runner, function_tool


@function_tool
def lookup_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"order {order_id}: one kettle, now in Oslo"


@function_tool
async def shipping_quote(city: str) -> str:
    """Price of a parcel to a city."""
    await asyncio.sleep(0.01)
    return f"{city}: 12 euros"


DESK = Agent(name="Help desk", instructions="Use the tools.", model="gpt-5-mini", tools=[lookup_order, shipping_quote])


async def serve(question):
    result = Runner.run_streamed(DESK, question)
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            print(event.data.delta, end="")
        elif event.type == "run_item_stream_event":
            print(event.name)
    return result.final_output


print("\n" + asyncio.run(serve("Where is A-17, and what would Rome cost?")))
