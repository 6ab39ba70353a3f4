"""A crew of one agent with two tools."""

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool


@tool("lookup_order")
def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


@tool("shipping_quote")
def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


clerk = Agent(
    role="Clerk",
    goal="Help customers",
    backstory="You work in a kettle shop.",
    llm=LLM(model="openai/gpt-4o-mini"),
    tools=[lookup_order, shipping_quote],
)
task = Task(description="Where is A-17, and what would Rome cost?", expected_output="One sentence.", agent=clerk)
print(Crew(agents=[clerk], tasks=[task]).kickoff().raw)  # call
