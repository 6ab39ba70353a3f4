"""Trajectories of mini-SWE-agent (``*.traj.json``, trajectory format 1 of its versions 1 and 2).

In: the JSON value of one file. Out: a :class:`.trace.Trace`. A module of its own because the format keeps things
that no generic message log has: the harness's whole configuration, the provider's raw responses, and a text
protocol in which an action is a fenced block and its result starts with ``<returncode>``.

What it relies on: every message that holds a raw response under ``extra.response`` is one LLM call (version 1 puts
rejected answers there too, version 2 hides them in the user message that rejects them). Where a part is missing,
the part is unknown; only a file without a message list is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeVar

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.verdicts import tool_status
from trimtab_tracer.wire.facts import ToolCall
from trimtab_tracer.wire.formats import CHAT
from trimtab_tracer.wire.values import joined, obj, text

from .mini_swe_config import Config
from .source import Document
from .trace import Answer, Trace, Turn, point_in_time_ns

NAME = "mini-swe-agent"

SUBMITTED = "Submitted"
"""The exit status of a run that ended because the agent handed its work in."""

N = TypeVar("N", int, float)

_RETURNCODE = re.compile(r"\s*(?:<exception>.*?</exception>\s*)?<returncode>\s*(-?\d+)\s*</returncode>", re.DOTALL)


def matches(value: Any) -> bool:
    """Whether a JSON value is such a trajectory."""
    if not isinstance(value, dict) or not isinstance(value.get("info"), dict):
        return False
    info = value["info"]
    named = str(value.get("trajectory_format", "")).startswith(NAME)
    return named or "mini_version" in info or ("model_stats" in info and "exit_status" in info)


def to_trace(document: Document) -> Trace:
    """The run that a trajectory tells.

    Raises:
        ImportFormatError: there is no list of messages, or one of them is none.
    """
    value: dict[str, Any] = document.value
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(text(obj(m).get("role")) for m in messages):
        raise ImportFormatError(
            f"{document.where}: a mini-SWE-agent trajectory whose 'messages' is no list of messages"
            f" ({type(messages).__name__}); the file may be cut off. Save the trajectory again and import it."
        )
    info: dict[str, Any] = value["info"]
    config = Config(info)
    turns = _turns(messages, config, submitted=info.get("exit_status") == SUBMITTED)
    name = str(value.get("instance_id") or document.path.name.split(".traj")[0])
    exit_status = info.get("exit_status")
    first = next((t.reply.get("id") for t in turns if t.reply.get("id")), None)
    stats = obj(info.get("model_stats"))
    times = [t for t in (_logged_ns(m) for m in messages) if t is not None]
    fingerprint = digest(canonical(value))
    finished = exit_status == SUBMITTED
    return Trace(
        identity=canonical([NAME, name, first or fingerprint]),
        fingerprint=fingerprint,
        service=NAME,
        harness=f"{NAME} {info['mini_version']}" if info.get("mini_version") else NAME,
        function=config.agent_type,
        name=name,
        turns=turns,
        started_ns=min(times, default=None),
        ended_ns=max(times, default=None),
        request=config.request,
        knobs=tuple(config.knobs()),
        host="openrouter.ai" if config.is_openrouter else "unknown",
        path="/api/v1/chat/completions" if config.is_openrouter else "/v1/chat/completions",
        status="ok" if finished or exit_status is None else "error",
        error_type=None if finished or exit_status is None else str(exit_status),
        error_message=None if finished else joined(messages[-1].get("content") if messages else None) or None,
        task=name,
        # Handing work in does not make it right; a run that its own limits stopped has failed.
        success=None if finished or exit_status is None else False,
        outcome_source="inferred",
        outcome_comment=None if finished or exit_status is None else f"exit status {exit_status}",
        logged_calls=_number(stats.get("api_calls"), int),
        logged_cost_usd=_number(stats.get("instance_cost"), float),
        attributes={"exit_status": exit_status, "format": value.get("trajectory_format", NAME)},
    )


def _turns(messages: list[dict[str, Any]], config: Config, *, submitted: bool) -> tuple[Turn, ...]:
    """One turn per model response, each with the messages that went in before it and the harness's reply after it."""
    turns: list[Turn] = []
    sent: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        plain = {k: v for k, v in message.items() if k != "extra"}
        if message["role"] == "assistant":
            turns.append(_turn(tuple(sent), _reply(message, plain), message, messages[at + 1 :], config))
            sent = []
            continue
        if (hidden := _hidden_reply(message)) is not None:
            turns.append(_turn(tuple(sent), hidden, message, [message], config))
            sent = []
        sent.append(plain)
    if turns and submitted and turns[-1].rejection is None:
        turns[-1] = _accepted(turns[-1])
    return tuple(turns)


