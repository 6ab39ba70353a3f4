"""Labelled logs of several agents in the two layouts of the Who&When data set (Zhang et al., ICML 2025).

In: one JSON object per run: ``history``, a list of messages in the order in which they were said, beside ``question``
and labels (``mistake_agent``, ``mistake_step``, ``mistake_reason``, ``ground_truth``, …). Out: a
:class:`.trace.Trace`. A module of its own because such a log is of a group: each message has its own speaker, and
some speakers are machines.

The layouts differ in where the speaker stands: in ``name`` (algorithm-generated logs), or in ``role`` with what it
was doing in brackets behind it (hand-crafted ones: ``Planner (thought)``). Every message of an agent is one call; its
step is the message's index in ``history``, from 0, which is how the labels count. What a person or a machine said
went into the next call; a machine is a speaker half of whose messages state an exit code, and its message
answers the code of the message before it. Labels become the run's annotations: nothing but a benchmark reads them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any, Final

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.verdicts import tool_status
from trimtab_tracer.wire.facts import ToolCall
from trimtab_tracer.wire.values import joined, text

from ..code_blocks import runnable
from .source import Document
from .trace import Answer, Knob, Trace, Turn

NAME: Final = "Who&When log"

HISTORY: Final = "history"
LABELS: Final = ("mistake_agent", "mistake_step", "mistake_reason", "labels", "level")
TRUTHS: Final = ("ground_truth", "groundtruth")
VERDICTS: Final = ("is_correct", "is_corrected")
QUESTION_IDS: Final = ("question_ID", "question_id")
PEOPLE: Final = frozenset({"human", "user", "human_user", "user_proxy"})

_DOING: Final = re.compile(r"\s*\(.*\)\s*\Z", re.DOTALL)


def matches(value: Any) -> bool:
    """Whether a JSON value is such a log."""
    return (
        isinstance(value, dict)
        and isinstance(value.get(HISTORY), list)
        and ("question" in value or _is_labelled(value))
    )


def _is_labelled(value: dict[str, Any]) -> bool:
    return any(key in value for key in LABELS[:3])


def to_trace(document: Document) -> Trace:
    """The run that a log tells.

    Raises:
        ImportFormatError: ``history`` holds something else than messages, or no message of an agent.
    """
    value: dict[str, Any] = document.value
    history = value[HISTORY]
    for index, message in enumerate(history):
        if not isinstance(message, dict) or _speaker(message) is None:
            kind = f"an object of {sorted(message)[:6]}" if isinstance(message, dict) else type(message).__name__
            raise ImportFormatError(
                f"{document.where}: a {NAME} whose history[{index}] is {kind}; expected a message with 'content'"
                " and the speaker in 'name' or 'role'. Mend that entry and import the file again."
            )
    turns = _turns(history)
    if not turns:
        raise ImportFormatError(
            f"{document.where}: a {NAME} of {len(history)} messages, none of them an agent's, so it holds no call."
        )
    question_id = next((str(value[k]) for k in QUESTION_IDS if value.get(k) is not None), None)
    success, comment = _outcome(value)
    prompts = value.get("system_prompt")
    knob = Knob("prompt_version", digest(canonical(prompts)), "system_prompt: as the log holds it") if prompts else None
    return Trace(
        identity=canonical([NAME, question_id, digest(canonical(history))]),
        fingerprint=digest(canonical(value)),
        service="who-when",
        harness=NAME,
        function="group",
        name=question_id or document.path.name.split(".")[0],
        turns=turns,
        started_ns=None,
        ended_ns=None,
        knobs=(knob,) if knob else (),
        task=text(value.get("question")),
        success=success,
        outcome_comment=comment,
        attributes={"format": NAME},
        annotations={k: value[k] for k in (*LABELS, *TRUTHS, *VERDICTS) if value.get(k) is not None},
    )


def _outcome(value: dict[str, Any]) -> tuple[bool | None, str | None]:
    """What the file says came of the run: a log that names a mistake is one of a failure."""
    said = value.get(VERDICTS[0])
    if isinstance(said, bool):
        return said, None
    return (False, "the log names a mistake") if _is_labelled(value) else (None, None)


def _speaker(message: dict[str, Any]) -> str | None:
    """Who said it; ``user`` for every person."""
    named, role = text(message.get("name")), text(message.get("role"))
    if role is None and named is None:
        return None
    speaker = _DOING.sub("", named or role or "") or named or role or ""
    return "user" if speaker.lower() in PEOPLE else speaker


def _turns(history: list[dict[str, Any]]) -> tuple[Turn, ...]:
    speakers = [_speaker(message) or "" for message in history]
    machines = _machines(speakers, history)
    turns: list[Turn] = []
    sent: list[dict[str, Any]] = []
    for index, (speaker, message) in enumerate(zip(speakers, history, strict=True)):
        said = joined(message.get("content"))
        if speaker in machines or speaker in ("user", "system"):
            sent.append({"role": "user", "name": speaker, "content": said})
            if speaker in machines and turns and turns[-1].tools and not turns[-1].answers:
                turns[-1] = _answered(turns[-1], said)
            continue
        code = runnable(said)
        tools = (
            (ToolCall(None, code[0].language, "\n\n".join(b.text for b in code), is_free_text=True),) if code else ()
        )
        reply = {"choices": [{"message": {"role": "assistant", "name": speaker, "content": said}}]}
        turns.append(Turn(tuple(sent), reply, None, tools=tools, agent=speaker, step=index))
        sent = []
    return tuple(turns)


def _machines(speakers: list[str], history: list[dict[str, Any]]) -> set[str]:
    """Speakers that only report: half of what they say, or more, states an exit code, and they write no code.

    An error in words is no sign of a machine: agents that use tools out of sight report those too.
    """
    verdicts, said, writers = Counter[str](), Counter(speakers), {"user", "system"}
    for speaker, message in zip(speakers, history, strict=True):
        words = joined(message.get("content"))
        verdict = tool_status(words)
        verdicts[speaker] += verdict.status == "ok" or verdict.error_type == "exit_code"
        if runnable(words):
            writers.add(speaker)
    found = {speaker for speaker, count in verdicts.items() if count and 2 * count >= said[speaker]} - writers
    # Where everyone seems to be a machine, nobody is: an agent may quote an error too.
    return found if len(found) < len(said.keys() - {"user", "system"}) else set()


def _answered(turn: Turn, said: str) -> Turn:
    """The turn with the machine's report on its code."""
    verdict = tool_status(said)
    return replace(turn, answers=(Answer(0, said, verdict.status, verdict.error_type, verdict.message),))
