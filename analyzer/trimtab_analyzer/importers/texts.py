"""What is kept of the texts of an imported run, by the content mode.

In: texts of a file. Out: the same, without secrets, cut, or nothing. A module of its own because every way from a
file to records keeps texts, and must keep them as live capture does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trimtab_tracer.redact import redact

MAX_TEXT: Final = 200
"""Characters kept of a name, a rejection and a tool's error, as in live capture."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts under one content mode."""

    content: str
    """``off | redacted | full``."""

    def clean(self, text: str) -> str:
        """The text without secrets; as it is where the mode is ``full``."""
        return text if self.content == "full" else redact(text)

    def short(self, text: str | None) -> str | None:
        """The beginning of a text; None where nothing is to be kept."""
        if text is None or self.content == "off":
            return None
        # Cleaned before it is cut, so that no half of a secret slips through; the margin bounds the work.
        return self.clean(text[: 20 * MAX_TEXT])[:MAX_TEXT]
