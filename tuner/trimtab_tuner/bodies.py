"""Bodies of requests that change something: one JSON object of bounded size, read strictly.

In: the bytes of a request. Out: the JSON object, which the models of :mod:`.control_models` check; or a problem
document, before anything was done. Refused is what ``json`` would let pass: a key given twice (which of the two was
meant?), NaN, nests deeper than any model. Apart from the routes so that none can forget it: :func:`.routing.router`
makes every route a :class:`BodyRoute`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy_json import read_object

MAX_BYTES = 1 << 20
"""Largest body of a request that changes something; imports have a bound of their own."""


async def bounded(request: Request, max_bytes: int, hint: str) -> bytes:
    """The request's body, refused as soon as it is larger than ``max_bytes``; ``hint`` says what to do then."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, f"The body is larger than {max_bytes} bytes; {hint}.")
    return bytes(body)


class _Strict(Request):
    """A request whose body is one JSON object."""

    _read: bytes | None = None

    async def body(self) -> bytes:
        if self._read is None:
            self._read = await bounded(self, MAX_BYTES, "nothing here needs more, and nothing was done")
            kind = self.headers.get("content-type", "(none)").partition(";")[0].strip().lower()
            if self._read and kind != "application/json":
                raise _no_json(f"its Content-Type is {kind[:80]!r}")
        return self._read

    async def json(self) -> Any:
        try:
            return read_object(await self.body(), MAX_BYTES)
        except PolicyError as error:
            raise _no_json(str(error).rstrip(".")) from None


class BodyRoute(APIRoute):
    """A route that reads its JSON body through :class:`_Strict`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given the strict request."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_Strict(request.scope, request.receive))

        return strict


def _no_json(why: str) -> HTTPException:
    return HTTPException(400, f"The body is not one JSON object sent as application/json: {why}. Nothing was done.")
