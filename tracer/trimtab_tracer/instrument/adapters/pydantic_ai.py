"""Tools and limits of pydantic-ai.

Every tool that gives the model a result runs through ``ToolManager._raw_execute``, after its arguments were validated,
with the id of the model's call. All ways to run an agent pass through ``Agent.iter``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active, Told
from ..patches import Patches
from .limits import before, held, in_force, note_building
from .tool_calls import watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``pydantic_ai.tool_manager``."""
    watch(patches, module.ToolManager, "_raw_execute", active, _told)


def _told(_: Any, validated: Any, **__: Any) -> Told:
    call = validated.call
    return Told("pydantic-ai", call.tool_name, call.args or {}, _function(validated.tool), call.tool_call_id)


def _function(tool: Any) -> Any:
    """The user's function behind a tool, past the toolsets that were put together."""
    while (source := getattr(tool, "source_tool", None)) is not None:
        tool = source
    schema = getattr(getattr(tool, "call_func", None), "__self__", None)
    return getattr(schema, "function", None)


def patch_limits(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``pydantic_ai.agent``: requests per run, and how often a tool or an answer may be asked for again."""
    default = module._usage.UsageLimits().request_limit

    def note(agent: Any, *_: Any, usage_limits: Any = None, **__: Any) -> None:
        limit = usage_limits.request_limit if usage_limits is not None else default
        in_force(active, "request_limit", limit, by_call=usage_limits is not None, default=default)
        tools, output = agent._max_tool_retries, agent._max_output_retries
        held(active, agent, "retries", tools if tools == output else {"tools": tools, "output": output}, default=1)

    note_building(patches, module.Agent, active)
    before(patches, module.Agent, "iter", note)