def _turn(
    sent: tuple[dict[str, Any], ...],
    reply: dict[str, Any],
    message: dict[str, Any],
    after: list[dict[str, Any]],
    config: Config,
) -> Turn:
    follow_up = []
    for later in after:
        if later["role"] == "assistant":
            break
        follow_up.append(later)
    users = [m for m in follow_up if m["role"] not in ("tool", "exit")]
    refusal = next((said for m in users if _refuses(m, said := joined(m.get("content")), config)), None)
    tools = () if refusal is not None else _tools(reply, config)
    return Turn(
        sent=sent,
        reply=reply,
        ts_ns=_logged_ns(message),
        tools=tools,
        answers=tuple(_answers(tools, follow_up)),
        rejection=refusal,
    )


def _refuses(message: dict[str, Any], text: str, config: Config) -> bool:
    if obj(message.get("extra")).get("interrupt_type") == "FormatError":
        return True
    return _RETURNCODE.match(text) is None and config.is_rejection(text)


def _reply(message: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """The provider's raw response; put together from the message where the file dropped it."""
    extra = obj(message.get("extra"))
    response = extra.get("response")
    if not isinstance(response, dict):
        return _with_cost({"choices": [{"message": plain}]}, extra)
    return _with_cost(response, extra)


def _hidden_reply(message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer that a version 2 format error turned down: it stands only inside the harness's reply."""
    extra = obj(message.get("extra"))
    if extra.get("interrupt_type") != "FormatError":
        return None
    response = extra.get("response")
    if isinstance(response, dict):
        return _with_cost(response, extra)
    if "model_response" in extra or "cost" in extra:
        text = str(extra.get("model_response") or "")
        return _with_cost({"choices": [{"message": {"role": "assistant", "content": text}}]}, extra)
    return None


def _with_cost(response: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """The response, with the cost that the harness logged where the provider put none in."""
    usage = response.get("usage")
    cost = extra.get("cost")
    if not isinstance(cost, int | float) or (isinstance(usage, dict) and usage.get("cost") is not None):
        return response
    return {**response, "usage": {**(usage if isinstance(usage, dict) else {}), "cost": cost}}


def _tools(reply: dict[str, Any], config: Config) -> tuple[ToolCall, ...]:
    facts = CHAT.response(reply)
    if facts.tool_calls:
        return facts.tool_calls
    blocks = config.action.findall(facts.text)
    if len(blocks) != 1:
        return ()
    return (ToolCall(None, "bash", canonical({"command": blocks[0].strip()})),)


def _answers(tools: tuple[ToolCall, ...], follow_up: list[dict[str, Any]]) -> list[Answer]:
    """The results among the harness's messages: by id where there is one, else the first reply."""
    index = {tool.provider_id: i for i, tool in enumerate(tools) if tool.provider_id}
    answers: list[Answer] = []
    for message in follow_up:
        first = 0 if tools and not answers else None
        position = index.get(str(message.get("tool_call_id"))) if index else first
        if position is not None and message["role"] != "exit":
            answers.append(_answer(position, joined(message.get("content")), message))
    return answers


def _answer(index: int, text: str, message: dict[str, Any]) -> Answer:
    found = _RETURNCODE.match(text)
    code = int(found[1]) if found else obj(message.get("extra")).get("returncode")
    if code == 0:
        return Answer(index, text, "ok")
    if isinstance(code, int):
        output = text[found.end() :] if found else text
        head = re.sub(r"</?[a-z_]+>", " ", output).strip()
        return Answer(index, text, "error", f"exit code {code}", head or None)
    if text.startswith("The last command <command>") and "timed out" in text:
        return Answer(index, text, "error", "timeout", text)
    verdict = tool_status(text, None)
    return Answer(index, text, verdict.status, verdict.error_type, verdict.message)


def _accepted(last: Turn) -> Turn:
    """The last action of a submitted run: the harness took its output, which carries no return code, as the result."""
    answers = tuple(replace(a, status="ok") if a.status == "unknown" else a for a in last.answers)
    if last.tools and not answers:  # version 2 logs the output as the run's submission only
        answers = (Answer(0, "", "ok"),)
    return replace(last, answers=answers)


def _logged_ns(message: dict[str, Any]) -> int | None:
    extra = obj(message.get("extra"))
    response = extra.get("response")
    created = response.get("created") if isinstance(response, dict) else None
    found = point_in_time_ns(created)
    return found if found is not None else point_in_time_ns(extra.get("timestamp"))


def _number(value: Any, kind: type[N]) -> N | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return kind(value) if is_number else None
