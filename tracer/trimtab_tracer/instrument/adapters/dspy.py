"""Tools of DSPy: ReAct and everyone else run them by ``tool(...)`` or ``tool.acall(...)``.

Its agents speak of tools in the prompt's text, so the wire tells nothing of them. A tool of MCP is seen once, here.
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
    """Hook ``dspy.adapters.types.tool``."""
    for method in ("__call__", "acall"):
        watch(patches, module.Tool, method, active, _told)


def _told(tool: Any, **kwargs: Any) -> Told:
    return Told("dspy", tool.name, kwargs, tool.func)


def patch_limits(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``dspy.predict.react``: how often ReAct may turn."""
    default = inspect.signature(module.ReAct.__init__).parameters["max_iters"].default

    def note(agent: Any, **inputs: Any) -> None:
        if "max_iters" in inputs:
            in_force(active, "max_iters", inputs["max_iters"], by_call=True)
        else:
            held(active, agent, "max_iters", agent.max_iters, default=default)

    note_building(patches, module.ReAct, active)
    for method in ("forward", "aforward"):
        before(patches, module.ReAct, method, note)
