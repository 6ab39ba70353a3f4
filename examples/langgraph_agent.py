"""LangGraph: a graph with a model node and a tool node, over LangChain's OpenAI package."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

import trimtab

trimtab.instrument(service="langgraph-desk")


@tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


model = ChatOpenAI(model="gpt-5-mini").bind_tools([lookup_order])


def think(state: MessagesState):
    """The node that asks the model."""
    return {"messages": [model.invoke(state["messages"])]}  # every call is pinned here


graph = StateGraph(MessagesState)
graph.add_node("think", think)
graph.add_node("tools", ToolNode([lookup_order]))
graph.add_edge(START, "think")
graph.add_conditional_edges("think", tools_condition)
graph.add_edge("tools", "think")

state = graph.compile().invoke({"messages": [("user", "Where is order A-17?")]}, {"recursion_limit": 10})
print(state["messages"][-1].content)
