"""A graph of our own: one node asks the model, one runs the tools; updates are streamed."""

from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
import trimtab; trimtab.instrument()


@tool
def lookup_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"order {order_id}: one kettle, now in Oslo"


@tool
def shipping_quote(city: str) -> str:
    """Price of a parcel to a city."""
    return f"{city}: 12 euros"


TOOLS = {"lookup_order": lookup_order, "shipping_quote": shipping_quote}
llm = ChatOpenAI(model="gpt-5-mini", max_retries=5).bind_tools(list(TOOLS.values()))


def think(state: MessagesState):
    return {"messages": [llm.invoke(state["messages"])]}


def act(state: MessagesState):
    calls = state["messages"][-1].tool_calls
    return {
        "messages": [
            ToolMessage(content=TOOLS[call["name"]].invoke(call["args"]), tool_call_id=call["id"]) for call in calls
        ]
    }


def route(state: MessagesState):
    return "act" if state["messages"][-1].tool_calls else END


graph = StateGraph(MessagesState)
graph.add_node("think", think)
graph.add_node("act", act)
graph.add_edge(START, "think")
graph.add_conditional_edges("think", route, ["act", END])
graph.add_edge("act", "think")
app = graph.compile()

for update in app.stream({"messages": [("user", "Where is A-17, and what would Rome cost?")]}, stream_mode="updates"):
    for node, change in update.items():
        print(node, [message.content for message in change["messages"]])
