"""What ties a call to the calls before and after it, as short digests.

In: a request's parsed body, and what it and its response say. Out: :class:`Links`: keys of earlier calls that the
request names, and keys by which later requests may name this one. The store puts calls together by them, also those of
other processes (:mod:`.rebuild`), and needs no text for it.

Runs in the agent's writer thread. A module of its own because it is the one place that knows how clients rewrite a
history on its way back: white space, cache marks, the place of the system prompt, text as a string or in parts, tool
arguments as an object or as JSON text. None of that counts here: a history is the sequence of what was said, called
and returned. A history that was shortened or summed up keeps only the links by id. Odd bodies have no links; nothing
raises.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from .digests import canonical, digest
from .wire.facts import RequestFacts, ResponseFacts
from .wire.values import joined, loads, obj, objs, spoken, text

MAX_TURNS: Final = 20_000
"""A request with more turns than this is linked by ids alone."""

MAX_IDS: Final = 8
"""Ids of tool calls that a request or a response is linked by; the agent answers them together."""

ENDINGS: Final = 2
"""Answers in a history that a request may go on from, the last ones: the last one's call may not have been recorded."""

_SYSTEM: Final = frozenset({"system", "developer"})
_MODEL: Final = frozenset({"assistant", "model"})
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Links(NamedTuple):
    """Keys, each the letter of its kind (:data:`.link_rules.RULES`) and 16 hex digits."""

    wanted: tuple[str, ...]
    offered: tuple[str, ...]


class Said(NamedTuple):
    """A piece of a conversation."""

    is_models: bool
    kind: str
    """``text | call | result``."""
    text: str


def links(api: str, body: dict[str, Any], asked: RequestFacts, said: ResponseFacts) -> Links:
    """What ties a call to others, from its request's ``body`` and from what both sides say."""
    wanted, offered = [], []
    if asked.previous_response_id:
        wanted.append(_key("r", asked.previous_response_id))
    if said.response_id:
        offered.append(_key("r", said.response_id))
    if (conversation := _conversation_key(body)) is not None:
        wanted.append(_key("k", conversation))
        offered.append(_key("k", conversation))
    # Without the turn that asked, which the provider keeps, the request holds nothing but what it answers.
    answered = [a.provider_id for a in asked.tool_answers[-MAX_IDS:] if a.provider_id]
    wanted += [_key("t", i) for i in dict.fromkeys(asked.last_assistant_tool_ids[:MAX_IDS] or answered)]
    offered += [_key("t", c.provider_id) for c in said.tool_calls[:MAX_IDS] if c.provider_id]
    turns = _turns(api, body)
    if turns and len(turns) <= MAX_TURNS:
        _add_history(turns, said, wanted, offered)
    return Links(tuple(wanted), tuple(offered))


def _key(kind: str, value: str) -> str:
    return kind + digest(f"{kind} {value}")


def _conversation_key(body: dict[str, Any]) -> str | None:
    """What the client itself calls the conversation."""
    given = body.get("conversation")
    if (named := text(given) or text(obj(given).get("id"))) is not None:
        return named
    cache = text(body.get("prompt_cache_key"))  # Codex puts its conversation's id there; others what they like
    return cache if cache is not None and _UUID.fullmatch(cache) else None


def _add_history(turns: list[dict[str, Any]], said: ResponseFacts, wanted: list[str], offered: list[str]) -> None:
    """The keys of what was said: up to the answers that a request holds, without the last one, and all of it."""
    groups = list(_groups(_pieces(turns)))
    if not groups:
        return
    history = hashlib.sha256()
    after = []  # digests of the history before the first group, the second, …, and of all
    for group in groups:
        after.append(history.hexdigest())
        history.update(group.encoded())
    after.append(history.hexdigest())
    answers = [at for at, group in enumerate(groups) if group.is_models]
    wanted += [_key("s", after[at + 1]) for at in answers[-ENDINGS:]]
    if answers and answers[-1] > 0:
        wanted.append(_key("a", after[answers[-1]]))
    wanted.append(_key("f", after[-1]))
    offered.append(_key("a", after[-1]))
    answer = list(_answer(said))
    if not answer:
        offered.append(_key("f", after[-1]))
        return
    goes_on = groups[-1].is_models  # the agent wrote the beginning of the answer itself
    (whole,) = _groups([*(groups[-1].pieces if goes_on else ()), *answer])
    before = hashlib.sha256(b"".join(group.encoded() for group in (groups[:-1] if goes_on else groups)))
    before.update(whole.encoded())
    offered.append(_key("s", before.hexdigest()))


