"""Streams of httpx and httpx2 that keep from the caller what only we asked for.

A tee (:mod:`.tees`) notes a stream as it came; what stands here hands on what is left of it by
:mod:`..wire.usage_chunk`. Such a request asks for an answer that is not compressed. A server that sends gzip all the
same has it undone here, and where that fails the caller gets the library's own error; with other encodings the stream
passes with its chunk more, as the format allows.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from ..wire.usage_chunk import UsageFilter


def strip(response: Any, tee: Any, capture: Any) -> None:
    """Give ``response`` a stream of the kind ``tee`` that is captured whole and read without what we asked for."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        response.stream = tee(response.stream, capture)
        return
    response.stream = tee.stripped(response.stream, capture)
    if encoding == "gzip":
        response.stream.undo = _gunzip(tee.decoding_error)
        response.headers = response.headers.copy()  # those that the capture has tell what came
        del response.headers["content-encoding"]


def _gunzip(decoding_error: type[Exception]) -> Callable[[bytes], bytes]:
    """Undoes gzip, chunk by chunk."""
    undo = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress

    def gunzip(data: bytes) -> bytes:
        try:
            return undo(data)
        except zlib.error as error:
            raise decoding_error(str(error)) from error

    return gunzip


def sync_stripped(tee: Any) -> type:
    """The kind of ``tee`` that strips."""

    class Stripped(tee):  # type: ignore[misc]
        """Passes on what the agent asked for."""

        undo: Callable[[bytes], bytes] = bytes

        def __iter__(self) -> Iterator[bytes]:
            stream = UsageFilter()
            try:
                for chunk in super().__iter__():
                    if passed := stream.feed(self.undo(chunk)):
                        yield passed
            except Exception:
                if rest := stream.rest():  # came before what broke
                    yield rest
                raise
            if rest := stream.rest():
                yield rest

    return Stripped


def async_stripped(tee: Any) -> type:
    """The same, awaited."""

    class Stripped(tee):  # type: ignore[misc]
        """Passes on what the agent asked for."""

        undo: Callable[[bytes], bytes] = bytes

        async def __aiter__(self) -> AsyncIterator[bytes]:
            stream = UsageFilter()
            inner = super().__aiter__()
            try:
                async for chunk in inner:
                    if passed := stream.feed(self.undo(chunk)):
                        yield passed
            except Exception:
                if rest := stream.rest():
                    yield rest
                raise
            finally:
                # Without this an abandoned stream would keep its connection until the garbage collector comes.
                await inner.aclose()
            if rest := stream.rest():
                yield rest

    return Stripped
