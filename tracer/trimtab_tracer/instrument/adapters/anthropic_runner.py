"""The limit of Anthropic's tool runner. What its tools do is told by the wire, which marks their errors."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...executions import Active
from ..patches import Patches
from .limits import before, in_force


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook ``anthropic.lib.tools._beta_runner``."""

    def note(*_: Any, max_iterations: int | None = None, **__: Any) -> None:
        in_force(active, "max_iterations", max_iterations, by_call=max_iterations is not None)

    before(patches, module.BaseToolRunner, "__init__", note)
