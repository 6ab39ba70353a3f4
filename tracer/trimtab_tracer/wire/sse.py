"""Server-sent events: bytes of a ``text/event-stream`` body cut into events.

In: body bytes, whole or in chunks cut anywhere. Out: :class:`ServerSentEvent`, in order. A module of its
own because every streaming provider but Ollama speaks it. Follows the WHATWG rules for line ends (CR, LF,
CRLF), comments and multi-line data; unlike them it also yields the event that a cut stream leaves without its blank
line, because what arrived was paid for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..shapes import value_class


@value_class
class ServerSentEvent:
    """One event: its type (None for the default) and its data lines joined by newlines."""

    event: str | None
    data: str


def parse(chunks: bytes | Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events of a body. Invalid UTF-8 is replaced; fields other than ``event`` and ``data`` are left out."""
    body = chunks if isinstance(chunks, bytes) else b"".join(chunks)
    event: str | None = None
    data: list[str] = []
    # Lines end in CR, LF or CRLF only; str.splitlines would also cut at U+2028, which JSON text may hold.
    for raw in body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if not raw:
            if data:
                yield ServerSentEvent(event, "\n".join(data))
            event, data = None, []
            continue
        name, _, value = raw.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    if data:
        yield ServerSentEvent(event, "\n".join(data))


def has_line(chunk: bytes, starts: tuple[bytes, ...]) -> bool:
    """Whether a line of ``chunk`` begins with one of ``starts``: a stream's terminal event, seen without parsing.

    Runs on the caller's path for every chunk. The text of a message can't begin a line, for JSON escapes line ends; a
    marker that two chunks cut in half is not seen.
    """
    return any(chunk.startswith(s) or b"\n" + s in chunk for s in starts)
