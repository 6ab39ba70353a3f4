"""Fenced code in an answer that is meant to be run.

In: the text of an answer. Out: its runnable blocks, and the text without them. A module of its own because the
importers (a block is what an agent asked a machine to do) and the signals of blame (words and code are judged apart)
must agree on it. A block in a language that is only shown (JSON, Markdown, an unknown word) is no code; an unclosed
fence runs to the end of the text, for models that are cut leave those behind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

RUNNABLE: Final = frozenset(
    {"", "python", "python3", "py", "sh", "bash", "shell", "zsh", "console", "powershell", "javascript", "js"}
    | {"typescript", "ts", "sql", "r", "ruby", "perl", "tool_code"}
)
"""Languages of a fence whose text a harness may run; none at all is the commonest one."""

_FENCE: Final = re.compile(r"^[ \t]*```[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    """In lower case; ``code`` where the fence names none."""
    text: str


def runnable(text: str) -> tuple[Block, ...]:
    """The blocks of ``text`` that a machine may run, in their order."""
    found = ((language.lower(), body.strip()) for language, body in _FENCE.findall(text))
    return tuple(Block(language or "code", body) for language, body in found if language in RUNNABLE and body)


def without_code(text: str) -> str:
    """``text`` without its fenced blocks, runnable or not."""
    return _FENCE.sub("\n", text) if "```" in text else text
