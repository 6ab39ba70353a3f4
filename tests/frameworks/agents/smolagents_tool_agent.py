"""A ToolCallingAgent of smolagents whose second tool raises."""

import os

import trimtab

trimtab.instrument()

from smolagents import OpenAIServerModel, ToolCallingAgent, tool


@tool
def add(a: int, b: int) -> int:  # add
    """Add two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a + b


@tool
def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a / b


model = OpenAIServerModel("gpt-scripted", api_base=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
agent = ToolCallingAgent(tools=[add, divide], model=model, max_steps=5, verbosity_level=0)  # built
print(agent.run("Add 2 and 3."))
