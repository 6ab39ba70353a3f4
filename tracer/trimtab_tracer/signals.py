"""What request and response of one attempt say together that rules need later, and that can't be had later.

In: the parsed facts of one exchange and the tool answers that its request carried for the first time. Out: a small
JSON-able mapping; a key is left out where there is nothing to say. It holds names, flags, counts and digests, and of
what a person or a model wrote nothing but single words of at most 64 characters, given to the caller's ``shown``.

A module of its own because contents may be off, or deleted by the time that anyone asks, and because the live tracer
and the importers must say the same. It is pure, looks at bounded beginnings of long texts, skips what a request gives
no reason for (no tools, no stops) and takes 20 us for a plain call of 2 kB, 60 us for a final answer after tools. What
it misses goes unseen.

=================  =====================================================================================================
``opening``        CRC-32 of the first user message: requests of one conversation share it
``followed``       CRC-32 of a user message that comes after an answer: what a harness says again and again is alike
``stops``          texts that the prompt demands, the request's stop list holds and the answer therefore lacks
``disobeyed``      ``json | starts | ends | contains | tool_choice | forbidden_tool``: checkable demands not met
``refused``        the answer opens with the words of a refusal
``compacted``      the history was summarised or cut before it was sent
``mismatch``       ``[tool that the text says it calls, tool that it called]``
``verified``       the final answer claims to have been checked
``numbers``        ``[n, absent]``: numbers in a final answer, and how many stand nowhere in what was sent
``values_out``     CRC-32 of the numbers and identifiers that the answer and its tool arguments hold
``values_in``      the same for what this request added: the last user message and new tool answers
``words_out``      CRC-32 of the words of the tool arguments, or of a short answer
``words_in``       the same of a conversation's first message, where it is short
``queries``        ``{index: [CRC-32 of words]}``: what tool calls that look something up asked for
``keyed``          indexes of tool calls whose arguments hold an idempotency key
``answers``        ``{tool_id: denied | absent | missing | soft | empty | object}``: what a new tool answer looks like
``missing``        commands and modules that a new tool answer says do not exist
=================  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final
from zlib import crc32

from .demands import disobeyed, swallowed
from .patterns import lazy_pattern
from .wire.facts import RequestFacts, ResponseFacts, ToolAnswer, ToolCall
from .wire.values import joined, loads, objs

MAX_TEXT: Final = 4000
"""Characters of an answer that are looked at."""
MAX_HEAD: Final = 300
"""Characters of a tool's answer that are looked at."""
MAX_NAMES: Final = 8
"""Names of one kind that are kept."""
MAX_VALUES: Final = 16
"""Values of one text that are kept."""
OPENING: Final = 2
"""Messages of a request that begins a conversation: a system prompt and a task at most."""
SHORT: Final = 200
"""Characters up to which every word of a message may matter to whoever gets it."""
MAX_WORD: Final = 64
"""Characters of a word that are kept."""

