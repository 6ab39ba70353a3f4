"""A CrewAI crew of one whose second tool raises."""

import trimtab

trimtab.instrument()

from crewai import LLM, Agent, Crew, Task
from crewai.tools import BaseTool, tool


@tool("Add")
def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


class Divide(BaseTool):
    """Divide."""

    name: str = "divide"
    description: str = "Divide two numbers."

    def _run(self, a: int, b: int) -> float:  # divide
        return a / b


agent = Agent(  # built
    role="calculator",
    goal="Calculate.",
    backstory="Good at it.",
    llm=LLM(model="openai/gpt-4o-mini"),
    tools=[add, Divide()],
    max_iter=6,
)
task = Task(description="Add 2 and 3.", expected_output="A number.", agent=agent)
print(Crew(agents=[agent], tasks=[task]).kickoff().raw)
