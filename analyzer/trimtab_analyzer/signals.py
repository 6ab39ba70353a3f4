"""What in a step's own words and results makes it likelier, or less likely, to be where a run went wrong.

In: the steps of one run, in order (:mod:`.steps`). Out: for each step the signals that it shows, with the words that
show them. Every signal is a fact of form or of comparison (an error, an empty result, a number that nobody had said
before); none knows a framework, a task or a tool, and none needs a model to judge. The table :data:`SIGNALS` says
what each one is, how much it weighs and which decision of the harness it points to. A module of its own because
weights and meanings are read together and apart from how shares are made of them (:mod:`.blame`).

The kinds of mistakes behind the table are those of MAST (Cemri et al. 2025: step repetition, no or incorrect
verification, reasoning-action mismatch) and TRAIL (Deshpande et al. 2025: language-only and tool-related
hallucination, poor information retrieval, resource abuse); "the decisive error is an early one that nobody corrects"
is Who&When's definition (Zhang et al. 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trimtab_tracer.verdicts import tool_status

from .code_blocks import runnable, without_code
from .steps import Step


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of evidence."""

    name: str
    factor: float
    """What the odds of a step that shows it are multiplied by."""
    knob: str
    """The harness's decision that it points to, where no rule names one."""
    says: str


_ALL: Final = (
    Signal("acts", 2.0, "tools", "it acted: it called a tool or wrote code that was to be run"),
    Signal("failed_action", 1.5, "tools", "what it did ended in an error"),
    Signal("first_error", 1.5, "tools", "that was the first error of the run"),
    Signal("empty_result", 2.0, "tools", "what it did brought nothing: an empty result, none, or zero"),
    Signal(
        "ungrounded", 3.0, "verification", "it states figures that nothing before it holds, and did nothing to get them"
    ),
    Signal("reads_out", 2.0, "tools", "it reads out a source, so it acted although no tool call is on record"),
    Signal("assumed", 2.0, "prompt_version", "it assumes, simulates or fills in what it does not have"),
    Signal("concluded", 2.0, "verification", "it draws a conclusion and did nothing to check it"),
    Signal("recalled", 1.5, "verification", "it refers to knowledge instead of to what was observed"),
    Signal("handed_off", 1.5, "tools", "it asks for what it was to do or to get itself, and nobody takes it up"),
    Signal("origin_of_answer", 1.5, "verification", "the final answer's figures come from it"),
    Signal("repeats", 0.5, "loop_guard", "it says again what an earlier step said: the first one counts"),
    Signal("opening", 0.5, "prompt_version", "it opens the log and did nothing yet"),
    Signal("says_little", 0.25, "prompt_version", "it says next to nothing"),
    Signal("no_answer", 3.0, "error_handling", "the request brought no answer"),
    Signal("rejected", 1.5, "output_parser", "the harness turned its answer down"),
)
SIGNALS: Final = {signal.name: signal for signal in _ALL}
"""Every signal by name. Factors are round on purpose; docs/blame.md says how they were chosen."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A signal that a step shows."""

    signal: Signal
    words: str = ""
    """The words that show it, cut; empty where the fact speaks for itself."""
    tool_ids: tuple[str, ...] = ()


FEW_CHARS: Final = 16
"""A shorter answer (``OK``, a word that ends the talk) says next to nothing."""
WORDS_CHARS: Final = 120
"""Characters quoted of the words that show a signal."""
MANY_FIGURES: Final = 10
"""New figures in one text from which it is a source being read out (a page, a table) rather than a claim."""
SAME: Final = 0.6
"""Share of words in common (Jaccard) from which a step repeats another one."""
MAX_EARLIER: Final = 30
"""Earlier steps that one is compared with."""

