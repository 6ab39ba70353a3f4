"""Whether an answer is good enough: what ``escalate`` asks about a cheaper model's answer before handing it out.

In: the :class:`Answer`, and names of checks: built-in ones, or functions that the agent's code registers::

    from trimtab_tracer import verifiers

    @verifiers.register
    def cites_a_source(answer: verifiers.Answer) -> bool:
        return "http" in answer.text

Out: the name of the first check that it fails, or None, and the lowest grade: a check of the agent's may give a grade
from 0 to 1 instead of yes or no, and passes from the policy's threshold on. A module of its own because checks know
nothing of policies and requests, and because the user's code runs here: in a thread of its own in which nothing is
traced, for at most :data:`TIMEOUT_S`. A check that raises, takes longer or is not known counts as failed: then the
code's own model is asked, which is what would have happened without us.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from . import context
from .patterns import lazy_pattern
from .schema_check import schema_error, value_error
from .signals import is_refusal
from .wire.facts import ToolCall
from .wire.formats import WireFormat
from .wire.values import loads, obj

log = logging.getLogger("trimtab")

TIMEOUT_S = 2.0
"""Longest that one of the agent's own checks may take."""
MAX_HANGING = 4
"""Checks that may hang at once; while so many do, none of the agent's own is asked."""
MAX_BYTES = 4 << 20
"""Size of an answer that is looked at; a larger one is not checked, and counts as failed."""

_NAME = lazy_pattern(r"[A-Za-z_][\w.-]{0,63}")


class Answer(NamedTuple):
    """What a model answered, for a check to look at. Nothing of it is recorded."""

    text: str
    """Without reasoning; of the first choice."""
    tool_calls: tuple[ToolCall, ...]
    """``name`` and ``arguments`` (JSON text) of the tools that it asks for."""
    finish_reason: str | None
    """``stop | length | tool_calls | content_filter | refusal | error | other``."""
    request: dict[str, Any]
    """Body of the request."""
    response: dict[str, Any]
    """Body of the response."""


Check = Callable[[Answer], bool | float]
THRESHOLD = 0.5
"""Grade from which an answer passes where the policy names none."""


class Judged(NamedTuple):
    """What checks say of an answer."""

    failed: str | None
    """The first check that it fails; None where it passes them all."""
    grade: float | None = None
    """The lowest grade that a check gave, 0 to 1; None where none gave one."""


def answer_of(fmt: WireFormat, request: dict[str, Any], content: bytes) -> Answer | None:
    """The answer that a response is; None where it can't be read as one."""
    body = loads(content) if len(content) <= MAX_BYTES else None
    if not isinstance(body, dict):
        return None
    said = fmt.response(body)
    return Answer(said.text, said.tool_calls, said.finish_reason, request, body)


def _nonempty(answer: Answer) -> bool:
    return bool(answer.text.strip() or answer.tool_calls)


def _json(answer: Answer) -> bool:
    """The text is JSON, as the request's schema says where it has one; tool calls are judged by their tools."""
    if answer.tool_calls and not answer.text.strip():
        return _tool_args_valid(answer)
    try:
        value = loads(answer.text.encode())
    except UnicodeEncodeError:
        return False
    if value is None and answer.text.strip() != "null":
        return False
    schema = wanted_schema(answer.request)
    return schema is None or value_error(schema, value) is None


def _not_truncated(answer: Answer) -> bool:
    return answer.finish_reason not in (None, "length")


def _no_refusal(answer: Answer) -> bool:
    return answer.finish_reason not in ("refusal", "content_filter") and not is_refusal(answer.text)


def _tool_args_valid(answer: Answer) -> bool:
    tools = answer.request.get("tools") or answer.request.get("functions")
    for call in answer.tool_calls:
        if call.is_free_text:
            continue
        value = loads(call.arguments.encode("utf-8", "replace")) if call.arguments.strip() else {}
        if not isinstance(value, dict) or schema_error(tools, call.name, value) is not None:
            return False
    return True


BUILT_IN: dict[str, Check] = {
    "nonempty": _nonempty,
    "json": _json,
    "not_truncated": _not_truncated,
    "no_refusal": _no_refusal,
    "tool_args_valid": _tool_args_valid,
}
"""Checks that need no code: there is text or a tool call; the text is JSON, by the schema if one was given; the answer
was not cut; it is no refusal; the arguments of all tool calls are objects as their tools want them."""


