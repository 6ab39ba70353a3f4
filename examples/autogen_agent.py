"""AutoGen (autogen-agentchat) with an AssistantAgent."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

import trimtab

trimtab.instrument(service="autogen-desk")


def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


async def main():
    """One question."""
    model = OpenAIChatCompletionClient(model="gpt-4o-mini")
    desk = AssistantAgent("desk", model, tools=[lookup_order], max_tool_iterations=4)
    result = await desk.run(task="Where is order A-17?")  # every call is pinned here
    print(result.messages[-1].content)
    await model.close()


asyncio.run(main())
