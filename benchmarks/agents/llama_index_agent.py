"""A LlamaIndex FunctionAgent, which streams by default, and a plain completion."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI


def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    await asyncio.sleep(0.01)
    print("ran shipping_quote")
    return f"{city}: 12 euros"


llm = OpenAI(model="gpt-5-mini")


async def main():
    agent = FunctionAgent(tools=[lookup_order, shipping_quote], llm=llm, system_prompt="You help customers.")
    print(await agent.run("Where is A-17, and what would Rome cost?"))  # call


asyncio.run(main())
print(llm.complete("Check: all well?"))  # call
