"""Results of tau-bench (Yao et al. 2024), the list of runs that its ``run.py`` writes.

In: one JSON object per run: ``task_id``, ``trial``, ``reward``, ``traj`` (OpenAI-style messages, tool calls included)
and ``info`` with the task. Out: a :class:`.trace.Trace`. A module of its own beside :mod:`.messages`, which reads the
conversation, because the result says more than a conversation does: the reward is the benchmark's own verdict and
counts as explicit, and the actions that were right (``info.task.actions``) are the run's annotations, read by no
rule.
"""

from __future__ import annotations

from typing import Any, Final

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.wire.values import obj, text

from . import messages
from .source import Document
from .trace import Trace

NAME: Final = "tau-bench result"

SUCCESS: Final = 1.0
"""The reward of a run that did what it should; tau-bench knows no other success."""


def matches(value: Any) -> bool:
    """Whether a JSON value is one such result."""
    if not isinstance(value, dict) or not messages.matches(value.get("traj")):
        return False
    return _is_number(value.get("reward")) and isinstance(obj(obj(value.get("info")).get("task")).get("actions"), list)


def to_trace(document: Document) -> Trace:
    """The run that a result tells.

    Raises:
        ImportFormatError: the conversation holds no message of the assistant.
    """
    value: dict[str, Any] = document.value
    info, task = obj(value["info"]), obj(obj(value["info"])["task"])
    turns = messages.turns_of(value["traj"], document)
    task_id, trial, reward = value.get("task_id"), value.get("trial"), float(value["reward"])
    verdict = obj(info.get("reward_info"))
    annotations = {
        "gold_actions": task["actions"],
        "gold_outputs": task.get("outputs"),
        "reward_info": obj(verdict.get("info")),
    }
    return Trace(
        identity=canonical([NAME, task_id, trial, digest(canonical(value["traj"]))]),
        fingerprint=digest(canonical(value)),
        service="tau-bench",
        harness=NAME,
        function="tool-calling",
        name=f"task {task_id}, trial {trial}",
        turns=turns,
        started_ns=None,
        ended_ns=None,
        task=text(task.get("instruction")),
        success=reward == SUCCESS,
        score=reward,
        attributes={"format": NAME} | {k: v for k, v in (("task_id", task_id), ("trial", trial)) if v is not None},
        annotations={k: v for k, v in annotations.items() if v},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
