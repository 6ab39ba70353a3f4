"""Tools of LlamaIndex: functions, query engines and retrievers run in ``call`` and ``acall`` of their tool's class.

An agent makes the bare text of an exception the tool's result; here it is still an exception.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from ...executions import Active, Failure, Told
from ...tools import named, signature_of
from ..patches import Patches
from .limits import before, held, in_force, note_building
from .tool_calls import reported, watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``llama_index.core.tools.function_tool``."""
    for method in ("call", "acall"):
        watch(patches, module.FunctionTool, method, active, _told, _failure)


def patch_engines(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook the tools that are a query engine or a retriever."""
    for name in ("QueryEngineTool", "RetrieverTool"):
        for method in ("call", "acall"):
            watch(patches, getattr(module, name, None), method, active, _told_engine, _failure)


def _told_engine(tool: Any, *args: Any, **kwargs: Any) -> Told:
    arguments = kwargs if kwargs or len(args) != 1 else {"input": args[0]}
    return Told("llama-index", tool.metadata.get_name(), arguments)


def _told(tool: Any, *args: Any, **kwargs: Any) -> Told:
    function = getattr(tool, "real_fn", None) or tool.fn
    arguments = named(signature_of(function), args, kwargs)
    if arguments is not None:
        arguments.pop(getattr(tool, "ctx_param_name", None) or "", None)
    return Told("llama-index", tool.metadata.get_name(), arguments, function)


def _failure(result: Any) -> Failure | None:
    return reported(str(result.content)) if getattr(result, "is_error", False) is True else None


def patch_agents(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook the agents of ``llama_index.core.agent.workflow``: how often one may turn."""
    default = getattr(module, "DEFAULT_MAX_ITERATIONS", 20)

    def note(*_: Any, max_iterations: int | None = None, **__: Any) -> None:
        in_force(active, "max_iterations", max_iterations or default, by_call=bool(max_iterations), default=default)

    for name in ("BaseWorkflowAgent", "AgentWorkflow"):
        before(patches, getattr(module, name, None), "run", note)


def patch_workflows(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``workflows.workflow``: how long a workflow may take, in seconds."""

    def note(workflow: Any, *_: Any, **__: Any) -> None:
        parameter = inspect.signature(type(workflow).__init__).parameters.get("timeout")
        default = parameter.default if parameter is not None else None
        held(active, workflow, "workflow_timeout_s", workflow._timeout, default=default, argument="timeout")

    note_building(patches, module.Workflow, active)
    before(patches, module.Workflow, "run", note)
