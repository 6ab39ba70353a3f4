"""Errors of the API as problem documents (RFC 9457): ``{type, title, status, detail}``.

In: whatever goes wrong while a request is answered. Out: a JSON answer whose ``detail`` is a sentence with the next
step. Our own errors are quoted; anything unexpected is logged by the server and answered without its text, which
may hold data. Apart from the routes so that every route, the gate and the framework's own refusals speak alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from trimtab_tracer.errors import TrimtabError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, *, kind: str = "about:blank", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer that says ``detail``."""
    body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Make ``app`` answer all its errors this way."""
    from fastapi.exceptions import RequestValidationError

    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]  # handlers are contravariant
    app.add_exception_handler(TrimtabError, _expected)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404 and detail == "Not Found":
        detail = f"There is nothing at {request.url.path}; /openapi.json lists what there is."
    return problem(error.status_code, detail, headers=error.headers)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    unknown = [e["loc"][-1] for e in error.errors() if e["type"] == "extra_forbidden" and e["loc"][0] == "query"]
    if unknown:
        known = ", ".join(_parameters(request)) or "none"
        names = ", ".join(repr(n) for n in unknown)
        detail = f"Unknown query parameter {names}; nothing was done. Known here: {known}."
        return problem(400, detail, kind="trimtab:unknown-parameter")
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    detail = f"{where!r} can't be used: {first['msg']} (got {str(first.get('input'))[:100]!r})."
    return problem(422, detail, kind="trimtab:invalid-value")


def _parameters(request: Request) -> list[str]:
    """Query parameters of the route that was asked, from the published document."""
    route: Any = request.scope["route"]
    operation = request.app.openapi()["paths"][route.path_format][request.method.lower()]
    return sorted(p["name"] for p in operation.get("parameters", []) if p["in"] == "query")


async def _expected(_: Request, error: Exception) -> JSONResponse:
    return problem(503, str(error), kind=f"trimtab:{type(error).__name__}")


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return problem(500, "Something failed inside the sidecar; its log has the details.")
