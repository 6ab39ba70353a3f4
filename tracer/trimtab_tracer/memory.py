"""What one run's later requests may refer to: earlier answers, their tools, their tool calls.

In: the facts of requests and responses of one run, in the order in which they ended. Out: the call that a tool's
result, a rejection or a continued thread refers to.

A module of its own because it is the only state behind :mod:`.exchange`. What each attempt adds is a :class:`Memo`, and
the memos of a process, played again in their order, give the same memory: so the work can pass from the agent to its
sidecar and back (:mod:`.handover`). It is bounded and forgets the oldest first; it is lost with the process. What it
forgot is left unlinked, never guessed.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from .digests import digest
from .shapes import value_class
from .wire.facts import RequestFacts, ResponseFacts, ToolAnswer


@value_class
class Setup:
    """Prompt and tools in force for a call, as the request said or as a thread keeps them."""

    prompt_digest: str | None
    tools_digest: str | None
    tools_offered: tuple[str, ...]


@value_class
class _Pending:
    """A tool call that no result has answered yet."""

    call_id: str
    index: int
    provider_id: str | None
    name: str

    @property
    def tool_id(self) -> str:
        return f"{self.call_id}:{self.index}"


class Memo(NamedTuple):
    """What one attempt leaves behind for those after it; JSON as it is, a list."""

    run_id: str
    call_id: str
    calls: tuple[tuple[str | None, str], ...]
    """Provider's id and name of each tool call that was asked for."""
    output: str | None
    """Digest of an answer that no id names."""
    response_id: str | None
    setup: tuple[str | None, str | None, tuple[str, ...]] | None
    """Prompt, tools and their names, where a later request may inherit them by ``response_id``."""
    answered: tuple[str, ...]
    """Ids (``<call_id>:<index>``) of the tool calls that the request answered."""


class Journal:
    """The memos of one process, the latest ones: as they were made, or as another process sent them."""

    MAX_MEMOS = 1024
    MAX_MEMO_BYTES = 4096
    """Of one memo on its way; a longer one is left out, and what it would link is left unlinked."""

    def __init__(self) -> None:
        self._memos: deque[Memo | bytes] = deque(maxlen=self.MAX_MEMOS)

    def add(self, memo: Memo | bytes) -> None:
        """Note one more; not so a line that is longer than any that is sent."""
        if not isinstance(memo, bytes) or len(memo) <= self.MAX_MEMO_BYTES:
            self._memos.append(memo)

    def latest(self) -> Memo | bytes:
        """The one that was added last."""
        return self._memos[-1]

    def __iter__(self) -> Iterator[Memo]:
        for memo in list(self._memos):
            with suppress(ValueError, TypeError, RecursionError):  # from another process, and no memo
                yield memo if isinstance(memo, Memo) else decode_memo(memo)

    def lines(self) -> Iterator[bytes]:
        """Each as it is sent."""
        for memo in list(self._memos):
            if line := encode_memo(memo):
                yield line


def encode_memo(memo: Memo | bytes) -> bytes:
    """A line of JSON, without its end; empty where it is too long to be sent."""
    line = memo if isinstance(memo, bytes) else json.dumps(memo, separators=(",", ":")).encode()
    return line if len(line) <= Journal.MAX_MEMO_BYTES else b""


def decode_memo(line: bytes) -> Memo:
    """The memo of such a line.

    Raises:
        ValueError, TypeError: it is no memo.
    """
    run_id, call_id, calls, output, response_id, setup, answered = json.loads(line)
    asked = tuple([(provider_id, name) for provider_id, name in calls])
    kept = None
    if setup is not None:
        prompt, tools, offered = setup
        kept = (prompt, tools, tuple(offered))
    texts = [run_id, call_id, *answered, *[name for _, name in asked], *(kept[2] if kept else ())]
    perhaps = [output, response_id, *[ident for ident, _ in asked], *(kept[:2] if kept else ())]
    if not all(isinstance(t, str) for t in texts) or not all(t is None or isinstance(t, str) for t in perhaps):
        raise TypeError("a memo holds texts")
    return Memo(run_id, call_id, asked, output, response_id, kept, tuple(answered))


