"""LangGraph's prebuilt agent on langchain-openai, invoked."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
import trimtab; trimtab.instrument()


@tool
def lookup_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"order {order_id}: one kettle, now in Oslo"


@tool
def shipping_quote(city: str) -> str:
    """Price of a parcel to a city."""
    return f"{city}: 12 euros"


model = ChatOpenAI(model="gpt-4.1-mini", temperature=0.1, timeout=33, max_retries=1)
agent = create_react_agent(model, [lookup_order, shipping_quote], prompt="You are a help desk.")


def main():
    state = agent.invoke({"messages": [("user", "Where is A-17, and what would Rome cost?")]})
    for message in state["messages"]:
        print(message.type, message.content)


main()