_NUMBER: Final = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")
_SMALL: Final = frozenset("0123456789")
"""Numbers that count steps and items in every text."""
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_STRESSED: Final = re.compile(r"\*\*([^*\n]{1,80})\*\*|\\boxed\{([^{}]{1,60})\}|<answer>(.{1,80}?)</answer>")
_ASSUMED: Final = re.compile(
    r"\b(?:assum(?:e|es|ed|ing|ption|ptions)|placeholders?|hypothetical(?:ly)?|simulat(?:e|ed|ing|ion)|mock(?:ed|up)?|dummy"
    r"|for (?:illustration|example purposes)|illustrative|(?:sample|example|fake|made[- ]up) (?:data|values?|numbers?)"
    r"|let's say|suppose|guess(?:ed|ing)?|replace (?:this|with|it with)|actual (?:data|path|values?|file))\b",
    re.IGNORECASE,
)
_RECALLED: Final = re.compile(
    r"\b(?:according to|(?:is|are|well|widely|commonly) known|based on (?:my|general|historical|common|prior)"
    r"|historically|from (?:memory|my knowledge)|(?:my|general|common|prior) knowledge|recall(?:ed|ing)?"
    r"|typically|usually)\b",
    re.IGNORECASE,
)
_CONCLUDED: Final = re.compile(
    r"\b(?:therefore|thus|hence|in conclusion|to conclude|(?:the )?final (?:answer|result)|so the (?:answer|result))\b",
    re.IGNORECASE,
)
_HANDED_OFF: Final = re.compile(
    r"\b(?:manual(?:ly)?|by hand|(?:please|could you|can you|would you)(?: please)?"
    r" (?:provide|share|upload|supply|send)|once (?:i|we|you) have|i (?:need|require) (?:the|access|you))\b",
    re.IGNORECASE,
)
_NOTHING: Final = re.compile(
    r"(?:0(?:\.0+)?|none|null|nan|\[\s*\]|\{\s*\}|\"\"|''|"
    r"(?:no|zero|0) (?:results?|matches|data|rows|records|hits|items)\b.{0,40}"
    r"|not found.{0,20}|.{0,40}:\s*(?:none|null|\[\s*\]|\{\s*\})?)",
    re.IGNORECASE,
)
_REPORT_HEAD: Final = re.compile(
    r"\A\s*(?:[<\[(]?(?:exit|return)[ _]?code[>\])]?\s*[:=]?\s*-?\d+[^\n]*\n)?"
    r"\s*(?:[\w ]{0,20}\b(?:output|result|stdout)\s*:)?",
    re.IGNORECASE,
)


def signals_of(steps: Sequence[Step]) -> list[list[Shown]]:
    """The signals of each step of one run."""
    run = _Run(steps)
    return [list(run.shown(n)) for n in range(len(steps))]


