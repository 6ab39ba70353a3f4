"""Function tools of AG2: each runs in its tool's ``__call__``, which makes an event of the exception."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ...tracer import message_of, type_name
from ..patches import Patches
from .tool_calls import watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``ag2.tools.final.function_tool``."""
    watch(patches, module.FunctionTool, "__call__", active, _told, _failure)


def _told(tool: Any, event: Any, *_: Any, **__: Any) -> Told:
    return Told("ag2", tool.name, event.arguments, getattr(tool.model, "call", None), event.id)


def _failure(result: Any) -> Failure | None:
    error = getattr(result, "error", None)
    return Failure(type_name(error), message_of(error), False) if isinstance(error, BaseException) else None
