"""A LangGraph graph drawn by hand: a node that asks the model, a node that runs tools, an edge that decides."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


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


TOOLS = [lookup_order, shipping_quote]
model = ChatOpenAI(model="gpt-5-mini").bind_tools(TOOLS)


def think(state: MessagesState):
    return {"messages": [model.invoke(state["messages"])]}  # call


graph = StateGraph(MessagesState)
graph.add_node("think", think)
graph.add_node("tools", ToolNode(TOOLS))
graph.add_edge(START, "think")
graph.add_conditional_edges("think", tools_condition)
graph.add_edge("tools", "think")
state = graph.compile().invoke({"messages": [("user", "Where is A-17, and what would Rome cost?")]})
print(state["messages"][-1].content)
