"""Ways to call a provider without an SDK, with httpx or httpx2 and a retry loop of the program's own.

The ways are as in :mod:`sdk_ways`; the requests are OpenAI's chat completions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from cases import Case
from either import entered, gather_into, got
from sdk_ways import QUESTION, TAKEN
from seeing import response_seen

PATH = "/v1/chat/completions"


def asked(case: Case, model: str) -> dict[str, Any]:
    """The body of a request."""
    messages = [{"role": "user", "content": QUESTION}]
    return {
        "model": model,
        "messages": messages,
        "max_tokens": 900,
        "stream": case.streams,
        "odd": [1.0, None, "\u2028"],
    }


async def plain(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A request that is repeated while it is refused."""
    for attempt in range(case.retries + 1):
        try:
            response = await got(client.post(PATH, json=asked(case, model)))
        except _module(client).TransportError:
            if attempt == case.retries:
                raise
            continue
        parts.append(response_seen(response))
        if response.status_code < 429 or attempt == case.retries:
            response.raise_for_status()
            return response.text
    return None


async def stream(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream, line by line."""
    async with entered(client.stream("POST", PATH, json=asked(case, model))) as response:
        parts.append(response_seen(response))
        await gather_into(parts, response.aiter_lines() if case.is_async else response.iter_lines())
    return response_seen(response)


async def raw_stream(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that was sent by hand; its chunks where they do not depend on the network, else its bytes."""
    request = client.build_request("POST", PATH, json=asked(case, model))
    response = await got(client.send(request, stream=True))
    chunks: list[bytes] = []
    try:
        await gather_into(chunks, response.aiter_raw() if case.is_async else response.iter_raw())
    finally:
        parts += chunks if case.client == "slicing" and not case.gzip else [b"".join(chunks)]
        await (response.aclose() if case.is_async else got(response.close()))
    return response_seen(response), response.request is request


async def left(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that is left after its first lines."""
    async with entered(client.stream("POST", PATH, json=asked(case, model))) as response:
        await gather_into(parts, response.aiter_lines() if case.is_async else response.iter_lines(), TAKEN)
    return response_seen(response, is_left=True)


async def unread(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that is closed unread."""
    async with entered(client.stream("POST", PATH, json=asked(case, model))) as response:
        parts.append(response_seen(response, is_left=True))
    return response_seen(response, is_left=True)


async def cancel(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream whose task is cancelled while it waits for more."""
    is_going = asyncio.Event()

    async def read() -> None:
        async with client.stream("POST", PATH, json=asked(case, model)) as response:
            async for line in response.aiter_lines():
                if len(parts) < TAKEN:
                    parts.append(line)
                if len(parts) == TAKEN:
                    is_going.set()

    reading = asyncio.create_task(read())
    going = asyncio.create_task(is_going.wait())
    await asyncio.wait({reading, going}, return_when=asyncio.FIRST_COMPLETED)
    going.cancel()
    reading.cancel()
    await reading


async def generator(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A body that can be sent only once."""
    body = json.dumps(asked(case, model)).encode()

    async def pieces_async() -> AsyncIterator[bytes]:
        yield body[:9]
        yield body[9:]

    content = pieces_async() if case.is_async else iter((body[:9], body[9:]))
    response = await got(client.post(PATH, content=content))
    return response_seen(response), response.text


async def auth(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A client that logs in again where it is refused, within one ``send``."""

    class Login(_module(client).Auth):
        def auth_flow(self, request: Any) -> Any:
            request.headers["x-login"] = "first"
            response = yield request
            parts.append(response.status_code)
            if response.status_code in (401, 403):
                request.headers["x-login"] = "second"
                yield request

    response = await got(client.post(PATH, json=asked(case, model), auth=Login()))
    return response_seen(response), response.text


async def listing(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A request that asks no model."""
    response = await got(client.get("/v1/models", headers={"x-odd": "ä".encode()}))
    return response_seen(response), response.text


def _module(client: Any) -> Any:
    import httpx
    import httpx2

    return httpx2 if isinstance(client, (httpx2.Client, httpx2.AsyncClient)) else httpx


WAYS: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "stream": stream,
    "raw stream": raw_stream,
    "break": left,
    "unread": unread,
    "cancel": cancel,
    "generator": generator,
    "auth": auth,
    "listing": listing,
}
