"""Tools and limit of Anthropic's tool runner.

The wire marks its errors and says nothing of what went well; a function tool runs in ``call``, also outside the runner.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active, Told
from ..patches import Patches
from .limits import before, in_force
from .tool_calls import watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``anthropic.lib.tools._beta_functions``."""
    for name in ("BetaFunctionTool", "BetaAsyncFunctionTool"):
        watch(patches, getattr(module, name), "call", active, _told)


def _told(tool: Any, arguments: Any = None, **_: Any) -> Told:
    return Told("anthropic", tool.name, arguments if isinstance(arguments, dict) else None, tool.func)


def patch_limits(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``anthropic.lib.tools._beta_runner``: how many answers it asks for."""

    def note(*_: Any, max_iterations: int | None = None, **__: Any) -> None:
        in_force(active, "max_iterations", max_iterations, by_call=max_iterations is not None)

    before(patches, module.BaseToolRunner, "__init__", note)
