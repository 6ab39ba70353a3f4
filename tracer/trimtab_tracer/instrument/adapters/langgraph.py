"""LangGraph's limit of steps. Its tools are LangChain's (:mod:`.langchain`).

Read where a graph that is about to run has put its configuration together: what the call gave and what the graph holds
can't be told apart there, so the limit is pinned to the line of the call.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active
from ..patches import Patches
from .limits import before, in_force

DEFAULTS = (25, 9_999, 10_000)
"""Limits of LangGraph and of LangChain's agents where nobody sets one and they are plain numbers."""


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``langgraph.pregel.main``."""

    def note(_: Any, config: Any, *__: Any, **___: Any) -> None:
        limit = config["recursion_limit"]
        is_default = type(limit) is not int or limit in DEFAULTS  # the default is a number of a kind of its own
        in_force(active, "recursion_limit", int(limit), by_call=not is_default)

    before(patches, module.Pregel, "_defaults", note)
