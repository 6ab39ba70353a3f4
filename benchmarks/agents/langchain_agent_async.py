"""A LangChain agent on a model by name, async: two customers at once, then streams."""

import asyncio
import sys

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.prompts import ChatPromptTemplate
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
    model = init_chat_model(sys.argv[1])
    agent = create_agent(model, [lookup_order, shipping_quote])
    first, second = await asyncio.gather(ask(agent, "Where is A-17?"), ask(agent, "What would Rome cost?"))  # call
    print(first["messages"][-1].content)
    print(second["messages"][-1].content)
    question = {"messages": [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]}
    async for step in agent.astream(question, stream_mode="updates"):  # call
        print(list(step))
    chain = ChatPromptTemplate.from_template("Check: {what}") | model
    async for piece in chain.astream({"what": "all well?"}):  # call
        print(piece.text, end="|")
    print()


asyncio.run(main())
