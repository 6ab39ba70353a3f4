"""An agent whose tools live in an MCP server behind pipes; the server is mcp_server.py."""

import asyncio
import json
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters
from openai import AsyncOpenAI

import trimtab

trimtab.instrument(service="mcp-desk")

SERVER = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))])


async def main():
    """Ask until the model has an answer."""
    async with AsyncOpenAI() as model, Client(SERVER) as tools:
        offered = [
            {"type": "function", "function": {"name": t.name, "parameters": t.input_schema}}
            for t in (await tools.list_tools()).tools
        ]
        messages = [{"role": "user", "content": "Where is order A-17?"}]
        while True:
            answer = await model.chat.completions.create(  # every call is pinned here
                model="gpt-5-mini", messages=messages, tools=offered
            )
            message = answer.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                result = await tools.call_tool(call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result.content[0].text})


print(asyncio.run(main()))
