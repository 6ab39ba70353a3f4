"""The Anthropic SDK's own loop over decorated functions: sync in whole answers, then async in streams."""

import asyncio

import anthropic
from anthropic import beta_async_tool, beta_tool

QUESTION = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]


@beta_tool
def lookup_order(order_id: str) -> str:
    """Find an order.

    Args:
        order_id: Its number.
    """
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@beta_tool
def shipping_quote(city: str) -> str:
    """Price of a parcel.

    Args:
        city: Where it goes.
    """
    print("ran shipping_quote", city)
    return f"{city}: 12 euros"


@beta_async_tool(name="lookup_order")
async def find(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@beta_async_tool(name="shipping_quote")
async def quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote", city)
    return f"{city}: 12 euros"


def sync():
    client = anthropic.Anthropic()
    runner = client.beta.messages.tool_runner(
        model="claude-haiku-4-5", max_tokens=300, tools=[lookup_order, shipping_quote], messages=QUESTION
    )
    for message in runner:  # call
        print(message.stop_reason)
    print(message.content[-1].text)


async def streamed():
    client = anthropic.AsyncAnthropic()
    runner = client.beta.messages.tool_runner(
        model="claude-sonnet-4-5", max_tokens=300, tools=[find, quote], messages=QUESTION, stream=True
    )
    async for stream in runner:  # call
        message = await stream.get_final_message()
        print(message.stop_reason)
    print(message.content[-1].text)
    await client.close()


sync()
asyncio.run(streamed())