_REFUSAL = lazy_pattern(
    r"(?i)\W{0,3}(?:i['’]?m (?:really |very )?sorry,? but"
    r"|(?:i am|i['’]m) (?:unable|not able) to (?:help|assist|comply)"
    r"|(?:sorry,? (?:but )?)?i (?:can(?:no|['’])t|can not|won['’]t|will not|am not able to|must decline)"
    r" (?:to )?(?:help|assist|comply|provide|fulfill|do that|support|create|engage)"
    r"|as an ai(?: language model)?,? i can)"
)
_VERIFIED: Final = {
    "verif": (
        *(
            "verified that",
            "verified the",
            "verified it",
            "verified all",
            "i verified",
            "have verified",
            "i've verified",
        ),
        *("verification passed", "verification successful"),
    ),
    "validat": ("validated that", "validated the", "validation passed"),
    "tests ": ("all tests pass", "all the tests pass", "tests now pass", "all unit tests pass"),
    "check": ("double-checked",),
    "confirmed": ("confirmed that",),
}
"""Words with which an answer says that it was checked."""
_NUMBER = lazy_pattern(r"\d[\d,]*(?:\.\d+)?")
_VALUE = lazy_pattern(r"\d[\w.,:-]+\w")  # begins with what can be searched for fast
_WORDS = lazy_pattern(r"\w{3,}")
_STATUS = r"(?i)\b(?:error|http|status|code)\W{0,3}(?:error\W|code\W|status\W){0,2}\s?"
_DENIED = lazy_pattern(
    _STATUS + r"(?:401|403)\b|\b40[13]\b.{0,20}\b(?:forbidden|unauthori[sz]ed)"
    r"|\b(?:permission|access) (?:is |was )?denied\b|\bnot authori[sz]ed to\b|\bauthentication (?:failed|required)\b"
)
_ABSENT = lazy_pattern(
    _STATUS + r"404\b|\b404\b.{0,12}\bnot found\b|\bfilenotfounderror\b|\bno such file or directory\b"
)
_MISSING = lazy_pattern(
    r"(?:(?:\A|[\n:] ?)(?P<a>[\w./+-]{1,64}): (?:command )?not found\s*(?:\Z|\n)"
    r"|command not found: (?P<b>[\w./+-]{1,64})|No module named ['\"]?(?P<c>[\w.]{1,64})"
    r"|'(?P<d>[\w./+-]{1,64})' is not recognized as an internal"
    r"|exec: \"(?P<e>[\w./+-]{1,64})\": executable file not found)"
)
_SOFT = lazy_pattern(
    r"(?i)\W{0,3}(?:failed\b|failure\b|unable to\b|could not\b|couldn['’]t\b|cannot\b|exception\b|internal server error"
    r"|bad gateway|service unavailable|gateway timeout|too many requests|request (?:failed|timed out))"
)
_OBJECT = lazy_pattern(
    r"['\"]?(?:<[\w.]+ [^>\n]{0,250}\bat 0x[0-9a-fA-F]{4,16}>{1,2}|\[object [A-Z]\w{2,30}\])['\"]?\s*\Z"
)
"""The whole answer is how a language shows an object that has no text of its own."""
_NOTHING: Final = frozenset({"", "null", "none", "nil", "undefined", "nan", "n/a", "[]", "{}", '""', "''", "()"})
"""Tool answers that say nothing."""
_LOOKUPS: Final = ("search", "query", "find", "lookup", "look_up", "retriev", "fetch", "grep", "recall", "browse")
"""Parts of the names of tools that look something up."""
_KEYS: Final = ('"idempotency', '"idempotent', '"request_id"', '"client_token"', '"dedup', '"transaction_id"')
"""Beginnings of the names of arguments that make a repeated call harmless."""
_COMPACTED: Final = {
    "summar": ("conversation summary", "summary of the conversation", "summary of our conversation", "<summary>"),
    "conversation ": ("conversation so far", "previous conversation was summarized"),
    "earlier ": ("earlier messages were", "earlier conversation"),
    "omitted": ("messages omitted",),
    "truncated": ("history truncated",),
    "context was": ("context was compacted",),
    "session is": ("session is being continued",),
}
"""What harnesses write at the head of a message that stands for others."""

Shown = Callable[[str], str]
"""Makes a word fit to keep: redacted, or a digest where content is off."""


