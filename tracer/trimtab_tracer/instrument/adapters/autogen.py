"""Tools of AutoGen: every tool runs in ``run_json``, with the id of the model's call.

AutoGen hands the bare text of an exception to the model, so only here it is told from a result.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active, Told
from ..patches import Patches
from .limits import before, held, note_building
from .tool_calls import watch


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``autogen_core.tools._base``."""
    watch(patches, module.BaseTool, "run_json", active, _told)
    watch(patches, module.BaseStreamTool, "run_json_stream", active, _told)


def _told(tool: Any, args: Any, *_: Any, call_id: str | None = None, **__: Any) -> Told:
    function = getattr(tool, "_func", None) or type(tool).run
    return Told("autogen", tool.name, dict(args), function, call_id)


def patch_agents(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``autogen_agentchat.agents._assistant_agent``: how often an agent may call tools for one answer."""

    def note(agent: Any, *_: Any, **__: Any) -> None:
        held(active, agent, "max_tool_iterations", agent._max_tool_iterations, default=1)

    note_building(patches, module.AssistantAgent, active)
    before(patches, module.AssistantAgent, "on_messages_stream", note)


def patch_teams(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``autogen_agentchat.teams._group_chat._base_group_chat``: how many turns a team may take."""

    def note(team: Any, *_: Any, **__: Any) -> None:
        held(active, team, "max_turns", team._max_turns, default=None)

    note_building(patches, module.BaseGroupChat, active)
    before(patches, module.BaseGroupChat, "run_stream", note)


def patch_conditions(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``autogen_agentchat.conditions._terminations``: how many messages end a conversation."""

    def note(condition: Any, *_: Any, **__: Any) -> None:
        held(active, condition, "max_messages", condition._max_messages, default=None)

    note_building(patches, module.MaxMessageTermination, active)
    before(patches, module.MaxMessageTermination, "__call__", note)
