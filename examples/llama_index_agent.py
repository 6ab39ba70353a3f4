"""LlamaIndex with its FunctionAgent."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

import trimtab

trimtab.instrument(service="llama-index-desk")


def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


async def main():
    """One question."""
    desk = FunctionAgent(tools=[lookup_order], llm=OpenAI(model="gpt-5-mini"), system_prompt="You help customers.")
    return await desk.run("Where is order A-17?", max_iterations=6)  # every call is pinned here


print(asyncio.run(main()))