@dataclass(slots=True)
class RunMemory:
    """The memory of one run."""

    MAX_KEPT: ClassVar[int] = 512
    """Entries of each kind; agents with more open tool calls than this lose the oldest links."""

    pending: deque[_Pending] = field(default_factory=lambda: deque(maxlen=RunMemory.MAX_KEPT))
    by_output: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Digest of an answer's text, or ``id:<provider's tool id>`` → call."""
    by_response: OrderedDict[str, tuple[str, Setup]] = field(default_factory=OrderedDict)
    """Provider's response id → call, and what its request set up."""

    def setup(self, asked: RequestFacts) -> Setup:
        """Prompt and tools of a request; those of the request before where the provider keeps them."""
        kept = self.by_response.get(asked.previous_response_id or "") if asked.inherits_setup else None
        before = kept[1] if kept else Setup(None, None, ())
        return Setup(
            digest(asked.prompt) if asked.prompt else before.prompt_digest,
            digest(asked.tools_text) if asked.tools_text else before.tools_digest,
            asked.tools_offered or before.tools_offered,
        )

    def recall(self, memo: Memo) -> None:
        """Keep what later requests may refer to."""
        call_id = memo.call_id
        if memo.answered and self.pending:  # already gone, unless this is played again
            self.pending = deque((p for p in self.pending if p.tool_id not in memo.answered), maxlen=self.MAX_KEPT)
        if memo.calls:  # another attempt of the same call replaces what the one before asked for
            self.pending = deque((p for p in self.pending if p.call_id != call_id), maxlen=self.MAX_KEPT)
        for index, (provider_id, name) in enumerate(memo.calls):
            self.pending.append(_Pending(call_id, index, provider_id, name))
            if provider_id:
                self._keep(self.by_output, f"id:{provider_id}", call_id)
        if memo.output is not None:
            self._keep(self.by_output, memo.output, call_id)
        if memo.response_id and memo.setup is not None:
            self._keep(self.by_response, memo.response_id, (call_id, Setup(*memo.setup)))

    def _keep(self, kept: OrderedDict[str, Any], key: str, value: Any) -> None:
        kept[key] = value
        kept.move_to_end(key)
        while len(kept) > self.MAX_KEPT:
            kept.popitem(last=False)

    def answer_to(self, asked: RequestFacts) -> str | None:
        """The call whose answer the last message of a request follows."""
        for ident in asked.last_assistant_tool_ids:
            if (call_id := self.by_output.get(f"id:{ident}")) is not None:
                return call_id
        if asked.last_assistant_text is not None:
            return self.by_output.get(digest(asked.last_assistant_text.strip()))
        before = self.by_response.get(asked.previous_response_id or "")
        return before[0] if before else None

    def answered(self, answers: tuple[ToolAnswer, ...]) -> list[tuple[str, ToolAnswer]]:
        """The answers that a pending tool call waits for, each once however often the history is sent."""
        found: list[tuple[str, ToolAnswer]] = []
        foreign: list[ToolAnswer] = []
        for answer in reversed(answers):  # the latest answer of an id that repeats is for the latest request
            if not answer.provider_id:
                continue
            match = next((p for p in reversed(self.pending) if p.provider_id == answer.provider_id), None)
            if match is not None:
                self.pending.remove(match)
                found.insert(0, (match.tool_id, answer))
            elif f"id:{answer.provider_id}" not in self.by_output:
                foreign.insert(0, answer)
        # Some Gemini clients drop the id on the way back; LiteLLM invents one where the server (Ollama) gave none.
        found += self._answered_by_name([a for a in answers if not a.provider_id], list(self.pending))
        found += self._answered_by_name(foreign, [p for p in self.pending if p.provider_id is None])
        return found

    def _answered_by_name(self, answers: list[ToolAnswer], open_: list[_Pending]) -> list[tuple[str, ToolAnswer]]:
        """Answers without a known id: per name the newest of them belong to the newest open calls, in order.

        A re-sent history holds old answers first, so only as many answers count as calls are open.
        """
        found: list[tuple[str, ToolAnswer]] = []
        for name in dict.fromkeys(a.name for a in answers):
            mine = [a for a in answers if a.name == name]
            waiting = [p for p in open_ if name is None or p.name == name]
            count = min(len(mine), len(waiting))
            for pending, answer in zip(waiting[len(waiting) - count :], mine[len(mine) - count :], strict=True):
                self.pending.remove(pending)
                open_.remove(pending)
                found.append((pending.tool_id, answer))
        return found


def memo_of(run_id: str, call_id: str, said: ResponseFacts, setup: Setup, answered: tuple[str, ...]) -> Memo:
    """What an attempt leaves behind."""
    has_ids = any(c.provider_id for c in said.tool_calls)
    return Memo(
        run_id,
        call_id,
        tuple([(c.provider_id, c.name) for c in said.tool_calls]),
        digest(said.text.strip()) if said.finish_reason is not None and not has_ids else None,
        said.response_id,
        (setup.prompt_digest, setup.tools_digest, setup.tools_offered) if said.response_id else None,
        answered,
    )
