"""google-genai's async client: automatic function calling for two customers at once, then a stream."""

import asyncio

from google import genai
from google.genai import types


def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


async def ask(client, question):
    config = types.GenerateContentConfig(tools=[lookup_order, shipping_quote])
    response = await client.aio.models.generate_content(  # call
        model="gemini-2.5-flash", contents=question, config=config
    )
    return response.text


async def main():
    client = genai.Client()
    for text in await asyncio.gather(ask(client, "Where is A-17?"), ask(client, "What would Rome cost?")):
        print(text)
    async for chunk in await client.aio.models.generate_content_stream(  # call
        model="gemini-2.5-pro", contents="Check: all well?"
    ):
        print(chunk.text, end="|")
    print()
    await client.aio.aclose()


asyncio.run(main())
