"""Newline-delimited JSON: Ollama's streams cut into the same events as server-sent ones.

In: body bytes. Out: one :class:`~.sse.ServerSentEvent` per non-empty line, a cut last line included. A module of its
own so that a format's ``fold`` sees events and never asks which framing they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .sse import ServerSentEvent


def parse(chunks: bytes | Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The lines of a body as events without a type."""
    body = chunks if isinstance(chunks, bytes) else b"".join(chunks)
    for line in body.split(b"\n"):
        if text := line.strip():
            yield ServerSentEvent(None, text.decode("utf-8", "replace"))
