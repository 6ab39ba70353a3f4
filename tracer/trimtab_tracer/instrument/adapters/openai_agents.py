"""Function tools of the OpenAI Agents SDK, MCP tools and agents as tools among them.

The SDK's tracing tells neither a tool call's id nor the exception, and users switch it off; so the one function is
hooked through which every function tool is invoked, in the module that defines it and in the one that imported it.
The exception that the SDK hides behind a general sentence is seen where that sentence is asked for.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ..patches import Patches
from .limits import before, in_force
from .tool_calls import reported, watch, watch_caught

INVOKERS = ("_invoke_function_tool_with_metadata", "invoke_function_tool")
"""In the order of the SDK's versions; the first that a module has is hooked."""


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``agents.tool`` or ``agents.run_internal.tool_execution``."""
    name = next((name for name in INVOKERS if hasattr(module, name)), None)
    if name is not None:
        watch(patches, module, name, active, _told, _failure)
    watch_caught(patches, module, "maybe_invoke_function_tool_failure_error_function", "error")


def _told(*, function_tool: Any, context: Any, arguments: str, **_: Any) -> Told:
    function = getattr(function_tool, "__wrapped__", None)  # the SDK's own way to the user's function
    return Told("openai-agents", function_tool.name, arguments, function, getattr(context, "tool_call_id", None))


def _failure(result: Any) -> Failure | None:
    """A tool that took too long: nothing is raised, the SDK writes the result."""
    return reported(str(result.output)) if getattr(result, "is_sdk_generated_error", False) is True else None


def patch_limits(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``agents.run``: how many turns a run may take."""
    default = module.DEFAULT_MAX_TURNS

    def note(*_: Any, **kwargs: Any) -> None:
        in_force(active, "max_turns", kwargs.get("max_turns", default), by_call="max_turns" in kwargs, default=default)

    for method in ("run", "run_sync", "run_streamed"):
        before(patches, module.AgentRunner, method, note)
