"""Writes a program once for sync and async clients: the same coroutine is driven by hand, or by an event loop.

With a sync client nothing in the coroutine ever waits, so :func:`drive` runs it to its end in one step, without any
loop: the client is called from plain synchronous frames.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a program over a sync client waited for something")


async def got(value: Any) -> Any:
    """The value, or what it comes to."""
    return await value if inspect.isawaitable(value) else value


async def gather_into(items: list[Any], source: Any, limit: int | None = None) -> list[Any]:
    """Append what ``source`` brings to ``items``, which keeps what came before an exception; stop after ``limit``."""
    if hasattr(source, "__aiter__"):
        async for item in source:
            items.append(item)
            if len(items) == limit:
                break
    else:
        for item in source:
            items.append(item)
            if len(items) == limit:
                break
    return items


async def close(thing: Any) -> None:
    """Close a client or an SDK's stream of either kind."""
    await got(thing.close() if hasattr(thing, "close") else thing.aclose())


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    """Enter a context manager of either kind."""
    if hasattr(manager, "__aenter__"):
        async with manager as thing:
            yield thing
    else:
        with manager as thing:
            yield thing
