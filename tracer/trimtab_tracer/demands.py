"""What a prompt demands of each answer in so many words, and which of it an answer does not have.

In: the facts of a request and its response. Out: demands that a machine can check and that are not met: a literal text
at the beginning, at the end or anywhere, JSON, a choice of tool; and literal texts that the request's own stop list cut
away. A module of its own because it reads instructions, which nothing else here does, and must read them narrowly: a
format that is merely shown ("Observation: the result of the action") or a text that is forbidden ("never write
Observation:") demands nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from .patterns import lazy_pattern
from .shapes import value_class
from .wire.facts import RequestFacts, ResponseFacts
from .wire.values import loads

MAX_PROMPT: Final = 40_000
"""Characters of a prompt that are read."""
MAX_DEMANDS: Final = 8
"""Demands of one prompt that are checked."""
MAX_STOPS: Final = 8
"""Stop texts of one request that are checked."""
MAX_PLACES: Final = 20
"""Places of one text in a prompt that are looked at."""


@value_class
class Demand:
    """Something that each answer has to have."""

    kind: str
    """``starts | ends | contains | json``."""
    literal: str = ""


_BINDING = r"(?:must|always|shall|needs? to|ha(?:ve|s) to|make sure(?: to)?|remember to|be sure to|is required to)"
_STARTS: Final = (
    *(
        "must",
        "always",
        "shall",
        "need",
        "have to",
        "has to",
        "make sure",
        "remember to",
        "be sure to",
        "is required to",
    ),
)
"""Beginnings of :data:`_BINDING`."""
_CLAUSE = lazy_pattern(
    rf"(?i){_BINDING}\b(?P<between>[^.\n]{{0,60}}?)\b(?P<verb>end|finish|conclude|close|start|begin|open|contain|include)"
    r"s?\b[^.\n\"'`“]{0,40}(?:\"(?P<a>[^\"\n]{2,64})\"|'(?P<b>[^'\n]{2,64})'|`(?P<c>[^`\n]{2,64})`|“(?P<d>[^”\n]{2,64})”)"
)
_JSON = lazy_pattern(
    r"(?i)\b(?:respond|reply|answer|output|return)\b[^.\n]{0,30}\b(?:only|nothing but|exclusively|strictly|always)\b"
    r"[^.\n]{0,20}\bjson\b"
    r"|\b(?:response|answer|reply|output) (?:must|has to|should always) be (?:a |an )?(?:single )?(?:valid )?json\b"
)
_IMPERATIVE = (
    r"(?:end|finish|conclude|close|terminate|wrap|start|begin|write|print|output|return|include|emit|say|reply|respond"
    r"|answer|put|append|use|give|mark|state|add)"
)
_DEMANDED = lazy_pattern(
    rf"(?i)(?:\b(?:{_BINDING}|should|please)\b|(?:\A|[.!?:;,*-]\s*|\b(?:and|then)\s+){_IMPERATIVE}\b)[^.]{{0,80}}\Z"
)
_FORBIDDEN = lazy_pattern(r"(?i)\b(?:not|never|avoid|without|until|before|instead of|no)\b|n't\b")
_UNUSABLE = lazy_pattern(
    r"(?i)(?:do not|don't|never|must not|may not)\s+(?:use|call|invoke|run)\s+(?:the\s+)?"
    r"(?:tools?\s+|function\s+)?[`'\"]?\Z"
)

_ROLES = {"end": "ends", "finish": "ends", "conclude": "ends", "close": "ends"} | {
    "start": "starts",
    "begin": "starts",
    "open": "starts",
}


def swallowed(asked: RequestFacts, said: ResponseFacts) -> list[str]:
    """Texts that the prompt demands, the stop list holds and the answer lacks."""
    given = asked.params.get("stop")
    if not given or said.finish_reason != "stop":
        return []
    given = given if isinstance(given, list) else [given]
    stops = sorted({stop.strip() for stop in given[:MAX_STOPS] if isinstance(stop, str)})
    texts = [text for text in (asked.prompt, asked.last_user_text) if text]
    lacks = [stop for stop in stops if len(stop) > 1 and stop not in said.text]
    return [stop for stop in lacks if any(is_demanded(stop, text) for text in texts)]


def disobeyed(asked: RequestFacts, said: ResponseFacts) -> tuple[str, ...]:
    """The kinds of demands that an answer does not meet: :class:`Demand`'s, ``tool_choice``, ``forbidden_tool``."""
    broken: list[str] = []
    is_final = said.finish_reason == "stop" and not said.tool_calls
    if is_final and said.text:
        wanted = _demands_of(asked.prompt[:MAX_PROMPT]) if asked.prompt else ()
        if asked.params.get("response_format") not in (None, "text"):
            wanted = (*wanted, Demand("json"))
        stops = asked.params.get("stop") or ()
        text = said.text.strip() if wanted else ""
        broken = [d.kind for d in wanted if (not d.literal or d.literal not in stops) and not _is_met(d, text)]
    choice = asked.params.get("tool_choice")
    called = {call.name for call in said.tool_calls}
    if choice is not None and (
        (choice == "none" and called)
        or (choice in ("required", "any") and is_final)
        or (choice in asked.tools_offered and called and choice not in called)
    ):
        broken.append("tool_choice")
    if asked.prompt and any(is_forbidden_tool(name, asked.prompt) for name in called):
        broken.append("forbidden_tool")
    return tuple(dict.fromkeys(broken))


