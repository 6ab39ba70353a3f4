"""A LangChain agent on ChatAnthropic, async: one plain function and one coroutine as tools, two customers at once."""

import asyncio

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool


@tool
def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@tool
async def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    await asyncio.sleep(0.01)
    print("ran shipping_quote")
    return f"{city}: 12 euros"


def ask(agent, question):
    return agent.ainvoke({"messages": [{"role": "user", "content": question}]})


async def main():
    agent = create_agent(ChatAnthropic(model="claude-haiku-4-5"), [lookup_order, shipping_quote])
    first, second = await asyncio.gather(ask(agent, "Where is A-17?"), ask(agent, "What would Rome cost?"))  # call
    print(first["messages"][-1].content)
    print(second["messages"][-1].content)


asyncio.run(main())