def signals(
    body: dict[str, Any],
    raw: bytes | bytearray,
    asked: RequestFacts,
    said: ResponseFacts,
    answered: Iterable[tuple[str, ToolAnswer]],
    shown: Shown,
) -> dict[str, Any]:
    """The signals of one exchange; see the table above.

    Args:
        body: The request, parsed.
        raw: The request as sent, or whatever holds all its text.
        asked: What it says.
        said: What the response says.
        answered: Tool answers that no earlier request carried, with the tool call's id.
        shown: Makes a word fit to keep.
    """
    found: dict[str, Any] = {}
    answered = tuple(answered)
    if (opening := _opening(body)) is not None:
        found["opening"] = opening
    if asked.message_count > OPENING and asked.last_user_text:
        found["followed"] = crc32(asked.last_user_text.encode("utf-8", "replace"))
    if asked.message_count > 1 and _is_compacted(body, asked):
        found["compacted"] = True
    if answered:
        found |= _of_answers(answered, shown)
    if new := _values(_added(asked, answered)):
        found["values_in"] = new
    is_agent = asked.prompt is not None  # agents are told apart by their prompts
    if is_agent and asked.message_count <= OPENING and (heard := _words(asked.last_user_text or "")):
        found["words_in"] = heard
    if said.finish_reason is None and not said.incomplete:  # files of runs seldom keep it
        said = replace(said, finish_reason="tool_calls" if said.tool_calls else "stop" if said.text else None)
    if said.error_type or said.error_message or said.finish_reason in (None, "error"):
        return found
    if not said.incomplete:
        if lost := swallowed(asked, said):
            found["stops"] = [shown(stop[:MAX_WORD]) for stop in lost]
        if broken := disobeyed(asked, said):
            found["disobeyed"] = list(broken)
    if said.tool_calls:
        found |= _of_calls(asked, said, shown)
    elif said.text:
        found |= _of_final(raw, asked, said)
    written = said.text[:MAX_TEXT] + "".join([f" {call.arguments[:MAX_HEAD]}" for call in said.tool_calls])
    if out := _values(written):
        found["values_out"] = out
    if is_agent and (told := _words(_handed(said))):
        found["words_out"] = told
    return found


def _opening(body: dict[str, Any]) -> int | None:
    for key in ("messages", "input", "contents"):
        given = body.get(key)
        if isinstance(given, str):
            return crc32(given.encode("utf-8", "replace"))
        for message in given if isinstance(given, list) else ():
            if isinstance(message, dict) and message.get("role") == "user":
                said = message.get("content") or message.get("parts")
                text = said if isinstance(said, str) else joined(said)
                return crc32(text.encode("utf-8", "replace"))
    return None


def _is_compacted(body: dict[str, Any], asked: RequestFacts) -> bool:
    """Whether one of the first messages says that it stands for earlier ones."""
    if asked.params.get("truncation") == "auto" or body.get("context_management"):
        return True
    messages = objs(body.get("messages") or body.get("input"))[:4]
    said = (m.get("content") for m in messages if m.get("role") != "tool")
    heads = "\n".join([(c if isinstance(c, str) else joined(c))[:MAX_HEAD] for c in said]).lower()
    return _holds_any(_COMPACTED, heads)


def _holds_any(marks: dict[str, tuple[str, ...]], text: str) -> bool:
    """Whether ``text`` has a phrase of ``marks``, which are told by the word that they have in common."""
    for word, phrases in marks.items():
        if word in text:
            for phrase in phrases:
                if phrase in text:
                    return True
    return False


def _added(asked: RequestFacts, answered: tuple[tuple[str, ToolAnswer], ...]) -> str:
    """The text that this request added to the conversation, in the beginning of each part."""
    parts = [answer.text[:MAX_TEXT] for _, answer in answered]
    if asked.last_user_text:
        parts.append(asked.last_user_text[:MAX_TEXT])
    return "\n".join(parts)


def _values(text: str) -> list[int]:
    """CRC-32 of numbers, and of identifiers from their first digit on, of three characters or more, each once."""
    found: dict[str, None] = {}
    for match in _VALUE.finditer(text):
        found[match[0].replace(",", "")] = None
        if len(found) >= MAX_VALUES:
            break
    return [crc32(value.encode()) for value in found]


def _words(text: str) -> list[int]:
    """CRC-32 of the words of a short text, in small letters, each once."""
    if len(text) > SHORT:
        return []
    return [crc32(word.encode()) for word in list(dict.fromkeys(_WORDS.findall(text.lower())))[:MAX_VALUES]]


def _handed(said: ResponseFacts) -> str:
    """What an answer hands over: the texts among its tool arguments, or the answer itself."""
    if not said.tool_calls:
        return said.text
    given = [loads(call.arguments) for call in said.tool_calls if len(call.arguments) <= 2 * SHORT]
    return " ".join(
        [text for each in given if isinstance(each, dict) for text in each.values() if isinstance(text, str)]
    )


