"""Conversations in the message shape of OpenAI chat completions, as many tools log and exchange them.

In: a JSON value: a list of messages, an object that holds one under ``messages`` (or ``traj``, ``trajectory``,
``conversation``), or a list of either. Out: one :class:`.trace.Trace` per conversation. A module of its own
because this shape has no author: every field beyond ``role`` and ``content`` is optional, and what is not there
(tokens, cost, times, model) stays unknown and is never guessed.

Every message with role ``assistant`` is one LLM call. That also counts answers that a person wrote into the prompt as
examples; such files say nothing that would tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.rejections import rejection
from trimtab_tracer.verdicts import tool_status
from trimtab_tracer.wire.values import joined, obj, objs, text

from .source import Document
from .trace import Answer, Knob, Trace, Turn, point_in_time_ns

NAME = "OpenAI-style messages"

LIST_KEYS = ("messages", "traj", "trajectory", "conversation")
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARAMETERS = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
)
"""Request parameters that a file may hold beside its messages; they become the run's decisions."""

TIME_KEYS = ("timestamp", "created", "created_at", "time", "ts")
COST_KEYS = ("cost", "cost_usd", "response_cost")
SUCCESS_WORDS = {"success": True, "succeeded": True, "pass": True, "passed": True, "resolved": True, "correct": True}
FAILURE_WORDS = {"failure": False, "failed": False, "fail": False, "unresolved": False, "incorrect": False}


def matches(value: Any) -> bool:
    """Whether a JSON value is one conversation."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(m, dict) and text(m.get("role")) in ROLES for m in value)
    return isinstance(value, dict) and any(matches(value.get(key)) for key in LIST_KEYS)


def to_trace(document: Document) -> Trace:
    """The run that a conversation tells.

    Raises:
        ImportFormatError: the conversation holds no message of the assistant, so there is no call to import.
    """
    value = document.value
    top = obj(value)
    messages = value if isinstance(value, list) else next(v for key in LIST_KEYS if matches(v := value.get(key)))
    turns = turns_of(messages, document)
    stem = document.path.name.split(".")[0]
    times = [t for m in messages if (t := _time(m)) is not None]
    started = _time(top) if not times else min(times)
    request = {key: top[key] for key in PARAMETERS if top.get(key) is not None}
    said = _Outcome.of(top)
    fingerprint = digest(canonical(value))
    harness = str(top.get("harness") or top.get("agent") or NAME)
    run_id = top.get("run_id")
    return Trace(
        identity=canonical([NAME, str(run_id)]) if run_id else canonical([NAME, fingerprint]),
        fingerprint=fingerprint,
        service=str(top.get("service") or stem),
        harness=harness,
        function=str(top.get("agent_type") or top.get("agent") or "conversation"),
        name=_name(top, f"{stem}, {document.place}" if document.place else stem),
        turns=turns,
        started_ns=started,
        ended_ns=max(times, default=None),
        request=request,
        knobs=tuple(_knobs(request)),
        task=text(top.get("task")),
        success=said.success,
        score=said.score,
        outcome_source=said.source,
        outcome_comment=said.comment,
        status="error" if top.get("error") else "ok",
        error_type="error" if top.get("error") else None,
        error_message=joined(top["error"]) or canonical(top["error"]) if top.get("error") else None,
        attributes={"format": NAME} | {k: top[k] for k in ("task_id", "trial") if isinstance(top.get(k), int | str)},
    )


def _name(top: dict[str, Any], otherwise: str) -> str:
    for key in ("name", "run_id", "id", "task_id", "instance_id"):
        if isinstance(top.get(key), str | int):
            trial = f", trial {top['trial']}" if isinstance(top.get("trial"), int) else ""
            label = f"task {top[key]}" if key == "task_id" else str(top[key])
            return label + trial
    return otherwise


def turns_of(messages: list[dict[str, Any]], document: Document) -> tuple[Turn, ...]:
    """One turn per message of the assistant; its step is the message's index.

    Raises:
        ImportFormatError: there is no message of the assistant, so there is no call to import.
    """
    turns = _turns(messages)
    if not turns:
        raise ImportFormatError(
            f"{document.where}: {len(messages)} messages and none has role 'assistant', so it holds no LLM call;"
            " import the file that holds the model's answers."
        )
    return turns


def _turns(messages: list[dict[str, Any]]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    sent: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            sent.append(message)
            continue
        follow_up = []
        for later in messages[at + 1 :]:
            if later["role"] == "assistant":
                break
            follow_up.append(later)
        turns.append(
            Turn(
                sent=tuple(sent),
                reply=_reply(message),
                ts_ns=_time(message),
                model=text(message.get("model")),
                answers=tuple(_answers(message, follow_up)),
                rejection=next((said for m in follow_up if rejection(said := joined(_spoken(m)))), None),
                agent=text(message.get("name")),
                step=at,
            )
        )
        sent = []
    return tuple(turns)


def _spoken(message: dict[str, Any]) -> Any:
    """What the harness or the user said; a tool's result is its own and turns no answer down."""
    return None if message["role"] in ("tool", "function") else message.get("content")