class _Run:
    """The steps of one run with what had been said before each of them."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.words = [_words(step.said) for step in steps]
        self.numbers = [_numbers(step.said) for step in steps]
        self.new: list[set[str]] = []
        """Numbers in the words of each step that nobody had said and nothing had brought before it."""
        seen: set[str] = set()
        for step, numbers in zip(steps, self.numbers, strict=True):
            seen |= _numbers(step.heard)
            self.new.append(_numbers(without_code(step.said)) - seen - _SMALL)
            seen |= numbers
        self.errors = [self._failed(n) for n in range(len(steps))]
        self.first_error = next((n for n, ids in enumerate(self.errors) if ids is not None), None)
        self.origin = self._origin()

    def opens(self, n: int) -> bool:
        """Whether the step opens the log: nothing was said before it, so it may be the task itself."""
        return n == 0 and not self.steps[0].heard.strip() and bool(self.steps[0].said)

    def shown(self, n: int) -> Iterator[Shown]:
        """The signals of step ``n``."""
        step = self.steps[n]
        if step.is_failed:
            yield Shown(SIGNALS["no_answer"])
        if step.is_rejected:
            yield Shown(SIGNALS["rejected"])
        acts = _acts(step)
        if acts:
            yield from self._of_actions(n, step)
        if n == self.origin:
            yield Shown(SIGNALS["origin_of_answer"])
        if self.opens(n):
            if not acts:
                yield Shown(SIGNALS["opening"])
            return  # what the task says is nobody's claim
        yield from self._of_words(n, step, acts)

    def _of_actions(self, n: int, step: Step) -> Iterator[Shown]:
        yield Shown(SIGNALS["acts"], tool_ids=tuple(action.tool_id for action in step.actions))
        if (ids := self.errors[n]) is not None:
            yield Shown(SIGNALS["failed_action"], tool_ids=ids)
            if n == self.first_error:
                yield Shown(SIGNALS["first_error"], tool_ids=ids)
        elif empty := self._empty(n, step):
            yield Shown(SIGNALS["empty_result"], tool_ids=empty)

    def _of_words(self, n: int, step: Step, acts: bool) -> Iterator[Shown]:
        said = step.said
        if said and len(said.strip()) < FEW_CHARS and not acts:
            yield Shown(SIGNALS["says_little"], said.strip())
            return
        if not acts and tool_status(said).status == "error":
            yield Shown(SIGNALS["failed_action"], " ".join(said[:WORDS_CHARS].split()))  # of a tool out of sight
        if (new := self.new[n]) and not acts:
            name = "ungrounded" if len(new) < MANY_FIGURES else "reads_out"
            yield Shown(SIGNALS[name], ", ".join(sorted(new)[:6]))
        for name, pattern in (("assumed", _ASSUMED), ("recalled", _RECALLED)):
            if (found := pattern.search(said)) is not None:
                yield Shown(SIGNALS[name], _around(said, found))
        if not acts and (found := _CONCLUDED.search(said)) is not None:
            yield Shown(SIGNALS["concluded"], _around(said, found))
        if not acts and not self._taken_up(n) and (found := _HANDED_OFF.search(said)) is not None:
            yield Shown(SIGNALS["handed_off"], _around(said, found))
        if self._repeats(n):
            yield Shown(SIGNALS["repeats"])

    def _failed(self, n: int) -> tuple[str, ...] | None:
        """The actions that failed; None where none did. Of code that no tool call stands for, the report tells."""
        step = self.steps[n]
        if step.actions or n + 1 >= len(self.steps) or not runnable(step.said):
            return tuple(a.tool_id for a in step.actions if a.status == "error") or None
        return () if tool_status(self.steps[n + 1].heard).status == "error" else None

    def _empty(self, n: int, step: Step) -> tuple[str, ...]:
        """The actions that brought nothing."""
        ids = tuple(action.tool_id for action in step.actions if action.is_empty)
        if ids or n + 1 >= len(self.steps) or not any(a.status in ("ok", "unknown") for a in step.actions):
            return ids
        report = _REPORT_HEAD.sub("", self.steps[n + 1].heard, count=1).strip()
        brought = len(report) <= 80 and (not report or _NOTHING.fullmatch(report) is not None)
        return tuple(action.tool_id for action in step.actions) if brought and self.steps[n + 1].heard else ()

    def _taken_up(self, n: int) -> bool:
        """Whether another agent acted next: then asking it was delegation, and right."""
        if n + 1 >= len(self.steps) or self.steps[n + 1].agent == self.steps[n].agent:
            return False
        return _acts(self.steps[n + 1]) or len(self.new[n + 1]) >= MANY_FIGURES

    def _repeats(self, n: int) -> bool:
        own = self.words[n]
        return bool(own) and any(
            len(own & other) > SAME * len(own | other) for other in self.words[max(0, n - MAX_EARLIER) : n] if other
        )

    def _origin(self) -> int | None:
        """The first step that had the figures of the final answer, in its words or in what its action brought."""
        last = next(
            (n for n in range(len(self.steps) - 1, -1, -1) if len(self.steps[n].said.strip()) >= FEW_CHARS), None
        )
        if last is None:
            return None
        stressed = ["".join(found) for found in _STRESSED.findall(self.steps[last].said)][-2:]
        key = set[str]().union(*(_numbers(part) for part in stressed)) or _numbers(without_code(self.steps[last].said))
        is_task = self.opens(0) and not _acts(self.steps[0])
        task = _numbers(self.steps[0].heard) | (self.numbers[0] if is_task else set())
        key = key - task or key
        for n, step in enumerate(self.steps if key else ()):
            if self.opens(n) and not _acts(step):
                continue
            has = set() if self.opens(n) else self.numbers[n]
            if _acts(step) and n + 1 < len(self.steps):
                has = has | _numbers(self.steps[n + 1].heard)
            if key <= has or (len(key) <= 2 and key & has):
                return n
        return None


def _acts(step: Step) -> bool:
    return bool(step.actions) or bool(runnable(step.said))


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in _NUMBER.findall(text)}


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _around(text: str, found: re.Match[str]) -> str:
    """The words around a match, on one line."""
    start = max(0, found.start() - WORDS_CHARS // 3)
    return " ".join(text[start : start + WORDS_CHARS].split())
