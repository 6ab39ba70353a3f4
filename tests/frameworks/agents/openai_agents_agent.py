"""An agent of the OpenAI Agents SDK whose second tool raises."""

import trimtab

trimtab.instrument()

from agents import Agent, Runner, function_tool


@function_tool
def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


@function_tool
async def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


agent = Agent(name="calculator", model="gpt-scripted", tools=[add, divide])
print(Runner.run_sync(agent, "Add 2 and 3.", max_turns=7).final_output)  # limit
