"""How values read on a page: the report's words, and what Markdown needs on top.

In: plain values. Out: short texts. Pages show texts that models, providers and tools wrote. In Markdown these could
become links, images or headings, so everything that we did not write ourselves goes through :func:`md` or :func:`code`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from trimtab_analyzer.report.words import cost_of as cost_of
from trimtab_analyzer.report.words import duration as duration
from trimtab_analyzer.report.words import listing as listing
from trimtab_analyzer.report.words import period as period
from trimtab_analyzer.report.words import share as share
from trimtab_analyzer.report.words import usd as usd
from trimtab_analyzer.report.words import usd_fine as usd_fine
from trimtab_analyzer.report.words import usd_parts as usd_parts
from trimtab_analyzer.report.words import when as when
from trimtab_analyzer.statistics import wilson
from trimtab_analyzer.wording import count as count
from trimtab_analyzer.wording import seconds as seconds

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^@/&=\"'])")
_BREAKS = re.compile(r"\s+")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, those that turn the direction of what follows, and halves of pairs, which no page can carry."""

_ADDRESS = re.compile(r"(?i)(?<=http)(?=s?://)|(?<=www)(?=\.)|(?<=[\w.+-])(?=@\w)")
"""Where Streamlit would see the beginning of a link in plain text."""
_JOINER = "\u2060"
"""Takes no room, and parts what it stands between for Streamlit."""


def visible(text: object) -> str:
    """``text`` with what nobody would see, or what makes others unseen, as a sign: an escape as ``␛``, a turned
    direction as ``⟨U+202E⟩``. Line breaks and tabs stay; letters that are written from right to left do, too."""
    return _UNSEEN.sub(_sign, str(text).replace("\r\n", "\n"))


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def md(text: object) -> str:
    """``text`` as Markdown that shows exactly it, on one line; an address in it is no link."""
    return _SPECIAL.sub(r"\\\1", _ADDRESS.sub(_JOINER, visible(_BREAKS.sub(" ", str(text)).strip())))


def code(text: object) -> str:
    """``text`` as inline code, whatever it holds."""
    plain = visible(_BREAKS.sub(" ", str(text)).strip()).replace(":material/", f":{_JOINER}material/") or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    pad = " " if plain[0] == "`" or plain[-1] == "`" else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def value(of: Any) -> str:
    """A knob's value: text as it is, the rest as JSON, ``not set`` for none."""
    if of is None:
        return "not set"
    return of if isinstance(of, str) else json.dumps(of, ensure_ascii=False)


def place(row: Any) -> str:
    """``agent.py:63, in main``; the harness alone for an imported run."""
    if row is None or row.get("file") is None:
        return "place not known"
    inside = "" if row["function"] in ("<module>", None) else f", in {row['function']}"
    return f"{row['file']}:{row['line']}{inside}" if (row["line"] or 0) > 0 else f"{row['file']}{inside}"


def share_of(k: int, n: int) -> str:
    """``6 of 8 (75 %; 95 % interval 41–93 %)``; Wilson's interval."""
    if n == 0:
        return "none of 0"
    return f"{k:,} of {n:,} ({share(k, n)}; 95 % interval {wilson(k, n)})"


def ago(ns: int | None, now_ns: int) -> str:
    """``just now``, ``5 min ago``, ``3 h ago``, ``2 days ago``; empty where there is no time."""
    if ns is None:
        return ""
    minutes = max(0, now_ns - ns) / 60e9
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes:.0f} min ago"
    return f"{minutes / 60:.0f} h ago" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days ago"


def kept(text: str | None, limit: int) -> str:
    """``text`` cut at ``limit`` characters, saying so, with its unseen characters as signs."""
    shown = text or ""
    left = len(shown) - limit
    return visible(shown) if left <= 0 else f"{visible(shown[:limit])}\n… ({left:,} more characters)"
