"""Anthropic's tool runner, whose second tool raises."""

import trimtab

trimtab.instrument()

import anthropic
from anthropic import beta_tool


@beta_tool
def add(a: int, b: int) -> str:  # add
    """Add two numbers."""
    return str(a + b)


@beta_tool
def divide(a: int, b: int) -> str:  # divide
    """Divide two numbers."""
    return str(a / b)


runner = anthropic.Anthropic().beta.messages.tool_runner(  # limit
    max_iterations=6,
    max_tokens=100,
    model="claude-sonnet-4-5",
    tools=[add, divide],
    messages=[{"role": "user", "content": "Add 2 and 3."}],
)
print(runner.until_done().content[-1].text)