def _of_answers(answered: tuple[tuple[str, ToolAnswer], ...], shown: Shown) -> dict[str, Any]:
    looks: dict[str, str] = {}
    missing: dict[str, None] = {}
    for tool_id, answer in answered:
        head = answer.text[:MAX_HEAD]
        lowered = head.lower()
        # words first: a search for the whole pattern takes longer than all of these together
        lost = _MISSING.search(head) if "not found" in head or "No module" in head or "not recog" in head else None
        if lost is not None:
            looks[tool_id] = "missing"
            missing[shown(next(name for name in lost.groups() if name)[:MAX_WORD])] = None
        elif len(head) < 16 and lowered.strip() in _NOTHING:
            looks[tool_id] = "empty"
        elif any(word in lowered for word in ("401", "403", "denied", "authori", "authent")) and _DENIED.search(head):
            looks[tool_id] = "denied"
        elif any(word in lowered for word in ("404", "no such file", "filenotfound")) and _ABSENT.search(head):
            looks[tool_id] = "absent"
        elif _SOFT.match(head):
            looks[tool_id] = "soft"
        elif ("at 0x" in head or "[object " in head) and _OBJECT.match(head):
            looks[tool_id] = "object"
    return ({"answers": looks} if looks else {}) | ({"missing": list(missing)[:MAX_NAMES]} if missing else {})


def _of_calls(asked: RequestFacts, said: ResponseFacts, shown: Shown) -> dict[str, Any]:
    found: dict[str, Any] = {}
    keyed, queries = [], {}
    for index, call in enumerate(said.tool_calls[:MAX_VALUES]):
        head = call.arguments[:MAX_TEXT]
        lowered = head.lower()
        if any(key in lowered for key in _KEYS):
            keyed.append(index)
        if any(part in call.name.lower() for part in _LOOKUPS):
            words = dict.fromkeys(_WORDS.findall(lowered[: 2 * MAX_HEAD]))
            queries[str(index)] = [crc32(word.encode()) for word in list(words)[:MAX_VALUES]]
    if keyed:
        found["keyed"] = keyed
    if queries:
        found["queries"] = queries
    if said.text and asked.tools_offered and (other := _named_other(said.text[:MAX_TEXT], asked, said.tool_calls)):
        found["mismatch"] = [shown(name[:MAX_WORD]) for name in other]
    return found


_ANNOUNCED = lazy_pattern(
    r"(?i)(?:\b(?:i(?:'|’)?ll|i will|i am going to|i'm going to|let me|let's|now|next,?)\s+(?:now\s+)?"
    r"(?:call|use|invoke|run|try)\s+(?:the\s+)?(?:tool\s+|function\s+)?|\baction:\s*)[`'\"*]{0,3}\Z"
)


def _named_other(text: str, asked: RequestFacts, calls: tuple[ToolCall, ...]) -> tuple[str, str] | None:
    """A tool that the text says it calls now, and the one that it called, where none of those named was called."""
    called = {call.name for call in calls}
    named: list[str] = []
    for name in asked.tools_offered[:100]:
        at = text.rfind(name) if len(name) > 2 else -1
        if at < 0:
            continue
        after = text[at + len(name) : at + len(name) + 1]
        is_whole = not (after.isalnum() or after == "_")
        if is_whole and _ANNOUNCED.search(text[max(0, at - 60) : at]):
            if name in called:
                return None
            named.append(name)
    return (named[0], calls[0].name) if named else None


def is_refusal(text: str) -> bool:
    """Whether an answer opens with the words of a refusal."""
    return _REFUSAL.match(text) is not None


def _of_final(raw: bytes | bytearray, asked: RequestFacts, said: ResponseFacts) -> dict[str, Any]:
    found: dict[str, Any] = {}
    text = said.text[:MAX_TEXT]
    if len(said.text) < MAX_TEXT and said.finish_reason == "stop" and is_refusal(text):
        found["refused"] = True
    if not asked.tools_offered and not asked.tool_answers:
        return found
    lowered = text.lower()
    if _holds_any(_VERIFIED, lowered):
        found["verified"] = True
    numbers = [n for n in dict.fromkeys(_NUMBER.findall(text)) if len(n) >= 2][:MAX_VALUES]
    if numbers:
        absent = [n for n in numbers if n.encode() not in raw and n.replace(",", "").encode() not in raw]
        found["numbers"] = [len(numbers), len(absent)]
    return found