@lru_cache(maxsize=64)
def _demands_of(prompt: str) -> tuple[Demand, ...]:
    """:func:`demands`, remembered: an agent's prompt is the same in most of its calls."""
    return demands(prompt)


def _is_met(demand: Demand, text: str) -> bool:
    literal = demand.literal.lower()
    margin = len(literal) + 4  # quotes, a full stop or emphasis around it
    match demand.kind:
        case "starts":
            return literal in text[:margin].lower()
        case "ends":
            return literal in text[-margin:].lower()
        case "contains":
            return literal in text.lower()
    return _holds_json(text)


def _holds_json(text: str) -> bool:
    """Whether a text is JSON, or has a JSON object or array in it, in a fence for example."""
    if loads(text) is not None:
        return True
    for first, last in ("{}", "[]"):
        start, end = text.find(first), text.rfind(last)
        if 0 <= start < end and loads(text[start : end + 1]) is not None:
            return True
    return False


def demands(prompt: str) -> tuple[Demand, ...]:
    """What ``prompt`` demands of every answer in so many words."""
    prompt = prompt[:MAX_PROMPT]
    found: dict[Demand, None] = {}
    lowered = prompt.lower()
    # words first: a search for the whole clause takes a hundred times as long
    for at in sorted({at for word in _STARTS for at in _places(word, lowered)}):
        clause = _CLAUSE.match(prompt, at)
        if clause is None or _FORBIDDEN.search(clause["between"]):
            continue
        literal = next(text for name in "abcd" if (text := clause[name]))
        found[Demand(_ROLES.get(clause["verb"].lower(), "contains"), literal.strip())] = None
        if len(found) >= MAX_DEMANDS:
            break
    if "json" in lowered and _JSON.search(prompt):
        found[Demand("json")] = None
    return tuple(found)


def is_demanded(literal: str, prompt: str) -> bool:
    """Whether ``prompt`` tells the model to write ``literal``: an order on the same line before it, and no negation."""
    for at in _places(literal, prompt):
        before = prompt[max(0, at - 160) : at].rpartition("\n")[2]
        order = _DEMANDED.search(before)
        if order is not None and not _FORBIDDEN.search(before, order.start()):
            return True
    return False


def is_forbidden_tool(name: str, prompt: str) -> bool:
    """Whether ``prompt`` says not to call the tool ``name``."""
    for at in _places(name, prompt):
        after = prompt[at + len(name) : at + len(name) + 1]
        if not (after.isalnum() or after == "_") and _UNUSABLE.search(prompt[max(0, at - 60) : at]):
            return True
    return False


def _places(text: str, prompt: str) -> Iterator[int]:
    """Where ``text`` stands in ``prompt``, the first :data:`MAX_PLACES` of them."""
    at = prompt.find(text, 0, MAX_PROMPT) if text else -1
    for _ in range(MAX_PLACES):
        if at < 0:
            return
        yield at
        at = prompt.find(text, at + len(text), MAX_PROMPT)
