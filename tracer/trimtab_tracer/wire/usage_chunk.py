"""Takes what ``stream_options.include_usage`` adds to an OpenAI-format stream out of it again. Sans-IO.

In: the bytes of a stream that was asked for its usage, in chunks cut anywhere. Out: the bytes that would have come
without the question: the chunk that holds the usage and no choices is gone, and so is the ``"usage":null`` that the
option puts into all other chunks; everything else passes as it is. A module of its own because it stands between a
provider and an agent: it must hold for every stream, and is tested without a network.

Only a server-sent event is held back until its end has come; other bodies pass at once. Should anything here fail, the
rest of the stream passes as it came, and the agent sees a chunk more, as the format allows.
"""

from __future__ import annotations

import json
import re

from ..guard import guarded

MAX_HELD_BYTES = 65_536
"""Most of an event that is held back; one that is longer tells no usage."""

_END = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
"""An event ends at an empty line."""
_NULL = re.compile(rb'\s*,\s*"usage"\s*:\s*null(?=\s*[,}])')
_DATA = re.compile(rb"^data: ?(.*)$", re.MULTILINE)


class UsageFilter:
    """One stream."""

    def __init__(self) -> None:
        self._held = b""
        self._is_off = False

    def feed(self, data: bytes) -> bytes:
        """What of the stream up to and with ``data`` is to be handed on now; may be empty."""
        if self._is_off:
            return data
        held = self._held + data
        passed = self._pass(held)
        if passed is None:
            self._is_off, self._held = True, b""
            return held
        return passed

    def rest(self) -> bytes:
        """What is held back still, for the stream has come to its end, good or bad."""
        rest, self._held = self._held, b""
        return rest

    @guarded()
    def _pass(self, held: bytes) -> bytes | None:
        passed, at = [], 0
        while at < len(held):
            if held[at] in b"\r\n":  # an empty line, or the second half of one that two chunks cut
                passed.append(held[at : at + 1])
                at += 1
                continue
            end = _END.search(held, at)
            if end is None:
                break
            passed.append(without_usage(held[at : end.end()]))
            at = end.end()
        self._held = held[at:]
        if self._held[:1] in (b"{", b"[") or len(self._held) > MAX_HELD_BYTES:  # a body that is no stream
            passed.append(self.rest())
        return b"".join(passed)


def without_usage(event: bytes) -> bytes:
    """One event as it would be without the option: itself, without its ``"usage":null``, or nothing."""
    if b'"usage"' not in event or b'"choices"' not in event:
        return event
    try:
        chunk = json.loads(b"\n".join(_DATA.findall(event.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))))
    except (ValueError, RecursionError):
        return event
    if not isinstance(chunk, dict) or "usage" not in chunk:
        return event
    if chunk["usage"] is None:
        found = _NULL.findall(event)
        return event.replace(found[0], b"", 1) if len(found) == 1 else event
    return b"" if chunk.get("choices") == [] and isinstance(chunk["usage"], dict) else event


def whole_without_usage(body: bytes) -> bytes:
    """A stream that was read to its end, as it would be without the option."""
    stream = UsageFilter()
    return stream.feed(body) + stream.rest()
