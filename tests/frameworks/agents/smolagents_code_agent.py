"""A CodeAgent of smolagents: the model's code calls the tools, in a thread of the framework's."""

import os

import trimtab

trimtab.instrument()

from smolagents import CodeAgent, OpenAIServerModel, tool


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
agent = CodeAgent(tools=[add, divide], model=model, verbosity_level=0)  # built
with trimtab.run("code"):
    print(agent.run("Add 2 and 3.", max_steps=6))  # limit
