"""Secrets out of text, before anything touches the disk.

In: any text: prose, code, shell output, JSON (also JSON inside JSON strings), URLs. Out: the same text with
secrets replaced by ``[REDACTED]``; JSON stays valid JSON.

A module of its own because three writers need it (call content, source lines, URLs) and because it is the promise
that a user checks first. Two families are found: tokens that betray themselves by their beginning (``sk-``, ``AKIA``,
JWT, PEM …), and values that follow a telling name (``api_key=``, ``"password":``, ``?key=``). Personal data is none of
its business. Linear in the length of the text, in slices between which other threads run: about 4 ms for 500 kB. What
no rule knows goes through: set content to ``off`` where that is too little.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import cache, lru_cache

from .patterns import lazy_pattern

MARK = "[REDACTED]"
"""What stands where a secret stood; no rule matches it in a way that changes it."""

# Beginning of a token → what follows it: runs of characters without alternatives inside, so nothing is scanned twice.
_TAILS = {
    "sk-": r"[A-Za-z0-9_-]{16,}+",
    "sk_live_": r"[A-Za-z0-9]{10,}+",
    "sk_test_": r"[A-Za-z0-9]{10,}+",
    "rk_live_": r"[A-Za-z0-9]{10,}+",
    "whsec_": r"[A-Za-z0-9]{16,}+",
    "AIza": r"[A-Za-z0-9_-]{30,}+",
    "ya29.": r"[A-Za-z0-9_-]{20,}+",
    "GOCSPX-": r"[A-Za-z0-9_-]{20,}+",
    "ghp_": r"[A-Za-z0-9]{20,}+",
    "gho_": r"[A-Za-z0-9]{20,}+",
    "ghu_": r"[A-Za-z0-9]{20,}+",
    "ghs_": r"[A-Za-z0-9]{20,}+",
    "ghr_": r"[A-Za-z0-9]{20,}+",
    "github_pat_": r"[A-Za-z0-9_]{20,}+",
    "glpat-": r"[A-Za-z0-9_-]{16,}+",
    "xox": r"[abeoprs]-[A-Za-z0-9-]{8,}+",
    "xapp-": r"[A-Za-z0-9-]{16,}+",
    "AKIA": r"[A-Z0-9]{16}(?![A-Za-z0-9])",
    "ASIA": r"[A-Z0-9]{16}(?![A-Za-z0-9])",
    "hf_": r"[A-Za-z0-9]{20,}+",
    "gsk_": r"[A-Za-z0-9]{20,}+",
    "xai-": r"[A-Za-z0-9_-]{20,}+",
    "pplx-": r"[A-Za-z0-9]{20,}+",
    "nvapi-": r"[A-Za-z0-9_-]{20,}+",
    "tvly-": r"[A-Za-z0-9_-]{16,}+",
    "lsv2_": r"[A-Za-z0-9_]{20,}+",
    "npm_": r"[A-Za-z0-9]{20,}+",
    "pypi-": r"[A-Za-z0-9_-]{32,}+",
    "SG.": r"[A-Za-z0-9_-]{16,64}+\.[A-Za-z0-9_-]{16,}+",
    "eyJ": r"[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]++){0,2}+",
}
_SHORT = {"xox": "x", "eyJ": "J"}
"""Beginnings of tokens that may be shorter than a long word, with their rarest letter."""
_LONG_WORD = 16
"""Every other token has a run of this many letters, digits, ``_`` and ``-``, which begins in it."""
_REACH = 5
"""Most characters of a token before its long word."""
_MAX_LONG_WORDS = 200
"""More long words than this are not looked at one by one."""
_WORD_BYTES = bytes(ord("a") if (chr(i).isalnum() and i < 128) or chr(i) in "_-" else ord(" ") for i in range(256))

_JWT = lazy_pattern(r"eyJ[^.]+\.eyJ[^.]+\.[^.]+")

# An escaped line end of a JSON string counts as body, quotes and other escapes end it.
_PEM = lazy_pattern(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s:,]|\\{1,8}[nrt]|-(?!-))*+"
    r"(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
)
_BEARER = lazy_pattern(r"([Bb]earer\s{1,4})([A-Za-z0-9._~+/=-]{16,}+)")
_USERINFO = lazy_pattern(r"[^\s/@\"'\\:?#<>]{0,256}:[^\s/\"'\\<>]{1,256}@")

# On lower-cased text, by a piece that several share. Plain words are searched instead of one pattern of alternatives:
# five times as fast.
_NAMES = {
    "cre": ("secret", "credential", "credentials"),
    "pass": ("password", "passwd", "passphrase"),
    "pwd": ("pwd",),
    "authorization": ("authorization",),
    "token": ("token",),
    "key": ("key",),
}
_KEYS = tuple(
    word + joint
    for word in ("api", "secret", "private", "access", "account", "signing", "encryption", "subscription")
    for joint in ("", "_", "-")
)
"""What makes a secret of a word that ends in ``key``."""
_QUERY_NAME = lazy_pattern(
    r"(?:x-(?:amz|goog)-(?:signature|credential|security-token)"
    r"|[a-z_-]{0,20}(?:api[_-]?key|token|secret|password|signature)|key|sig|auth)="
)
_QUERY_VALUE = lazy_pattern(r"[^&\s\"'\\#<>]++")
_QUOTED_NAME = lazy_pattern(r"(\\{0,8}[\"'])\s{0,8}[:=]\s{0,8}(\\{0,8}[\"'])")
_BARE_NAME = lazy_pattern(r"\s{0,8}[:=]\s{0,8}(\\{0,8}[\"'])?")
_SCHEME = lazy_pattern(r"(?:[Bb]asic|[Bb]earer|[Tt]oken|[Nn]egotiate)\s{1,4}")
_BARE_VALUE = lazy_pattern(r"[A-Za-z0-9_./+~%@!$^*=-]++")
_IN_DOUBLE = lazy_pattern(r"(?:[^\"\\\n]|\\[^\n])++")
_IN_ESCAPED = lazy_pattern(r"[^\"\\\n]++")
_IN_SINGLE = lazy_pattern(r"[^\"'\\\n]++")

# Services whose URLs are credentials. Group 1 stays.
_PATH_SECRETS = tuple(
    lazy_pattern(pattern)
    for pattern in (
        r"(/bot)[0-9]{5,}+(?::|%3[Aa])[A-Za-z0-9_-]{20,}+",  # Telegram: /bot<id>:<token>/sendMessage
        r"(/services/)T[A-Za-z0-9]++/[A-Za-z0-9]++/[A-Za-z0-9]++",  # Slack, incoming webhook
        r"(/(?:workflows|triggers)/)[TE][A-Z0-9]++(?:/[A-Za-z0-9]++){2,3}+",  # Slack, workflow
        r"(/webhooks/[0-9]{5,}+/)[A-Za-z0-9_.-]{8,}+",  # Discord
    )
)
_ORIGIN = lazy_pattern(r"(?:[A-Za-z][A-Za-z0-9+.-]*+://[^/?#]*+)?")
_PATH = lazy_pattern(r"[^?#]*+")
_SEGMENT = lazy_pattern(r"[^/]{20,}+")
_JOINTS = lazy_pattern(r"[-._:~@,;=+ ]|%[0-9A-Fa-f]{2}")
_WORDLIKE = lazy_pattern(
    r"(?:[A-Z]?[a-z]++){1,6}+[0-9]{0,8}|[A-Z]{0,12}[0-9]{0,3}|[a-z]{0,12}[0-9]{0,8}|[0-9]{1,8}[A-Za-z]{0,2}|[A-Z][0-9]{1,3}[A-Z]"
)
"""A piece of a name a person gave: a word or two and a number, an abbreviation, a size, a date."""

_AFTER_A_CLOSING_QUOTE = frozenset(",:]} \t\r\n")
"""What may follow the end of a JSON string: a quote before one of these may close instead of open."""


SLICE = 1 << 17
"""Characters searched at once, in about 0.1 ms: between two slices of a long text other threads may run."""

PAUSE_S = 20e-6
"""Long enough for a thread that waits to run to be woken; a shorter one only gives it the chance."""

WORK_S = 0.5e-3
"""Work between two pauses."""

_paused_at = 0.0


def redact(text: str) -> str:
    """``text`` with its secrets replaced by ``[REDACTED]``. Idempotent; valid JSON stays valid."""
    if ":" in text or "=" in text:
        text = _redact_named(text)
    if _find(text, "PRIVATE KEY") >= 0:
        text = _replaced(text, "-----BEGIN ", _PEM, lambda _: MARK)
    if "@" in text:
        text = _replaced(text, "://", _USERINFO, lambda _: f"{MARK}@", 3)
    for literal in _beginnings(text):
        text = _replaced(text, literal, _token(literal), _mark_token)
    return _replaced(text, "earer", _BEARER, _mark_bearer, -1)


@lru_cache(maxsize=1024)
def redact_name(name: str) -> str:
    """:func:`redact` for what is a name by its place and may be anything: a process says few, again and again."""
    return redact(name)


def _pause() -> None:
    """Let other threads run, if they had to wait for a while."""
    global _paused_at  # noqa: PLW0603 - of whichever thread: one that paused let all others run
    if time.perf_counter() - _paused_at > WORK_S:
        time.sleep(PAUSE_S)
        _paused_at = time.perf_counter()


def _find(text: str, piece: str, start: int = 0) -> int:
    """``text.find(piece, start)``, so that other threads wait for no more than a slice of it."""
    while len(text) - start > SLICE:
        at = text.find(piece, start, start + SLICE + len(piece) - 1)
        if at >= 0:
            return at
        start += SLICE
        _pause()
    return text.find(piece, start)


def _replaced(
    text: str, piece: str, pattern: re.Pattern[str], mark: Callable[[re.Match[str]], str], offset: int = 0
) -> str:
    """``pattern.sub(mark, text)`` for a pattern whose every match begins ``offset`` characters from a ``piece``."""
    at = _find(text, piece)
    if at < 0:
        return text
    pieces: list[str] = []
    done = 0
    while at >= 0:
        found = pattern.match(text, at + offset) if at + offset >= done else None
        if found is not None:
            pieces += (text[done : found.start()], mark(found))
            done = found.end()
        at = _find(text, piece, max(at + 1, done))
    pieces.append(text[done:])
    return "".join(pieces)


@cache
def _token(literal: str) -> re.Pattern[str]:
    return re.compile(re.escape(literal) + _TAILS[literal])


@cache
def _any_beginning() -> re.Pattern[str]:
    return re.compile("|".join(re.escape(literal) for literal in _TAILS if literal not in _SHORT))


def _beginnings(text: str) -> list[str]:
    """The beginnings of tokens that ``text`` may hold."""
    if len(text) <= SLICE:
        found = _beginnings_in(text)
    else:
        found = set()
        for at in range(0, len(text), SLICE):
            found |= _beginnings_in(text[at : at + SLICE + 2 * _LONG_WORD])
            _pause()
    return [literal for literal in _TAILS if literal in found] if found else []


def _beginnings_in(text: str) -> set[str]:
    """The same for one slice, told by its long words: most texts have few, and most of those begin no token."""
    # A search for one rare letter runs at memory speed, and tells for most texts.
    found = {literal for literal, letter in _SHORT.items() if letter in text and literal in text}
    words = text.encode("latin-1", "replace").translate(_WORD_BYTES)  # positions stay
    long_word = b"a" * _LONG_WORD
    at = words.find(long_word)
    for _ in range(_MAX_LONG_WORDS):
        if at < 0:
            return found
        start = max(0, words.rfind(b" ", 0, at) + 1 - _REACH)
        end = words.find(b" ", at)
        end = len(words) if end < 0 else end
        found.update(_any_beginning().findall(text, start, end))
        at = words.find(long_word, end)
    return {literal for literal in _TAILS if literal in text}


@lru_cache(maxsize=1024)
def redact_url(url: str) -> str:
    """``url`` (or its path alone) with its secrets masked: what :func:`redact` finds, and those in the path.

    In the path a secret is what well-known services put there (Telegram's bot token, the webhooks of Slack and
    Discord), and any segment of 20 characters or more that has digits and letters of both cases and does not read as
    words (``Llama-3.3-70B-Instruct`` does). Everything else of the path stays readable.
    """
    url = redact(url)
    start = _ORIGIN.match(url).end()  # type: ignore[union-attr]  # it matches the empty text, too
    end = _PATH.match(url, start).end()  # type: ignore[union-attr]
    path = url[start:end]
    for pattern in _PATH_SECRETS:
        path = pattern.sub(rf"\g<1>{MARK}", path)
    return url[:start] + _SEGMENT.sub(_mark_segment, path) + url[end:]


def redact_value(name: str, value: str | float | None) -> str | float | None:
    """A value that is called ``name``, as if both stood in one text: all of it goes where the name tells of a secret.

    Numbers and None stay what they are, unless the number itself is the secret (``pin_password=12345678``).
    """
    if not isinstance(value, str):
        text = f"{name}={value}"
        return value if isinstance(value, bool) or value is None or redact(text) == text else MARK
    masked: dict[str, str] = json.loads(redact(json.dumps({name: value}, ensure_ascii=False)))
    return redact(next(iter(masked.values())))


def _mark_segment(found: re.Match[str]) -> str:
    segment = found[0]
    is_mixed = any(c.isdecimal() for c in segment) and segment != segment.lower() and segment != segment.upper()
    is_read = all(_WORDLIKE.fullmatch(piece) for piece in _JOINTS.split(segment))
    return MARK if is_mixed and not is_read else segment


def _mark_token(found: re.Match[str]) -> str:
    """The mark, unless the match is the tail of a longer word or has no digit (``risk-assessment-of-the-…``)."""
    text, start = found.string, found.start()
    before = text[start - 1] if start else " "
    is_word = before.isalnum() or before in "_-"
    if is_word and not (before in "nrtbf" and start > 1 and text[start - 2] == "\\"):
        return found[0]
    if found[0].startswith("eyJ"):
        # Checked here, for a pattern that failed at its end would scan a run of beginnings once for each of them.
        return MARK if _JWT.fullmatch(found[0]) else found[0]
    return MARK if any(c.isdecimal() for c in found[0]) else found[0]


def _mark_bearer(found: re.Match[str]) -> str:
    is_secret = len(found[2]) >= 32 or any(c.isdecimal() for c in found[2])
    return found[1] + MARK if is_secret else found[0]


class _Runs:
    """Ends of runs of one pattern's characters, each run scanned once however many names point into it."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._pattern, self._text = pattern, text
        self._start = self._end = self._last_digit = -1

    def end(self, start: int) -> int:
        """Where the run that ``start`` lies in ends; ``start`` itself where there is none."""
        if not self._start <= start < self._end:
            found = self._pattern.match(self._text, start)
            if found is None:
                return start
            self._start, self._end = found.span()
            self._last_digit = max(self._text.rfind(d, start, self._end) for d in "0123456789")
        return self._end

    def has_digit(self, start: int) -> bool:
        """Whether the run that :meth:`end` was last asked about has a digit from ``start`` on."""
        return self._last_digit >= start


