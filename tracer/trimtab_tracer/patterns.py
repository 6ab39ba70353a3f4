"""Regular expressions that cost nothing until they are needed.

In: a pattern. Out: what behaves like the compiled one and is compiled at its first use. A module of its own because
some eighty patterns stand behind the one line in an agent, compiling them takes tens of milliseconds of its start, and
most agents never meet the text that most of them are for.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Lazy:
    def __init__(self, pattern: str, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        # Asked for once per method: what is set here is found before this is called.
        method = getattr(re.compile(*self._given), name)
        setattr(self, name, method)
        return method


def lazy_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """The regular expression ``text``, compiled when a method of it is first asked for."""
    return cast("re.Pattern[str]", _Lazy(text, flags))
