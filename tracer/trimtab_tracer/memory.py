"""What one run's later requests may refer to: earlier answers, their tools, their tool calls.

In: the facts of requests and responses of one run, in the order in which they ended. Out: the call that a tool's
result, a rejection or a continued thread refers to.

A module of its own because it is the only state behind :mod:`.exchange`. It is bounded and forgets the oldest
first; it is lost with the process. What it forgot is left unlinked, never guessed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

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

    def remember(self, call_id: str, said: ResponseFacts, setup: Setup) -> None:
        """Keep what later requests may refer to."""
        if said.tool_calls:  # another attempt of the same call replaces what the one before asked for
            self.pending = deque((p for p in self.pending if p.call_id != call_id), maxlen=self.MAX_KEPT)
        for index, call in enumerate(said.tool_calls):
            self.pending.append(_Pending(call_id, index, call.provider_id, call.name))
            if call.provider_id:
                self._keep(self.by_output, f"id:{call.provider_id}", call_id)
        if said.finish_reason is not None and not any(c.provider_id for c in said.tool_calls):
            self._keep(self.by_output, digest(said.text.strip()), call_id)
        if said.response_id:
            self._keep(self.by_response, said.response_id, (call_id, setup))

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
