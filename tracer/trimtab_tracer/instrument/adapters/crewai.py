"""Tools of CrewAI: ``run`` of a tool where the model calls functions, ``invoke`` of its structured twin elsewhere.

The methods are hooked rather than the event bus heard: the bus tells afterwards, in another thread, so that nothing
inside the execution could find itself there. What the tools' cache answers is no execution.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ...tools import named, signature_of
from ..patches import Patches
from .limits import before, held, note_building
from .tool_calls import reported, watch


def _tell_run(as_called: Callable[[str], str], tool: Any, *args: Any, **kwargs: Any) -> Told:
    arguments = named(signature_of(tool._run), args, kwargs) if args else kwargs
    return Told("crewai", as_called(tool.name), arguments, _function(tool))


def _tell_invoke(as_called: Callable[[str], str], tool: Any, input: Any = None, *_: Any, **__: Any) -> Told:
    return Told("crewai", as_called(tool.name), input if isinstance(input, dict | str) else None, _function(tool))


def _function(tool: Any) -> Any:
    """The user's function: what a decorated tool holds, or the method of a class of the user's."""
    tool = getattr(tool, "_original_tool", None) or tool
    return getattr(tool, "func", None) or type(tool)._run


SEAMS = (
    ("BaseTool", "run", _tell_run),
    ("BaseTool", "arun", _tell_run),
    ("Tool", "run", _tell_run),
    ("Tool", "arun", _tell_run),
    ("CrewStructuredTool", "invoke", _tell_invoke),
    ("CrewStructuredTool", "ainvoke", _tell_invoke),
)
"""Classes, the methods in which their tools run, and what a call of one is."""


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``crewai.tools.base_tool`` or ``crewai.tools.structured_tool``."""
    as_called = getattr(module, "sanitize_tool_name", str)  # how CrewAI makes the name that the model is told
    for name, method, tell in SEAMS:
        owner = vars(module).get(name)
        if owner is not None and owner.__module__ == module.__name__ and method in vars(owner):
            watch(patches, owner, method, active, functools.partial(tell, as_called), _failure)


def _failure(result: Any) -> Failure | None:
    if type(result).__name__ != "ToolFailure":
        return None
    return reported(str(result.message))


def patch_limits(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``crewai.agent.core``: how often an agent may turn, and how often it may try a task again."""
    knobs = {name: module.Agent.model_fields[name].default for name in ("max_iter", "max_retry_limit")}

    def note(agent: Any, *_: Any, **__: Any) -> None:
        for knob, default in knobs.items():
            held(active, agent, knob, getattr(agent, knob), default=default)

    note_building(patches, module.Agent, active)
    for method in ("execute_task", "aexecute_task", "kickoff", "kickoff_async"):
        before(patches, module.Agent, method, note)
