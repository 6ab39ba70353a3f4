"""LangGraph's prebuilt agent, awaited, with one synchronous and one asynchronous tool."""

import asyncio

import trimtab; trimtab.instrument()
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent


@tool
def lookup_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"order {order_id}: one kettle, now in Oslo"


@tool
async def shipping_quote(city: str) -> str:
    """Price of a parcel to a city."""
    await asyncio.sleep(0.01)
    return f"{city}: 12 euros"


async def main():
    llm = ChatOpenAI(model="gpt-5-mini", max_completion_tokens=222)
    agent = create_react_agent(llm, [lookup_order, shipping_quote])
    question = {"messages": [("user", "Where is A-17, and what would Rome cost?")]}
    state = await agent.ainvoke(question)
    for message in state["messages"]:
        print(message.type, message.content)


asyncio.run(main())
