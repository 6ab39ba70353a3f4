"""A LangChain agent whose second tool raises."""

import trimtab

trimtab.instrument()

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


@tool
def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


agent = create_agent(ChatOpenAI(model="gpt-scripted"), [add, divide])
try:
    agent.invoke({"messages": [("user", "Add 2 and 3.")]}, {"recursion_limit": 12})  # limit
except ZeroDivisionError:
    print("raised")
