"""Whether a request goes on with a conversation, and what that conversation began with.

In: a request's parsed body. Out: a :class:`Conversation`; and :class:`Conversations`, the memory of which model a
policy gave each one at its beginning. A module of its own because it holds the one rule that keeps steering from
breaking an agent: a model never changes inside a conversation. What the model left there (signed thoughts, encrypted
reasoning, answers that the provider keeps) is of no use to another one.

What is not remembered began without us and stays with the incumbent. Bounded; lost with the process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from .decisions import Order
from .digests import digest
from .shapes import value_class
from .wire.values import joined, obj, objs, text

MAX_KEPT = 10_000
"""Keys remembered; the oldest are forgotten first."""

MAX_NODES = 20_000
"""Values of a body that are looked at; a conversation that is larger counts as bound."""

_MODEL_ROLES = frozenset({"assistant", "model"})
_MARKS = frozenset({"signature", "thoughtSignature", "thought_signature", "encrypted_content"})
_MARKED_TYPES = frozenset({"thinking", "redacted_thinking", "reasoning", "item_reference", "compaction"})


@value_class
class Conversation:
    """What a request's body tells about the turns before it."""

    is_continued: bool
    """A model has answered in it before."""
    is_bound: bool
    """It holds, or refers to, what only the model that made it understands."""
    will_bind: bool
    """The answer will hold what only the model that gives it understands: signed or encrypted thoughts."""
    is_elsewhere: bool
    """It lives at the provider, and how it began can't be known here."""
    keys: tuple[str, ...]
    """What it can be recognised by, the surest first; the last one may fit others too."""


def conversation(api: str, body: dict[str, Any]) -> Conversation:
    """The conversation that a request of ``api`` belongs to."""
    turns = _turns(api, body)
    previous = text(body.get("previous_response_id"))
    is_elsewhere = any(body.get(key) for key in ("conversation", "thread", "cachedContent", "cached_content"))
    return Conversation(
        is_continued=previous is not None or any(_is_models(turn) for turn in turns),
        is_bound=is_elsewhere or previous is not None or bool(body.get("container")) or _is_marked(turns),
        will_bind=_asks_for_thoughts(body),
        is_elsewhere=is_elsewhere,
        keys=(response_key(previous),) if previous is not None else _opening(body, turns),
    )


def response_key(response_id: str) -> str:
    """What a conversation is recognised by that goes on from a response kept at the provider."""
    return f"id:{response_id}"


def _turns(api: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    name = {"openai.responses": "input", "gemini": "contents"}.get(api, "messages")
    given = body.get(name)
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [given] if isinstance(given, dict) else objs(given)


def _is_models(turn: dict[str, Any]) -> bool:
    kind = str(turn.get("type", ""))
    return text(turn.get("role")) in _MODEL_ROLES or kind.endswith("_call") or kind in _MARKED_TYPES


def _is_users(turn: dict[str, Any]) -> bool:
    return turn.get("role", "user" if "parts" in turn else None) == "user"  # Gemini's need not say


def _opening(body: dict[str, Any], turns: list[dict[str, Any]]) -> tuple[str, ...]:
    """Digests of what stands up to the first user message: with the system's part, and without it.

    Only texts count: clients move cache marks about and write the same text as a string or as a list of parts.
    """
    first = next((i for i, turn in enumerate(turns) if _is_users(turn)), None)
    if first is None:
        return ()
    asked = _text(turns[first])
    before = [_text(turn) for turn in turns[:first]]
    before += [_text({"content": body.get(key)}) for key in ("system", "instructions")]
    before += [_text(obj(body.get(key))) for key in ("systemInstruction", "system_instruction")]
    return (f"whole:{digest(chr(0).join([asked, *before]))}", f"user:{digest(asked)}")


def _text(turn: dict[str, Any]) -> str:
    return joined(turn.get("content", turn.get("parts")))


def _asks_for_thoughts(body: dict[str, Any]) -> bool:
    thinking, include = obj(body.get("thinking")), body.get("include")
    encrypted = isinstance(include, list) and "reasoning.encrypted_content" in include
    return text(thinking.get("type")) not in (None, "disabled") or encrypted


def _is_marked(turns: list[dict[str, Any]]) -> bool:
    """Whether something in these turns belongs to the model that wrote it."""
    waiting: list[Any] = list(turns)
    for _ in range(MAX_NODES):
        if not waiting:
            return False
        value = waiting.pop()
        if isinstance(value, dict):
            if text(value.get("type")) in _MARKED_TYPES or any(value.get(mark) for mark in _MARKS):
                return True
            waiting += [v for v in value.values() if isinstance(v, dict | list)]
        else:
            waiting += [v for v in value if isinstance(v, dict | list)]
    return bool(waiting)


class Conversations:
    """What a policy gave each conversation when it began. Thread-safe, also where a signal handler interrupts."""

    def __init__(self) -> None:
        self._began: OrderedDict[tuple[str, str | None, str], Order | None] = OrderedDict()
        self._lock = threading.RLock()

    def remember(self, run_id: str, order: Order, keys: tuple[str, ...]) -> None:
        """Note that the conversation known by ``keys`` begins with ``order``."""
        with self._lock:
            for key in keys:
                known = run_id, order.rule_id, key
                before = self._began.get(known, order)
                # Two that begin with the same words and not with the same model can't be told apart by the words.
                is_other = before is None or before.value != order.value or before.is_incumbent != order.is_incumbent
                self._began[known] = None if is_other and key.startswith("user:") else order
                self._began.move_to_end(known)
            while len(self._began) > MAX_KEPT:
                self._began.popitem(last=False)

    def standing(self, run_id: str, order: Order, keys: tuple[str, ...], *, begins: bool) -> Order | None:
        """What is in force for a conversation: what it began with, or ``order`` where it begins now.

        None where that is not known, or where the condition of the order's rule does not hold for one that begins.
        """
        if not begins:
            return self.began_with(run_id, order.rules, keys)
        return None if order.is_past else order

    def began_with(self, run_id: str, rules: Iterable[str], keys: tuple[str, ...]) -> Order | None:
        """What one of these rules gave the conversation at its beginning; None where that is not known."""
        with self._lock:
            for known in ((run_id, rule_id, key) for rule_id in rules for key in keys):
                order = self._began.get(known)
                if order is not None:
                    self._began.move_to_end(known)
                    return order
        return None


def response_id_in(head: bytes) -> str | None:
    """The id of a response that the provider keeps (OpenAI responses), from the first bytes of its body or stream."""
    at = head.find(b'"resp_', 0, 4096)
    end = head.find(b'"', at + 1, at + 200) if at >= 0 else -1
    return head[at + 1 : end].decode("ascii", "replace") if end > 0 else None
