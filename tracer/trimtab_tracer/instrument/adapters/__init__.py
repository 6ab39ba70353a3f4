"""The frameworks whose tools run in sight, and whose own limits are knobs: one small module each, and one table.

An adapter is a module with functions ``(patches, module, active)``. It is loaded when the library's module is imported,
never before, so a library that the agent does not have costs a name in a dictionary. It imports nothing of the
library: all it needs hangs on the module that it is given. What an adapter hooks may be missing in another version of
the library; then that part stays unseen, the wire still tells of the tool calls, and nothing breaks.

What the adapters share stands in :mod:`.tool_calls` and :mod:`.limits`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType

from ...executions import Active
from ..patches import Patches

WhenImported = Callable[[str, Callable[[ModuleType], None]], None]

ADAPTERS: tuple[tuple[str, str, str], ...] = (
    ("ag2.tools.final.function_tool", "ag2", "patch"),
    ("agents.agent", "openai_agents", "patch_agents"),
    ("agents.model_settings", "openai_agents", "patch_settings"),
    ("agents.run", "openai_agents", "patch_limits"),
    ("agents.run_internal.run_loop", "openai_agents", "patch_models"),
    ("agents.run_internal.tool_execution", "openai_agents", "patch"),
    ("agents.tool", "openai_agents", "patch"),
    ("anthropic.lib.tools._beta_functions", "anthropic_runner", "patch"),
    ("anthropic.lib.tools._beta_runner", "anthropic_runner", "patch_limits"),
    ("autogen_agentchat.agents._assistant_agent", "autogen", "patch_agents"),
    ("autogen_agentchat.conditions._terminations", "autogen", "patch_conditions"),
    ("autogen_agentchat.teams._group_chat._base_group_chat", "autogen", "patch_teams"),
    ("autogen_core.tools._base", "autogen", "patch"),
    ("crewai.agent.core", "crewai", "patch_limits"),
    ("crewai.tools.base_tool", "crewai", "patch"),
    ("crewai.tools.structured_tool", "crewai", "patch"),
    ("dspy.adapters.types.tool", "dspy", "patch"),
    ("dspy.predict.react", "dspy", "patch_limits"),
    ("langchain_classic.agents.agent", "langchain", "patch_executor"),
    ("langchain_core.language_models.chat_models", "langchain", "patch_models"),
    ("langchain_core.tools.base", "langchain", "patch"),
    ("langgraph.pregel.main", "langgraph", "patch"),
    ("llama_index.core.agent.workflow.base_agent", "llama_index", "patch_agents"),
    ("llama_index.core.agent.workflow.multi_agent_workflow", "llama_index", "patch_agents"),
    ("llama_index.core.tools.function_tool", "llama_index", "patch"),
    ("llama_index.core.tools.query_engine", "llama_index", "patch_engines"),
    ("llama_index.core.tools.retriever_tool", "llama_index", "patch_engines"),
    ("mcp.client.session", "mcp", "patch"),
    ("pydantic_ai.agent", "pydantic_ai", "patch_limits"),
    ("pydantic_ai.tool_manager", "pydantic_ai", "patch"),
    ("smolagents.agents", "smolagents", "patch_agents"),
    ("smolagents.tools", "smolagents", "patch"),
    ("workflows.workflow", "llama_index", "patch_workflows"),
)
"""Module of a library, the adapter that hooks it, and that adapter's function."""

MARKS: dict[str, tuple[str, ...]] = {
    "agents.agent": ("Agent", "AgentBase"),
    "agents.model_settings": ("ModelSettings",),
    "agents.run": ("AgentRunner", "DEFAULT_MAX_TURNS"),
    "agents.tool": ("FunctionTool", "FileSearchTool", "ComputerTool"),
    "workflows.workflow": ("Workflow", "WorkflowMeta"),
}
"""Names that users give to modules of their own, and what the library's module holds in the versions that are hooked.
Where its file lies tells nothing: some deployments put libraries beside the user's code."""


def install(when_imported: WhenImported, patches: Patches, active: Active) -> None:
    """Wait for every library of the table.

    Args:
        when_imported: Calls a function with a module once it is imported.
        patches: Where what is replaced is kept.
        active: Gives the tracer.
    """
    for module, adapter, function in ADAPTERS:
        when_imported(module, functools.partial(_apply, adapter, function, patches, active))


def _apply(adapter: str, function: str, patches: Patches, active: Active, module: ModuleType) -> None:
    if not all(hasattr(module, mark) for mark in MARKS.get(module.__name__, ())):
        return
    getattr(importlib.import_module(f".{adapter}", __name__), function)(patches, module, active)
