"""CrewAI: a crew of one."""

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import trimtab

trimtab.instrument(service="crewai-desk")


@tool("lookup_order")
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


clerk = Agent(
    role="Clerk",
    goal="Help customers",
    backstory="You work in a kettle shop.",
    llm=LLM(model="openai/gpt-4o-mini"),
    tools=[lookup_order],
    max_iter=5,
)
task = Task(description="Where is order A-17?", expected_output="One sentence.", agent=clerk)
print(Crew(agents=[clerk], tasks=[task]).kickoff().raw)  # every call is pinned here
