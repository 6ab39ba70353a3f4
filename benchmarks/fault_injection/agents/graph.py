"""LangGraph: a graph of two nodes drawn by hand, one that asks the model and one that runs the tools."""

from pathlib import Path

import shop
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, MessagesState, StateGraph
from openai import APIError
from shop import SET

import trimtab

trimtab.instrument()


@tool
def lookup_order(order_id: str) -> str:  # site: lookup
    """Find an order by its number."""
    try:
        return shop.find(order_id)
    except ConnectionError:
        if SET["swallow"]:  # site: swallow
            return "null"
        raise


@tool
def shipping_quote(city: str) -> str:  # site: quote
    """Price of a parcel to a city."""
    text = shop.price(city, SET["tool_timeout_s"])
    return shop.Quote(text) if SET["quote_returns"] == "object" else text


@tool
def reserve_stock(order_id: str) -> str:
    """Reserve the goods of an order."""
    return shop.reserve(order_id)


@tool
@trimtab.tool(mutates=True)
def book_parcel(order_id: str) -> str:  # site: book
    """Book a parcel for an order."""
    return shop.book(order_id)


@tool
def booking_status(order_id: str) -> str:
    """Whether a booking took."""
    return shop.status(order_id)


@tool
def read_page(list_id: str, page: str) -> str:
    """One page of a list."""
    return shop.page(list_id, page)


TOOLS = {t.name: t for t in (lookup_order, shipping_quote, reserve_stock, book_parcel, booking_status, read_page)}
llm = ChatOpenAI(  # site: client
    model=SET["model"] or "gpt-5-mini", api_key=SET["api_key"], timeout=SET["timeout_s"], max_retries=SET["max_retries"]
).bind_tools(list(TOOLS.values()))


def think(state: MessagesState):
    messages = state["messages"]
    if sum(len(m.content) for m in messages) > trimtab.knob("compact_at", SET["compact_at"]):  # site: compact
        if SET["compact_keeps_task"]:
            old = [m for m in messages[:-4] if m.type == "tool"]
            messages = [m.model_copy(update={"content": "(dropped)"}) if m in old else m for m in messages]
        else:
            messages = messages[-4:]
    for turn in range(SET["outer_retries"] + 1):  # site: retry
        try:
            return {"messages": [llm.invoke(messages, max_tokens=SET["max_tokens"])]}  # site: call
        except APIError:
            if turn == SET["outer_retries"]:
                raise


def run_tool(call):
    if call["name"] not in TOOLS:
        return f"Error: {call['name']} is not a tool"
    for turn in range(SET["tool_retries"] + 1):
        try:
            return str(TOOLS[call["name"]].invoke(call["args"]))  # site: tool-retry
        except Exception as error:
            if turn == SET["tool_retries"] or not isinstance(error, TimeoutError):
                return f"Error: {error!r}"


def act(state: MessagesState):
    calls, results = state["messages"][-1].tool_calls, []
    before = [(c["name"], c["args"]) for m in state["messages"][:-1] for c in getattr(m, "tool_calls", ())]
    for call in calls:
        results.append(ToolMessage(run_tool(call), tool_call_id=call["id"]))
    if SET["loop_guard"] and any((call["name"], call["args"]) in before[-2:] for call in calls):
        order = state["messages"][1].content
        results.append(HumanMessage(f"You have asked that already; answer {order} with what you have."))
    return {"messages": results}


def judge(state: MessagesState):
    """Say what is wrong with an answer; nothing where it can be used."""
    messages = state["messages"]
    found = shop.ANSWER.findall(messages[-1].content)
    complaint = "Could not parse your response: expected one <answer>."
    if not found or (SET["parser"] == "exactly one" and len(found) > 1):  # site: parser
        return {"messages": [HumanMessage(complaint)] if sum(m.content == complaint for m in messages) < 2 else []}
    if sum(m.type == "tool" for m in messages) < trimtab.knob("min_evidence", SET["min_evidence"]):  # site: evidence
        return {"messages": [HumanMessage(f"Use the tools first. The order is {messages[1].content}")]}
    return {"messages": []}


graph = StateGraph(MessagesState)
graph.add_node("think", think)
graph.add_node("act", act)
graph.add_node("judge", judge)
graph.add_edge(START, "think")
graph.add_conditional_edges("think", lambda s: "act" if s["messages"][-1].tool_calls else "judge", ["act", "judge"])
graph.add_conditional_edges("judge", lambda s: "think" if s["messages"][-1].type == "human" else END, ["think", END])
graph.add_edge("act", "think")
app = graph.compile()


def solve(order):
    text = (Path(__file__).parent / SET["prompt_file"]).read_text().strip()  # site: prompt
    text += f" {SET['prompt_more']}"  # site: prompt
    if trimtab.knob("verify", SET["verify"]):  # site: verify
        text += " Check every booking."
    limit = SET["recursion_limit"] or 2 * SET["max_steps"] + 2
    try:
        state = app.invoke(  # site: limit
            {"messages": [SystemMessage(text), HumanMessage(order)]}, {"recursion_limit": limit}
        )
    except GraphRecursionError:
        return None
    found = shop.ANSWER.findall(state["messages"][-1].content)
    return found[0] if len(found) == 1 or (SET["parser"] == "first" and found) else None


for order in shop.TASKS:
    try:
        with trimtab.run("desk", task=order):
            trimtab.outcome(shop.check(order, solve(order)))
    except Exception as error:
        print(order, type(error).__name__)
shop.report()
