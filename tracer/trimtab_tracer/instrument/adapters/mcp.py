"""Tools of MCP servers: every client, session group and transport calls them through ``ClientSession.call_tool``.

An error of the tool comes back as a result that says so; one of the connection is raised. The definition is in another
process, so there is no site.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ..patches import Patches
from .tool_calls import reported, watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``mcp.client.session``."""
    watch(patches, module.ClientSession, "call_tool", active, _told, _failure)


def _told(_: Any, name: str, arguments: dict[str, Any] | None = None, *__: Any, **___: Any) -> Told:
    return Told("mcp", name, arguments if arguments is not None else {})


def _failure(result: Any) -> Failure | None:
    if getattr(result, "is_error", None) is not True and getattr(result, "isError", None) is not True:
        return None
    texts = [text for block in result.content if isinstance(text := getattr(block, "text", None), str)]
    return reported("\n".join(texts))
