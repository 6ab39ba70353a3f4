"""An AutoGen agent whose second tool raises."""

import asyncio

import trimtab

trimtab.instrument()

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient


def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


async def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


async def main() -> None:
    """Ask once."""
    info = ModelInfo(vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False)
    client = OpenAIChatCompletionClient(model="gpt-scripted", model_info=info)
    agent = AssistantAgent("calculator", client, tools=[add, divide], max_tool_iterations=5)  # built
    team = RoundRobinGroupChat([agent], termination_condition=MaxMessageTermination(2), max_turns=3)  # team
    print((await team.run(task="Add 2 and 3.")).messages[-1].to_text())


asyncio.run(main())
