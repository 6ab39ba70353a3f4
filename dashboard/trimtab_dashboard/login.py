"""Signing in and out: the one-time link, the form, and the way out.

In: a code or the home's token with a name, which the sidecar checks. Out: a session with its cookie, or a page that
says in one sentence why not. The pages are plain HTML of their own, because nothing of Streamlit is served to someone
who is not signed in. A sidecar that does not answer is said on the page; a code is used up even if the browser is lost
then.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from trimtab_tracer.errors import SidecarError

from . import login_pages, strings
from .guard import LOGIN
from .sessions import Sessions

LOGOUT = "/logout"
"""Where people sign out."""
MAX_FORM_BYTES = 4096
"""A form is a token and a name; more is not read."""


class Redeemer(Protocol):
    """Who vouches for people: the sidecar's API."""

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The decoded answer."""
        ...


def routes(sessions: Sessions, sidecar: Redeemer, cookie: str) -> list[Route]:
    """The routes of this module.

    Args:
        sessions: Where a session is opened and closed.
        sidecar: Checks codes and tokens.
        cookie: Name of the session's cookie.
    """

    async def show(request: Request) -> Response:
        code = request.query_params.get("code")
        following = local_path(request.query_params.get("next"))
        if code is None:
            return _page(following)
        return await enter({"code": code}, following)

    async def submit(request: Request) -> Response:
        form = await _form(request)
        following = local_path(form.get("next"))
        name, token = form.get("name", "").strip(), form.get("token", "").strip()
        if not name or not token:
            return _page(following, strings.LOGIN_INCOMPLETE, name, status=422)
        return await enter({"token": token, "name": name}, following)

    async def enter(proof: dict[str, str], following: str) -> Response:
        try:
            vouched = await run_in_threadpool(sidecar.post, "/v1/sessions", proof)
        except SidecarError as error:
            status, sentence = strings.login_refused(error, is_code="code" in proof)
            return _page(following, sentence, proof.get("name", ""), status=status)
        response = _entered(following)
        response.set_cookie(cookie, sessions.open(vouched["name"]), httponly=True, samesite="strict", path="/")
        return response

    async def leave(request: Request) -> Response:
        sessions.close(request.cookies.get(cookie))
        response = _page("/", strings.SIGNED_OUT)
        response.delete_cookie(cookie, path="/", httponly=True, samesite="strict")
        return response

    return [
        Route(LOGIN, show, methods=["GET"]),
        Route(LOGIN, submit, methods=["POST"]),
        Route(LOGOUT, leave, methods=["GET"]),
    ]


def local_path(wanted: str | None) -> str:
    """``wanted`` if it is a path of this dashboard, else its start: a link may not lead elsewhere after signing in."""
    if not wanted or not wanted.startswith("/") or wanted.startswith("//") or not wanted.isprintable():
        return "/"
    parts = urlsplit(wanted.replace("\\", "/"))
    is_ours = not parts.scheme and not parts.netloc and not parts.path.startswith(("//", LOGIN, LOGOUT))
    return wanted if is_ours and "\\" not in wanted else "/"


async def _form(request: Request) -> dict[str, str]:
    """Fields of a small form; none of one that is too large."""
    if int(request.headers.get("content-length") or MAX_FORM_BYTES + 1) > MAX_FORM_BYTES:
        return {}
    async with request.form(max_files=0, max_fields=8) as form:
        return {key: value for key, value in form.items() if isinstance(value, str)}


def _page(following: str, sentence: str = "", name: str = "", *, status: int = 200) -> HTMLResponse:
    return HTMLResponse(login_pages.login(following, sentence, name), status, {"cache-control": "no-store"})


def _entered(following: str) -> HTMLResponse:
    """Leads on from a page of our own: after a redirect the browser would not yet send a cookie of ``SameSite=Strict``
    if the link was opened from another site, such as a chat."""
    return HTMLResponse(login_pages.entered(following), headers={"cache-control": "no-store"})
