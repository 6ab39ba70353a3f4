"""A pydantic-ai agent whose second tool raises."""

import trimtab

trimtab.instrument()

from pydantic_ai import Agent, UsageLimits

agent = Agent("openai-chat:gpt-scripted", retries=3)  # built


@agent.tool_plain
def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


@agent.tool_plain
def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


try:
    agent.run_sync("Add 2 and 3.", usage_limits=UsageLimits(request_limit=9))  # limit
except ZeroDivisionError:
    print("raised")
