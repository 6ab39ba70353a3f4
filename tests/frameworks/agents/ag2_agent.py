"""An AG2 agent whose second tool raises."""

import asyncio

import trimtab

trimtab.instrument()

from ag2 import Agent
from ag2.config import OpenAIConfig


def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


async def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


async def main() -> None:
    """Ask once."""
    agent = Agent("calculator", "Calculate.", config=OpenAIConfig("gpt-scripted"), tools=[add, divide])
    print(await (await agent.ask("Add 2 and 3.")).content())


asyncio.run(main())
