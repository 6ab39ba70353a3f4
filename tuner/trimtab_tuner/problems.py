"""Errors of the API as problem documents (RFC 9457): ``{type, title, status, detail}``.

In: whatever goes wrong while a request is answered. Out: a JSON answer whose ``detail`` is a sentence with the next
step. Our own errors are quoted; anything unexpected is logged by the server and answered without its text, which
may hold data. A parameter or field that nobody knows is told before a value that can't be used, with the names of those
that are known. Apart from the routes so that every route, the gate and the framework's own refusals speak alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from trimtab_tracer.errors import TrimtabError, near

from .control.errors import ControlError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request

MEDIA_TYPE = "application/problem+json"
SHOWN_CHARS = 100
"""What a sentence shows of a name or a value."""
SHOWN_NAMES = 8
"""How many unknown names a sentence lists."""


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
    app.add_exception_handler(ControlError, _not_decided)
    app.add_exception_handler(TrimtabError, _expected)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404 and detail == "Not Found":
        detail = f"There is nothing at {request.url.path}; /openapi.json lists what there is."
    return problem(error.status_code, detail, headers=error.headers)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    found = error.errors()
    for kind, part in (("parameter", "query"), ("field", "body")):
        unknown = [e["loc"] for e in found if e["type"] == "extra_forbidden" and e["loc"][0] == part]
        if unknown:
            inside = unknown[0][1:-1]
            known = _parameters(request) if kind == "parameter" else _fields(request, inside)
            return problem(400, _unknown(kind, unknown, known), kind=f"trimtab:unknown-{kind}")
    first = found[0]
    where = _place(first["loc"][1:]) or str(first["loc"][0])
    given = first.get("input")
    # What is wrong as a whole is not shown: it may hold a token.
    seen = f" (got {str(given)[:SHOWN_CHARS]!r})" if isinstance(given, str | int | float) else ""
    why = first["msg"].removeprefix("Value error, ")  # pydantic's own words before a sentence of ours
    return problem(422, f"{where!r} can't be used: {why}{seen}.", kind="trimtab:invalid-value")


def _unknown(kind: str, places: Sequence[Sequence[int | str]], known: Sequence[str]) -> str:
    names = ", ".join(repr(_place(place[1:])[:SHOWN_CHARS]) for place in places[:SHOWN_NAMES])
    what = "query parameter" if kind == "parameter" else "field"
    guess = near(str(places[0][-1])[:SHOWN_CHARS], known)
    return f"Unknown {what} {names}; nothing was done.{guess} Known here: {', '.join(known) or 'none'}."


def _place(loc: Sequence[int | str]) -> str:
    """The name of a parameter, or a place inside a body: ``rule.match.site``."""
    return ".".join(str(part) for part in loc)


def _parameters(request: Request) -> list[str]:
    """Query parameters of the route that was asked."""
    _, operation = _published(request)
    return sorted(p["name"] for p in operation.get("parameters", []) if p["in"] == "query")


def _fields(request: Request, inside: Sequence[int | str]) -> list[str]:
    """Fields of the object at ``inside`` of the body that the route takes."""
    schemas, operation = _published(request)
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = _resolved(schema, schemas)
    for part in inside:
        inner = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
        schema = _resolved(inner, schemas)
    return sorted(schema.get("properties", ()))


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema that ``schema`` refers to, if it only does that."""
    for one in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in one:
            found: dict[str, Any] = schemas[one["$ref"].rpartition("/")[2]]
            return found
    return schema


def _published(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Named schemas of the published document, and what it says of the route that was asked."""
    route: Any = request.scope["route"]
    document = request.app.openapi()
    return document["components"]["schemas"], document["paths"][route.path_format][request.method.lower()]


async def _not_decided(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ControlError)
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()  # NotThere → not-there
    return problem(error.status, str(error), kind=f"trimtab:{name}")


async def _expected(_: Request, error: Exception) -> JSONResponse:
    return problem(503, str(error), kind=f"trimtab:{type(error).__name__}")


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return problem(500, "Something failed inside the sidecar; its log has the details.")
