"""Names for content: short digests that tell equal from different.

In: text, or any JSON value. Out: 16 hex digits, or the one text that equal JSON values share.

A module of its own because the hook, the parsers, the importers and the store must agree on it to the
byte: a tool call seen on the wire is joined to its observed run by the digest of its arguments.
A digest is no cipher: it has no salt, so whoever can guess a short text can check the guess.
Changing a rule here splits old records from new ones, so the results are pinned by a test.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(text: str | bytes) -> str:
    """First 16 hex digits of the SHA-256 of ``text`` (UTF-8; lone surrogates are replaced, never raised on)."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return hashlib.sha256(raw).hexdigest()[:16]


def canonical(value: Any) -> str:
    """The JSON text that equal values share: sorted keys, no spaces, ``1.0`` told from ``1``.

    Values that JSON does not know become their ``str``; a value nested too deep or into itself becomes its ``ascii``,
    so that a caller on the agent's path never sees an exception. The text always encodes as UTF-8.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        return text if is_utf8(text) else json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return ascii(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def is_utf8(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: JSON may hold lone surrogates, files and databases may not."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