def _redact_named(text: str) -> str:
    """Values that follow a telling name: found by name first, for names are rare and a look behind them is short."""
    low = _lowered(text)
    spans: list[tuple[int, int]] = []
    bare = _Runs(_BARE_VALUE, text)
    for shared, names in _NAMES.items():
        for name in names if _find(low, shared) >= 0 else ():
            end = 0
            while (at := _find(low, name, end)) >= 0:
                end = at + len(name)
                if name == "key":
                    if not low.endswith(_KEYS, 0, at):
                        continue
                    end += 3 if low.startswith(("_id", "-id"), end) else 0
                if (span := _value_span(text, end, name, bare)) is not None:
                    spans.append(span)
    values = _Runs(_QUERY_VALUE, text)
    for joint in ("?", "&", "\\u0026") if "\\" in low else ("?", "&"):
        at = _find(low, joint)
        while at >= 0:
            query = _QUERY_NAME.match(low, at + len(joint))
            if query is not None and (end := values.end(query.end())) > query.end():
                spans.append((query.end(), end))
            at = _find(low, joint, at + 1)
    if not spans:
        return text
    pieces: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start >= at:
            pieces += (text[at:start], MARK)
        at = max(at, end)  # what overlaps the one before goes with it
    pieces.append(text[at:])
    return "".join(pieces)


