"""Tools of MCP servers: a real server in this process and one behind stdio."""

from __future__ import annotations

import asyncio
import runpy
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from langchain_core.tools import StructuredTool
from mcp import Client, StdioServerParameters
from mcp.client.session_group import ClientSessionGroup

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.records import ToolRun

Recorded = Callable[[type], list[Any]]
SERVER = Path(__file__).parents[1] / "frameworks" / "agents" / "mcp_server.py"

server = runpy.run_path(str(SERVER))["server"]


async def both(client: Any) -> None:
    """Call a tool that works and one that fails, side by side."""
    await asyncio.gather(client.call_tool("add", {"a": 1, "b": 2}), client.call_tool("divide", {"a": 1, "b": 0}))


def check(runs: list[Any]) -> None:
    """What is recorded of :func:`both`."""
    facts = {run.name: run for run in runs}
    assert (2, {"add", "divide"}) == (len(runs), set(facts))
    assert ("ok", digest(canonical({"a": 1, "b": 2}))) == (facts["add"].status, facts["add"].args_digest)
    assert "error" == facts["divide"].status
    assert facts["divide"].error_message.startswith("Error executing tool divide")


def test_a_client_in_this_process(recorded: Recorded) -> None:
    """An error that the server reports is one, though nothing is raised."""

    async def main() -> None:
        async with Client(server) as client:
            await both(client)

    asyncio.run(main())
    check(recorded(ToolRun))


def test_a_group_of_sessions_behind_stdio(recorded: Recorded) -> None:
    """A child process's tools are seen, also through a group of sessions."""

    async def main() -> None:
        async with ClientSessionGroup() as group:
            await group.connect_to_server(StdioServerParameters(command=sys.executable, args=[str(SERVER)]))
            await both(group)

    asyncio.run(main())
    check(recorded(ToolRun))


def test_a_server_behind_http(recorded: Recorded) -> None:
    """The tools of a server behind HTTP are seen, its HTTP requests are no second execution."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        host = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error"))
        serving = threading.Thread(target=lambda: host.run(sockets=[listening]))
        serving.start()

        async def main() -> None:
            while not host.started:
                await asyncio.sleep(0.01)
            async with Client(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp") as client:
                await both(client)

        try:
            asyncio.run(main())
        finally:
            host.should_exit = True
            serving.join()
    check(recorded(ToolRun))


def test_a_langchain_tool_around_it_is_one_execution(recorded: Recorded) -> None:
    """A framework's tool that calls a server's is one execution, with the model's name and id."""

    async def main() -> None:
        async with Client(server) as client:

            async def remote(**kwargs: Any) -> str:
                result = await client.call_tool("add", kwargs)
                return str(result.content[0].text)

            wrapped = StructuredTool.from_function(
                coroutine=remote, name="calculator_add", description="Add.", args_schema=ADD, infer_schema=False
            )
            await wrapped.arun({"a": 1, "b": 2}, tool_call_id="call_9")

    asyncio.run(main())
    (run,) = recorded(ToolRun)
    assert ("calculator_add", "call_9", "ok") == (run.name, run.provider_id, run.status)


ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def test_a_connection_that_breaks_is_an_error(recorded: Recorded) -> None:
    """What the client raises passes unchanged and is the execution's error."""

    async def main() -> None:
        async with Client(server) as client:
            session = client.session
        await session.call_tool("add", {"a": 1, "b": 2})

    with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever the client raises
        asyncio.run(main())
    (run,) = recorded(ToolRun)
    assert ("error", type(raised.value).__name__) == (run.status, run.error_type.rpartition(".")[2])
