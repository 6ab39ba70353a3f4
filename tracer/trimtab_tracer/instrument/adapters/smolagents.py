"""Tools of smolagents: an agent's loop and the code that a ``CodeAgent`` wrote call them alike, ``tool(...)``.

Of code that runs in a remote executor nothing is seen. An agent that is managed by another is a tool to that one.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from ...executions import Active, Told
from ..patches import Patches
from .limits import before, held, in_force, note_building
from .tool_calls import watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``smolagents.tools``."""
    watch(patches, module.Tool, "__call__", active, _told)


def patch_agents(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``smolagents.agents``: agents that others call, and how many steps one may take."""
    default = inspect.signature(module.MultiStepAgent.__init__).parameters["max_steps"].default

    def note(agent: Any, *_: Any, max_steps: int | None = None, **__: Any) -> None:
        if max_steps:
            in_force(active, "max_steps", max_steps, by_call=True)
        else:
            held(active, agent, "max_steps", agent.max_steps, default=default)

    watch(patches, module.MultiStepAgent, "__call__", active, _managed)
    note_building(patches, module.MultiStepAgent, active)
    before(patches, module.MultiStepAgent, "run", note)


def _told(tool: Any, *args: Any, **kwargs: Any) -> Told:
    kwargs.pop("sanitize_inputs_outputs", None)  # the agent's loop says it, no model does
    arguments = kwargs
    if len(args) == 1 and not kwargs and isinstance(args[0], dict) and all(key in tool.inputs for key in args[0]):
        arguments = args[0]
    elif args:
        arguments = dict(zip(tool.inputs, args, strict=False)) | kwargs
    return Told("smolagents", tool.name, arguments, type(tool).forward)


def _managed(agent: Any, task: Any = None, *_: Any, **kwargs: Any) -> Told:
    return Told("smolagents", str(agent.name), {"task": task} | kwargs)
