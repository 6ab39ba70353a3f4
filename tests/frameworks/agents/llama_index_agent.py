"""A LlamaIndex agent whose second tool raises."""

import asyncio

import trimtab

trimtab.instrument()

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI


def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


async def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


async def main() -> None:
    """Ask once."""
    agent = FunctionAgent(tools=[add, divide], llm=OpenAI(model="gpt-4o-mini"), timeout=60)  # built
    print(await agent.run("Add 2 and 3.", max_iterations=8))  # limit


asyncio.run(main())
