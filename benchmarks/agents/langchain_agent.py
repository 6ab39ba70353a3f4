"""A LangChain agent on a model by name: invoked, then streamed."""

import sys

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.tools import tool


@tool
def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@tool
def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


agent = create_agent(init_chat_model(sys.argv[1]), [lookup_order, shipping_quote], system_prompt="You help customers.")
question = {"messages": [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]}

answer = agent.invoke(question)  # call
print(answer["messages"][-1].content)

for step in agent.stream(question, stream_mode="updates"):  # call
    for node, update in step.items():
        print(node, len(update["messages"]))
