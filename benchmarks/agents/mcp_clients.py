"""An agent whose tools live in MCP servers: one behind pipes, then the same over HTTP on the loopback."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters
from openai import AsyncOpenAI

SERVER = str(Path(__file__).with_name("mcp_server.py"))


async def converse(model, tools, question):
    offered = [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.input_schema}}
        for t in (await tools.list_tools()).tools
    ]
    messages = [{"role": "user", "content": question}]
    while True:
        answer = await model.chat.completions.create(model="gpt-5-mini", messages=messages, tools=offered)  # call
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = await tools.call_tool(call.function.name, json.loads(call.function.arguments))
            print("ran", call.function.name, result.is_error)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result.content[0].text})


async def when_listening(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


async def main():
    question = "Where is A-17, and what would Rome cost?"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        async with AsyncOpenAI() as model:
            async with Client(StdioServerParameters(command=sys.executable, args=[SERVER])) as tools:
                print(await converse(model, tools, question))
            await when_listening(port)
            async with Client(f"http://127.0.0.1:{port}/mcp") as tools:
                print(await converse(model, tools, question))
    finally:
        process.terminate()
        process.wait()


asyncio.run(main())