def wanted_schema(request: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that a request wants its answer's text to have; None where it names none."""
    config = obj(request.get("generationConfig", request.get("generation_config")))
    for found in (
        obj(obj(request.get("response_format")).get("json_schema")).get("schema"),
        obj(obj(request.get("text")).get("format")).get("schema"),
        obj(obj(request.get("output_config")).get("format")).get("schema"),
        *(config.get(name) for name in ("responseJsonSchema", "responseSchema", "response_schema")),
        request.get("format"),
    ):
        if isinstance(found, dict):
            return found
    return None


class Verifiers:
    """The checks of this process. One per process (:data:`verifiers`)."""

    def __init__(self) -> None:
        self._own: dict[str, Check] = {}
        self._running: set[threading.Thread] = set()

    def add(self, name: str, check: Check) -> None:
        """Register a check; the same name again replaces it. A built-in one can't be replaced.

        Raises:
            ValueError: no name that a policy could say.
        """
        if _NAME.fullmatch(name) is None or name in BUILT_IN:
            raise ValueError(f"a verifier's name is {name!r}, expected letters, digits and _ . - and no built-in one")
        self._own[name] = check

    def knows(self, names: Iterable[str]) -> bool:
        """Whether all of these can be asked."""
        return all(name in BUILT_IN or name in self._own for name in names)

    def has_own(self, names: Iterable[str]) -> bool:
        """Whether one of these is the agent's, which may take a while."""
        return any(name not in BUILT_IN for name in names)

    def failed(self, names: Iterable[str], answer: Answer | None) -> str | None:
        """The first of these checks that ``answer`` fails; None where it passes them all."""
        return self.judge(names, answer).failed

    def judge(self, names: Iterable[str], answer: Answer | None, threshold: float = THRESHOLD) -> Judged:
        """What these checks say of ``answer``, up to the first that it fails; grades pass from ``threshold`` on."""
        if answer is None:
            return Judged("unreadable")
        lowest: float | None = None
        for name in names:
            check = BUILT_IN.get(name)
            said = self._ask(name, answer) if check is None else check(answer)
            if isinstance(said, float):
                lowest = said if lowest is None else min(lowest, said)
                said = said >= threshold
            if not said:
                return Judged(name, lowest)
        return Judged(None, lowest)

    @property
    def hanging(self) -> int:
        """Checks of the agent's own that have not come back; none of those that a fork left behind."""
        for thread in list(self._running):
            if not thread.is_alive():
                self._running.discard(thread)
        return len(self._running)

    def _ask(self, name: str, answer: Answer) -> bool | float:
        """What the agent's own check says, in a thread that can be left behind; a grade as a float from 0 to 1."""
        check = self._own.get(name)
        if check is None or self.hanging >= MAX_HANGING:
            return False
        said: list[bool | float] = []

        def ask() -> None:
            context.scope.set(context.EMPTY)
            context.in_send.set(True)  # what a check calls is not the agent's: nothing in here is traced
            try:
                said.append(_said(check(answer)))
            except Exception as error:
                said.append(False)
                log.warning("The verifier %r raised %s (%s).", name, type(error).__name__, error)

        thread = threading.Thread(target=ask, name=f"trimtab-verifier {name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process may not have more
            return False
        self._running.add(thread)
        thread.join(TIMEOUT_S)
        if not said:
            log.warning("The verifier %r took longer than %g s; the answer counts as failed.", name, TIMEOUT_S)
        return said[0] if said else False


def _said(given: Any) -> bool | float:
    """A number that is no yes or no is a grade; one that is none (NaN, 7) is no."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return bool(given)
    grade = float(given)
    return grade if 0.0 <= grade <= 1.0 else False


verifiers = Verifiers()
"""The ones of this process."""


def register(check: Check | None = None, /, *, name: str | None = None) -> Any:
    """Register a check for ``escalate``: ``@verifiers.register``, or with another name than the function's.

    Args:
        check: Gives whether an :class:`Answer` is good enough, or a grade from 0 to 1. Sync, and quick: the call waits.
        name: What policies call it.

    Raises:
        ValueError: no name that a policy could say.
    """

    def add(function: Check) -> Check:
        verifiers.add(name or function.__name__, function)
        return function

    return add if check is None else add(check)