def _lowered(text: str) -> str:
    """``text`` in lower case, every position kept."""
    if len(text) > SLICE:
        return "".join([_lowered(text[at : at + SLICE]) for at in range(0, len(text), SLICE)])
    low = text.lower()
    if len(low) != len(text):  # a few letters lower to two
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return low


def _value_span(text: str, end: int, name: str, runs: _Runs) -> tuple[int, int] | None:
    """Start and end of the secret that follows a name ending at ``end``, or None."""
    quoted = _QUOTED_NAME.match(text, end)
    if quoted is not None:
        closing, opening, start = quoted[1], quoted[2], quoted.end()
        # Only a JSON key may be followed by a plain quote that surely opens.
        if opening == '"' and closing != '"' and _may_close(text, start):
            return None
    else:
        bare = _BARE_NAME.match(text, end)
        if bare is None:
            return None
        opening, start = bare[1] or "", bare.end()
        if opening == '"' and _may_close(text, start):
            return None
    if not opening:
        return _bare_span(text, start, name, runs)
    inside = _IN_DOUBLE if opening == '"' else _IN_ESCAPED if opening.endswith('"') else _IN_SINGLE
    value = inside.match(text, start)
    if value is None or (name == "token" and not _is_random(value[0])):
        return None
    return value.span()


def _bare_span(text: str, start: int, name: str, runs: _Runs) -> tuple[int, int] | None:
    scheme = _SCHEME.match(text, start) if name == "authorization" else None
    start = scheme.end() if scheme else start
    end = runs.end(start)
    # Without a digit it is code: `password: str`, `api_key = settings.key`. After a scheme it is a credential.
    if end - start < (16 if name == "token" else 6) or not (scheme or runs.has_digit(start)):
        return None
    return start, end


def _may_close(text: str, after: int) -> bool:
    return after >= len(text) or text[after] in _AFTER_A_CLOSING_QUOTE


def _is_random(value: str) -> bool:
    """Whether a value that a plain ``token`` names looks like a secret: log probabilities name words so, too."""
    return len(value) >= 16 and " " not in value and any(c.isdecimal() for c in value)
