"""Tools of LangChain and LangGraph: every tool is a ``BaseTool`` and runs in its ``run`` or ``arun``.

The methods are hooked rather than the callback managers told, because what runs inside (an MCP call, a decorated
function) has to find itself inside the execution, and because a handler can't be taken back from a manager that lives.
Arguments that the schema refuses end the execution before the tool is called: an error with the validation's type.
Errors that the tool is told to turn into text (``handle_tool_error``) are seen where that happens.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ...holders import hold
from ..patches import Patches
from .limits import before, built, held, note_building
from .tool_calls import reported, watch, watch_caught


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``langchain_core.tools.base``."""
    for method in ("run", "arun"):
        watch(patches, module.BaseTool, method, active, _told, _failure)
    for handler in ("_handle_tool_error", "_handle_validation_error"):
        watch_caught(patches, module, handler, 0)


def patch_executor(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``langchain_classic.agents.agent``: how often its ``AgentExecutor`` may turn."""
    default = module.AgentExecutor.model_fields["max_iterations"].default

    def note(executor: Any, *_: Any, **__: Any) -> None:
        held(active, executor, "max_iterations", executor.max_iterations, default=default)

    note_building(patches, module.AgentExecutor, active)
    for method in ("_call", "_acall"):
        before(patches, module.AgentExecutor, method, note)


OF_MODEL = {
    "model": ("model", "model_name"),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens"),
    "stop": ("stop", "stop_sequences"),
}
"""Knobs, and the arguments of the chat models that hold them."""


def patch_models(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``langchain_core.language_models.chat_models``: what a chat model holds, unless the call gives it."""

    def note(model: Any, _messages: Any = None, stop: Any = None, *_: Any, **kwargs: Any) -> None:
        tracer, known = active(), built(model)
        if tracer is None:
            return
        by_call = {name for name, value in {"stop": stop, **kwargs}.items() if value is not None}
        own = known.given if known is not None else frozenset()
        knobs = [knob for knob, names in OF_MODEL.items() if own & set(names) and not by_call & set(names)]
        hold(tracer.sites.line(sys._getframe(1)), [(knob, known.site) for knob in knobs] if known is not None else [])

    note_building(patches, module.BaseChatModel, active)
    for method in ("_generate_with_cache", "_agenerate_with_cache"):
        before(patches, module.BaseChatModel, method, note)


def _told(tool: Any, tool_input: Any = None, *_: Any, tool_call_id: str | None = None, **__: Any) -> Told:
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None) or type(tool)._run
    return Told("langchain", tool.name, _arguments(tool, tool_input), function, tool_call_id)


def _arguments(tool: Any, given: Any) -> dict[str, Any] | None:
    """What the model gave, without what the framework injects (state, store, the call's own id)."""
    if not isinstance(given, dict):
        return None
    without = getattr(tool, "_filter_injected_args", None)
    plain: dict[str, Any] = without(given) if without is not None else given
    return plain


def _failure(result: Any) -> Failure | None:
    if getattr(result, "status", None) != "error":
        return None
    content = getattr(result, "content", "")
    return reported(content if isinstance(content, str) else "")