def _reply(message: dict[str, Any]) -> dict[str, Any]:
    """The message as a response in the provider's shape, with what the file logged beside it."""
    reply: dict[str, Any] = {"choices": [{"message": message, "finish_reason": message.get("finish_reason")}]}
    for key, names in (("id", ("response_id", "id")), ("model", ("response_model", "model"))):
        found = next((message[n] for n in names if isinstance(message.get(n), str)), None)
        if found is not None:
            reply[key] = found
    usage = dict(obj(message.get("usage")))
    cost = next((message[k] for k in COST_KEYS if isinstance(message.get(k), int | float)), None)
    if usage.get("cost") is None and cost is not None:
        usage["cost"] = cost
    if usage:
        reply["usage"] = usage
    return reply


def _answers(message: dict[str, Any], follow_up: list[dict[str, Any]]) -> list[Answer]:
    """The tool results after a message, each at the request it answers: by id, else by name, else in order."""
    calls = objs(message.get("tool_calls"))
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    open_calls = dict(enumerate(calls))
    answers = []
    for later in follow_up:
        if later["role"] not in ("tool", "function"):
            continue
        index = _which(later, open_calls)
        if index is None:
            continue
        del open_calls[index]
        said = joined(later.get("content"))
        flag = later.get("is_error")
        verdict = tool_status(said, flag if isinstance(flag, bool) else None)
        answers.append(Answer(index, said, verdict.status, verdict.error_type, verdict.message))
    return answers


def _which(answer: dict[str, Any], open_calls: dict[int, dict[str, Any]]) -> int | None:
    wanted = answer.get("tool_call_id")
    if wanted is not None:
        return next((i for i, call in open_calls.items() if call.get("id") == wanted), None)
    named = [i for i, call in open_calls.items() if obj(call.get("function")).get("name") == answer.get("name")]
    return next(iter(named), next(iter(open_calls), None))


def _knobs(request: dict[str, Any]) -> list[Knob]:
    """Parameters found in the file. What is not in it is unknown, so nothing is said of a default."""
    knobs = []
    for key, value in request.items():
        if key == "tools":
            knobs.append(Knob(key, digest(canonical(value)), f"tools: {len(value)} offered" if value else ""))
            continue
        name = "max_tokens" if key == "max_completion_tokens" else key
        knobs.append(Knob(name, value, f"{key}: {canonical(value)}"[:160]))
    return knobs


def _time(holder: dict[str, Any]) -> int | None:
    return next((t for key in TIME_KEYS if (t := point_in_time_ns(holder.get(key))) is not None), None)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a file says came of the run."""

    success: bool | None = None
    score: float | None = None
    source: str = "explicit"
    comment: str | None = None

    @classmethod
    def of(cls, top: dict[str, Any]) -> _Outcome:
        """A statement of success counts before a reward; a reward of exactly 1 or 0 also says success or failure."""
        said = top.get("outcome")
        nested = said if isinstance(said, dict) else {}
        comment = nested.get("comment")
        for value in (top.get("success"), top.get("resolved"), nested.get("success"), said):
            success = (SUCCESS_WORDS | FAILURE_WORDS).get(value.lower()) if isinstance(value, str) else value
            if isinstance(success, bool):
                return cls(success, _number(nested.get("score")), "explicit", comment if comment else None)
        score = next(
            (
                n
                for v in (top.get("reward"), top.get("score"), nested.get("score"), said)
                if (n := _number(v)) is not None
            ),
            None,
        )
        if score is None:
            return cls()
        return cls({1.0: True, 0.0: False}.get(score), score, "evaluator")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
