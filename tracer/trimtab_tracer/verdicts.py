"""How a tool ended, told by the text of its result.

In: a tool's result as it went back to the model, and the wire format's own error flag where it has one. Out: a
:class:`ToolVerdict`. The other verdict on prose is in :mod:`.rejections`.

A module of its own because the live tracer and the importers must judge alike. Written for precision: a text
without a marker is ``unknown``, never ``ok``. The markers are those that recorded frameworks and shell tools put
there; two of the frameworks (AutoGen, LlamaIndex) put none, so their failures stay ``unknown`` here and are seen only
by watching the tool as it runs.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .patterns import lazy_pattern
from .shapes import value_class

MESSAGE_CHARS = 2000
"""Longest message of a verdict: more than is ever kept, so that it is redacted before it is cut."""

_HEAD_CHARS = 400
_JSON_CHARS = 65_536
_RETRY_CHARS = 20_000


@value_class
class ToolVerdict:
    """How a tool's execution ended, as far as its result tells."""

    status: str
    """``ok | error | unknown``."""
    error_type: str | None = None
    """Exception class where one is named, else ``exit_code | validation | timeout | unknown_tool | error``."""
    message: str | None = None
    """First line that says what went wrong, at most 2000 characters: redact it, then cut it."""


# Groups: in a tag, on a line of its own, in a sentence.
_EXIT = lazy_pattern(
    r"^[ \t>*]*(?:"
    r"<(?:returncode|exit_?code)>\s*(-?\d{1,10})\s*</"
    r"|(?:(?:command|process|script) )?(?:(?:failed|exited|finished) with )?(?:exit|return)[ _]?(?:code|status)"
    r"(?: is| was)?[ \t]*[:=]?[ \t]*(-?\d{1,10})(?=[ \t]*(?:$|[(:.,;]))"
    r"|(?:the )?(?:command|process|script|program)\b[^\n]{0,40} (?:exited|failed|finished|terminated)"
    r" with (?:non-zero )?(?:unix )?(?:exit |return )?(?:code|status)(?: code)?:? (-?\d{1,10})\b"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_ERROR_NAME = r"[A-Za-z_][\w.]{0,80}?(?:Error|Exception|Interrupt|TimeoutExpired)"
_TRACEBACK = "Traceback (most recent call last):"
_LAST_LINE = lazy_pattern(rf"({_ERROR_NAME}|[a-z_]\w*(?:\.\w+)+)(?::\s|:?\Z)")
_NAMED = lazy_pattern(rf"({_ERROR_NAME})(?::\s|\(['\"(]|\s*\Z)")
_NAME_WITHIN = lazy_pattern(r"\b([A-Z]\w{0,60}(?:Error|Exception))\b")
_TOOL_NAME = r"[\w'\"`.-]{1,80}"
_UNKNOWN_TOOL = lazy_pattern(
    r"(?:error:? )?(?:"
    r"(?:unknown|no such|unrecognized|invalid) (?:tool|function)(?:\s*[:.'\"`]|\s*\Z| name\b| call(?:ed)?\b)"
    rf"|{_TOOL_NAME} is not a valid tool\b"
    rf"|(?:the )?(?:tool|function) {_TOOL_NAME}"
    r" (?:(?:was |is |does )?not (?:found|available|exist|registered)|is unknown)"
    r"|(?:tool|function) not found)",
    re.IGNORECASE,
)
_VALIDATION = lazy_pattern(
    rf"(?:error:? |error executing tool: tool '[^']{{1,80}}' |tool {_TOOL_NAME} |tool )?"
    r"(?:\d+ validation errors?(?: for\b|:)|arguments? validation failed|input validation (?:error|failed)"
    r"|invalid arguments?\s?(?::|for\b)|failed to parse (?:tool |function )?(?:arguments|parameter)\b"
    r"|[\w.]{1,80}\(\) (?:missing \d+ required|got an unexpected keyword|takes \d+ positional))",
    re.IGNORECASE,
)
_BAD_ARGUMENTS = lazy_pattern(
    r"validation (?:error|failed)|Field required|Input should be|pars(?:e|ing) tool arguments"
    r"|Argument .{1,120} should be '|Argument \w{1,80} is (?:required|not in the tool's input)"
)
_TIMEOUT = lazy_pattern(
    r"(?:error:? )?(?:the )?(?:command|tool|process|operation|request|execution|script|call)\b[^\n]{0,60}"
    r"\btimed? ?out\b",
    re.IGNORECASE,
)
_FAILED = lazy_pattern(
    r"(?:"
    r"(?:an )?error (?:occurred )?(?:while |when |in |during )?"
    r"(?:running|executing|invoking|calling|execution|invocation)\b"
    r"|(?:an )?(?:unexpected |internal )?error occurred(?: while\b| when\b| during\b|[:.]|\s*\Z)"
    r"|(?:tool |execution |command |runtime )?error(?: in [\w.'\"]{1,80})?:\s?(?!\s*(?:none|null|no|nil|false|0)\b)\S"
    r"|execution (?:error|failed)\b"
    r"|failed to (?:invoke|execute|run|call) (?:the )?(?:function|tool|command)\b"
    r"|tool (?:execution|call|invocation) (?:failed|error)\b"
    r"|encountered error: \S|i encountered an error while\b|<tool_use_error>"
    r"|tool [\w'\"`.-]{1,80} has reached its (?:maximum )?usage limit\b|tool execution blocked by hook\b)",
    re.IGNORECASE,
)
_RETRY = lazy_pattern(r"(?:\A|\n)Error:\n(.{1,4000}?)\nNow let's retry: ", re.DOTALL)
"""What smolagents makes of an exception, in a message that carries no tool call's id."""
_FIX = lazy_pattern(r"\n\nFix the errors and try again\.\s*\Z")
"""How pydantic-ai ends the text of a tool that asks to be called again."""
_TAGS = lazy_pattern(r"<[^<>]{1,40}>(?:[^<>]{0,20}</[^<>]{1,40}>)?")
_WORD = lazy_pattern(r"[\w.:-]{1,80}")
_NUMBERED = ("exit_code", "exitCode", "returncode", "return_code", "exit_status")


def tool_status(text: str, is_error: bool | None = None) -> ToolVerdict:
    """How the tool ended whose result is ``text``.

    An exit code counts most, then the wire's own flag, then markers in the text. Without any of them the verdict is
    ``unknown``: several frameworks hand a bare exception message to the model, which no rule can tell from a result.

    Args:
        text: The result as it went back to the model.
        is_error: The wire format's own flag; None where it has none.
    """
    head = text[:_HEAD_CHARS].lstrip()
    code = _exit_code(text)
    if code is not None and code != 0:
        return ToolVerdict("error", "exit_code", _message(text))
    if is_error:
        kind = _kind(head, text)
        return ToolVerdict("error", kind or "error", _message(text))
    if is_error is False or code == 0:
        return ToolVerdict("ok")
    if head[:1] in "{[":
        return _from_json(text)
    if (retry := _RETRY.search(text[:_RETRY_CHARS])) is not None:
        text = retry[1]
        return ToolVerdict("error", _kind(text[:_HEAD_CHARS], text) or _plain_kind(text), _message(text))
    if _FIX.search(text[-_HEAD_CHARS:]):
        return ToolVerdict("error", _kind(head, text) or "error", _message(text))
    kind = _kind(head, text)
    return ToolVerdict("error", kind, _message(text)) if kind is not None else ToolVerdict("unknown")


def _exit_code(text: str) -> int | None:
    """The exit code that a shell tool's result states in its first or last lines."""
    parts = [text[:_HEAD_CHARS]]
    if len(text) > _HEAD_CHARS:
        parts.append(text[-_HEAD_CHARS:].partition("\n")[2])  # a cut line must not look like a whole one
    for part in parts:
        if (found := _EXIT.search(part)) is not None:
            return int(found[1] or found[2] or found[3])
    return None


def _kind(head: str, text: str) -> str | None:
    """The error type that the text betrays, or None where it has no marker."""
    at = head.find(_TRACEBACK, 0, 300)
    if at == 0 or (at > 0 and head[at - 1] == "\n"):
        last = _LAST_LINE.match(_raised(text))
        return last[1].rpartition(".")[2] if last else "error"
    if _UNKNOWN_TOOL.match(head):
        return "unknown_tool"
    if _VALIDATION.match(head):
        return "validation"
    if _TIMEOUT.match(head):
        return "timeout"
    if (named := _NAMED.match(head)) is not None:
        return named[1].rpartition(".")[2]
    if _FAILED.match(head):
        if _BAD_ARGUMENTS.search(head):
            return "validation"
        inner = _NAME_WITHIN.search(head)
        return inner[1] if inner else "error"
    return None


def _plain_kind(text: str) -> str:
    """The error type of a text that is known to tell of an error."""
    return "validation" if _BAD_ARGUMENTS.search(text[:_HEAD_CHARS]) else "error"


def _raised(text: str) -> str:
    """The line of a traceback that names the exception; its message may go on below."""
    lines = text[-8000:].rstrip().splitlines()[-60:]
    named = next((s for s in reversed(lines) if _LAST_LINE.match(s)), None)
    return named or lines[-1].strip()


def _from_json(text: str) -> ToolVerdict:
    """The verdict on a result that is a JSON object: an ``error`` that says something, a flag, an exit code."""
    if len(text) > _JSON_CHARS:
        return ToolVerdict("unknown")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ToolVerdict("unknown")
    if not isinstance(value, dict):
        return ToolVerdict("unknown")
    for name in _NUMBERED:
        code = value.get(name)
        if isinstance(code, int) and not isinstance(code, bool):
            said = _said(value.get("stderr") or value.get("error") or value.get("output")) or text
            return ToolVerdict("error", "exit_code", _message(said)) if code else ToolVerdict("ok")
    error = value.get("error")
    # A number is a measurement ({"error": 0.02}), not a failure.
    if error is True or (isinstance(error, (str, dict, list)) and error):
        return ToolVerdict("error", _json_kind(error), _message(_said(error) or text))
    flags = {value.get("isError"), value.get("is_error")} if _is_flag(value) else set()
    if True in flags or value.get("success") is False or value.get("ok") is False or value.get("status") == "error":
        said = _said(value.get("message") or value.get("detail") or value.get("content")) or text
        return ToolVerdict("error", _kind(said[:_HEAD_CHARS], said) or "error", _message(said))
    return ToolVerdict("ok") if False in flags else ToolVerdict("unknown")


def _is_flag(value: dict[str, Any]) -> bool:
    return all(isinstance(value.get(k), (bool, type(None))) for k in ("isError", "is_error"))


def _json_kind(error: Any) -> str:
    if isinstance(error, list):  # pydantic's list of problems
        return "validation" if all(isinstance(e, dict) and "loc" in e for e in error) else "error"
    if isinstance(error, dict):
        name = error.get("type") or error.get("code")
        return str(name) if _WORD.fullmatch(str(name)) else "error"
    return _kind(str(error)[:_HEAD_CHARS], str(error)) or "error"


def _said(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, list) and value:
        return _said(value[0])
    if isinstance(value, dict):
        return next((m for k in ("message", "msg", "text", "detail") if isinstance(m := value.get(k), str) and m), None)
    return None


def _message(text: str) -> str | None:
    """The line that says what went wrong: the last one of a traceback, else the first with words beyond tags."""
    lines = [s for line in text[:4000].splitlines() if (s := line.strip())]
    if _TRACEBACK in text[:2000]:
        lines.insert(0, _raised(text))
    said = next((s for s in lines if not _TAGS.fullmatch(s)), None)
    return said[:MESSAGE_CHARS] if said else None
