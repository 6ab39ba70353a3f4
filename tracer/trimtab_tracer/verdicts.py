"""What free text says about success: a harness turning a model's answer down, a tool that failed.

In: the text of a message or of a tool's result. Out: a yes or no, or a :class:`ToolVerdict`.

A module of its own because the live tracer and the importers must judge alike, and because these are the only rules
of the tracer that read prose. They are written for precision: a text without a marker is ``unknown``, never ``ok``, and
a phrase counts only where a harness puts it, at the head of a message. Wordings were collected from 17 frameworks and
SDKs; a wording that none of them uses goes unseen.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MESSAGE_CHARS = 200
"""Longest message of a verdict."""

_HEAD_CHARS = 400
_JSON_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class ToolVerdict:
    """How a tool's execution ended, as far as its result tells."""

    status: str
    """``ok | error | unknown``."""
    error_type: str | None = None
    """Exception class where one is named, else ``exit_code | validation | timeout | unknown_tool | error``."""
    message: str | None = None
    """First line that says what went wrong, at most 200 characters."""


# --- rejections ---------------------------------------------------------------------------------------------

_ANSWER = r"(?:response|answer|output|reply|message|completion|turn)"
_PREFIX = r"\A[\s>*#`\[\]]*(?:(?:error|system|observation|warning|sorry|feedback)\b[\s:,.!\]*-]*)?"

_FAULTS = (  # of form: a person who says "your answer is not valid for n = 0" rejects nothing
    r"\b(?:not (?:\w+ )?(?:formatted|parsed?|conform|(?:match|follow) (?:the|any)"
    r"|(?:contain|include|use|have) (?:any|a)\b|valid (?:json|xml|yaml|python|tool)|in the (?:\w+ ){0,2}format)"
    r"|invalid (?:json|xml|yaml|format|syntax|tool|action)|malformed|empty|parsing errors?|unparsable|truncated"
    r"|no (?:valid )?(?:tool|action|code|function|json)|fail(?:ed)? (?:schema )?validation|fail(?:ed)? to parse)"
)
_FORMATS = r"\b(?:json|xml|formats?|tools?|functions?|code block|backticks|block|action|command|tags?|schema|exactly)\b"

# What a harness says first when it turns an answer down; matched at the head of the message only.
_REJECTIONS = tuple(
    re.compile(_PREFIX + pattern, re.IGNORECASE)
    for pattern in (
        # "Please always provide EXACTLY ONE action in triple backticks, found 2 actions."
        r"(?:please |you must |you should |always ){1,3}"
        r"(?:provide|include|respond with|return|output|use|give|call|make) (?:exactly|at least|only|a single|one)\b"
        r".{0,60}\b(?:action|command|tool|function|code block|block|blob|json)",
        # "Could not parse LLM output", "Failed to parse your response as JSON", "Error parsing LLM output"
        r"(?:i |we )?(?:could not|couldn't|cannot|can't|unable to|failed to|failure to|error while|error in|error)"
        r" ?pars(?:e|ing)(?: of)?(?: the| your)?(?: last| previous)?"
        r"(?: llm| model| model's| agent| assistant| ai)?"
        rf" (?:{_ANSWER}(?! (?:of|from) (?!the (?:model|llm|assistant)))"
        r"|(?:tool|function) ?calls?|action|command|code (?:block|blob))\b",
        r"pars(?:e|ing) (?:llm|model|tool call from model) output\b",
        r"(?:in )?code parsing:",  # smolagents: "Error in code parsing: Your code snippet is invalid"
        # "Your response must contain …"
        rf"your (?:last |previous )?{_ANSWER} (?:must|should|needs to|has to) (?:always |only )?"
        rf"(?:contain|include|be|follow|use|have|start|end|match|consist)\b.{{0,80}}{_FORMATS}",
        # "Your last output did not use any tool calls", "The previous response had parsing errors"
        rf"(?:your (?:last |previous )?|(?:the )?(?:last |previous |model's ){{1,2}}){_ANSWER}"
        rf" (?:is|was|were|could|cannot|did|does|had|has|contained|contains|failed)\b.{{0,60}}{_FAULTS}",
        r"your (?:code snippet|json|tool call|function call|action|command) (?:is|was) (?:invalid|malformed|not valid)",
        # LangChain, CrewAI: "Invalid Format: Missing 'Action:' after 'Thought:'"
        r"(?:i did it wrong\W{1,3})?(?:invalid|incorrect|wrong|missing)(?: or incomplete)?"
        r"(?: output| response| json){0,2}(?: format)?(?: error)?\s*[:;.]\s?.{0,40}"
        r"\b(?:missing|missed|expected|must|please|provide|use|action|follow)\b",
        r"no (?:valid )?(?:tool|function) calls? (?:was |were )?(?:found|detected|made|present) in (?:the|your)\b",
        r"no (?:valid )?(?:action|command|code block|code blob|json(?: object)?|edits?|answer) (?:was |were )?"
        r"(?:found|detected|provided|present)\b.{0,20}\b(?:in|by) (?:the|your) "
        rf"(?:last |previous |model |model's )?{_ANSWER}",
        r"you did not (?:use|provide|include|call|return|specify|make)\b.{0,40}" + _FORMATS,
        r"(?:plain )?text responses are not (?:permitted|allowed)",  # pydantic-ai
        r"please (?:return text or )?include your response in a tool call",
        r"validation (?:feedback|errors? found):",  # pydantic-ai, instructor
        r"i didn't see any properly formatted edits",  # aider
        r"the llm did not conform to the edit format",
        r"\d+ search/replace blocks? failed to match",
        r"tool call error:\s*(?:<error>|no tool calls?)",  # mini-SWE-agent 2
        r"above, the completion did not satisfy the constraints",  # LangChain's retry parser
    )
)