class _Group(NamedTuple):
    """What one side said before the other one spoke."""

    is_models: bool
    pieces: tuple[Said, ...]

    def encoded(self) -> bytes:
        """Its texts as one, then its calls or results: clients cut and order these in their own ways."""
        texts = "".join(piece.text for piece in self.pieces if piece.kind == "text")
        others = [f"{piece.kind} {piece.text}" for piece in self.pieces if piece.kind != "text"]
        return "\0".join(["\1model" if self.is_models else "\1user", texts, *others]).encode("utf-8", "replace")


def _groups(pieces: Iterable[Said]) -> Iterator[_Group]:
    for is_models, group in groupby(pieces, lambda piece: piece.is_models):
        yield _Group(is_models, tuple(group))


def _answer(said: ResponseFacts) -> Iterator[Said]:
    """A response as it stands in the history of the next request."""
    if spoke := _plain(said.text):
        yield Said(True, "text", spoke)
    for call in said.tool_calls:
        yield Said(True, "call", f"{call.name} {_arguments(call.arguments)}")


def _pieces(turns: list[dict[str, Any]]) -> Iterator[Said]:
    """What was said in these turns, system prompts left out."""
    for turn in turns:
        role, kind = text(turn.get("role")), str(turn.get("type", ""))
        if role in _SYSTEM:
            continue
        if kind.endswith("_call_output"):
            yield Said(False, "result", _plain(spoken(turn.get("output"))))
            continue
        if kind.endswith("_call"):
            given = turn.get("input") if kind == "custom_tool_call" else turn.get("arguments", turn.get("action"))
            yield Said(True, "call", f"{text(turn.get('name')) or kind.removesuffix('_call')} {_arguments(given)}")
            continue
        is_models = role in _MODEL
        content = turn.get("content", turn.get("parts"))
        if role in ("tool", "function"):
            yield Said(False, "result", _plain(spoken(content)))
            continue
        if isinstance(content, list):  # without Gemini's thoughts, which do not come back
            content = [part for part in content if not obj(part).get("thought")]
        if spoke := _plain(joined(content)):
            yield Said(is_models, "text", spoke)
        yield from _results(content)
        for name, arguments in _calls(turn, content):
            yield Said(True, "call", f"{name} {_arguments(arguments)}")


def _results(content: Any) -> Iterator[Said]:
    for part in objs(content):
        answer = obj(part.get("functionResponse")) or obj(part.get("function_response"))
        if answer:
            yield Said(False, "result", _plain(canonical(answer.get("response"))))
        elif part.get("type") == "tool_result":
            yield Said(False, "result", _plain(spoken(part.get("content"))))


def _calls(turn: dict[str, Any], content: Any) -> Iterator[tuple[str, Any]]:
    for call in objs(turn.get("tool_calls")):
        function = obj(call.get("function")) or obj(call.get("custom"))
        yield text(function.get("name")) or "", function.get("arguments", function.get("input"))
    if function := obj(turn.get("function_call")):
        yield text(function.get("name")) or "", function.get("arguments")
    for part in objs(content):
        function = obj(part.get("functionCall")) or obj(part.get("function_call"))
        if function:
            yield text(function.get("name")) or "", function.get("args") or {}
        elif part.get("type") == "tool_use":
            yield text(part.get("name")) or "", part.get("input")


def _arguments(given: Any) -> str:
    """Arguments as the one text that equal ones share, whether they came as JSON text or as an object."""
    if isinstance(given, str):
        value = loads(given) if given.strip() else {}
        return canonical(value) if value is not None else _plain(given)
    return canonical(given if given is not None else {})


def _plain(said: str) -> str:
    """A text without its white space: clients strip and wrap."""
    return "".join(said.split())


def _turns(api: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    given = body.get({"openai.responses": "input", "gemini": "contents"}.get(api, "messages"))
    given = body.get("prompt") if given is None and api == "ollama" else given
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [given] if isinstance(given, dict) else objs(given)
