"""Function tools of the OpenAI Agents SDK, MCP tools and agents as tools among them.

The SDK's tracing tells neither a tool call's id nor the exception, and users switch it off; so the one function is
hooked through which every function tool is invoked, in the module that defines it and in the one that imported it.
The exception that the SDK hides behind a general sentence is seen where that sentence is asked for.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ...holders import hold
from ..patches import Patches
from .limits import before, built, in_force, note_building
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


def patch_agents(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``agents.agent``: the line that builds an agent."""
    note_building(patches, module.Agent, active)


def patch_settings(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``agents.model_settings``: the line that builds an agent's settings."""
    note_building(patches, module.ModelSettings, active)


OF_AGENT = (("model", "model"), ("prompt_version", "instructions"), ("tools", "tools"))
"""Knobs, and the arguments of an agent that hold them."""
OF_SETTINGS = ("max_tokens", "temperature")


def patch_models(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``agents.run_internal.run_loop``: whose turn it is where a model is chosen, and what that agent holds."""

    def note(agent: Any, run_config: Any, *_: Any, **__: Any) -> None:
        tracer = active()
        if tracer is None:
            return
        given, held = built(agent), []
        if given is not None:
            held += [(knob, given.site) for knob, name in OF_AGENT if name in given.given]
        if run_config.model is not None or not isinstance(agent.model, str):
            held = [each for each in held if each[0] != "model"]
        settings, over = built(agent.model_settings), run_config.model_settings
        if settings is not None and over is None:
            held += [(knob, settings.site) for knob in OF_SETTINGS if knob in settings.given]
        hold(tracer.sites.line(sys._getframe(1)), held)

    before(patches, module, "get_model", note)