# Frameworks that merge their complaint into the last user message end it with a formula of their own (smolagents).
_TAIL = re.compile(
    r"(?:error in code parsing:|your code snippet is invalid|error while parsing tool call|contain any json blob)"
    r"(?=.{0,600}now let's retry)",
    re.IGNORECASE | re.DOTALL,
)

# Observations that a text protocol sends back as user messages.
_OBSERVATION = re.compile(
    r"\A\s*(?:<(?:returncode|output|stdout|stderr|result|observation|tool_result|tool_response|function_results?)\b"
    r"|exit ?code\b|\$ |traceback \(most recent|```)",
    re.IGNORECASE,
)


def rejection(text: str) -> bool:
    """Whether a harness turns the model's last answer down in this message, for its form.

    Tool results, tracebacks and a person's complaint are none; whether a model answered before is the caller's to know.
    """
    if _OBSERVATION.match(text):
        return False
    head = text[:_HEAD_CHARS]
    return any(p.match(head) for p in _REJECTIONS) or _TAIL.search(text[-2000:]) is not None


# --- tools --------------------------------------------------------------------------------------------------

# Groups: in a tag, on a line of its own, in a sentence.
_EXIT = re.compile(
    r"^[ \t>*]*(?:"
    r"<(?:returncode|exit_?code)>\s*(-?\d{1,10})\s*</"
    r"|(?:(?:command|process|script) )?(?:(?:failed|exited|finished) with )?(?:exit|return)[ _]?(?:code|status)"
    r"(?: is| was)?[ \t]*[:=]?[ \t]*(-?\d{1,10})(?=[ \t]*(?:$|[(:.,;]))"
    r"|(?:the )?(?:command|process|script|program)\b[^\n]{0,40} (?:exited|failed|finished|terminated)"
    r" with (?:non-zero )?(?:exit |return )?(?:code|status)(?: code)?:? (-?\d{1,10})\b"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_ERROR_NAME = r"[A-Za-z_][\w.]{0,80}?(?:Error|Exception|Interrupt|TimeoutExpired)"
_TRACEBACK = "Traceback (most recent call last):"
_LAST_LINE = re.compile(rf"({_ERROR_NAME}|[a-z_]\w*(?:\.\w+)+)(?::\s|:?\Z)")
_NAMED = re.compile(rf"({_ERROR_NAME})(?::\s|\(['\"(]|\s*\Z)")
_NAME_WITHIN = re.compile(r"\b([A-Z]\w{0,60}(?:Error|Exception))\b")
_TOOL_NAME = r"[\w'\"`.-]{1,80}"
_UNKNOWN_TOOL = re.compile(
    r"(?:error:? )?(?:"
    r"(?:unknown|no such|unrecognized|invalid) (?:tool|function)(?:\s*[:.'\"`]|\s*\Z| name\b| call(?:ed)?\b)"
    rf"|{_TOOL_NAME} is not a valid tool\b"
    rf"|(?:the )?(?:tool|function) {_TOOL_NAME}"
    r" (?:(?:was |is |does )?not (?:found|available|exist|registered)|is unknown)"
    r"|(?:tool|function) not found)",
    re.IGNORECASE,
)
_VALIDATION = re.compile(
    rf"(?:error:? |error executing tool: tool '[^']{{1,80}}' |tool {_TOOL_NAME} )?"
    r"(?:\d+ validation errors? for\b|arguments? validation failed|input validation (?:error|failed)"
    r"|invalid arguments?\s?(?::|for\b)|failed to parse (?:tool |function )?(?:arguments|parameter)\b"
    r"|[\w.]{1,80}\(\) (?:missing \d+ required|got an unexpected keyword|takes \d+ positional))",
    re.IGNORECASE,
)
_BAD_ARGUMENTS = re.compile(r"validation (?:error|failed)|Field required|Input should be|parse tool arguments")
_TIMEOUT = re.compile(
    r"(?:error:? )?(?:the )?(?:command|tool|process|operation|request|execution|script|call)\b[^\n]{0,60}"
    r"\btimed? ?out\b",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"(?:"
    r"(?:an )?error (?:occurred )?(?:while |when |in |during )?"
    r"(?:running|executing|invoking|calling|execution|invocation)\b"
    r"|(?:an )?(?:unexpected |internal )?error occurred(?: while\b| when\b| during\b|[:.]|\s*\Z)"
    r"|(?:tool |execution |command |runtime )?error(?: in [\w.'\"]{1,80})?:\s?(?!\s*(?:none|null|no|nil|false|0)\b)\S"
    r"|execution (?:error|failed)\b"
    r"|failed to (?:invoke|execute|run|call) (?:the )?(?:function|tool|command)\b"
    r"|tool (?:execution|call|invocation) failed\b)",
    re.IGNORECASE,
)
_TAGS = re.compile(r"<[^<>]{1,40}>(?:[^<>]{0,20}</[^<>]{1,40}>)?")
_WORD = re.compile(r"[\w.:-]{1,80}")
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
