"""Who may see the dashboard: every HTTP and WebSocket request passes here before Streamlit hears of it.

In: an ASGI application and the living sessions. Out: the same application, which only answers a browser that signed in,
that calls this machine by its own name, and whose page is ours; with the person's name in a header that no client can
send. The checks have one reason each: Host, because a page whose name was rebound to 127.0.0.1 carries its own name
there; Origin, because browsers send it with what other pages ask for (cookies do not tell ports apart, so another
local server's page counts as the same site); the cookie, because any local user can connect and prompts are private.

A WebSocket lives for hours, so its session is looked at with each message and when it has run out: signing out, or half
a day without a person, closes it. What a page asks for by itself while nobody is there does not count as a person.
Responses carry a policy under which the browser loads nothing from anywhere else, whatever text a page shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no types
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from streamlit.proto.BackMsg_pb2 import BackMsg

from . import strings
from .sessions import Session, Sessions

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGIN = "/login"
"""Where people sign in."""
OPEN = frozenset({LOGIN, "/_stcore/health"})
"""Paths that need no session; they hold no data."""
PERSON_HEADER = "x-trimtab-person"
"""The person's name, percent-encoded."""
SESSION_HEADER = "x-trimtab-session"
"""Which session: Streamlit resumes a page's state only for the same person in the same session."""
POLICY_VIOLATION = 1008
"""Close code of a WebSocket that may not be (RFC 6455)."""


def cookie_name(port: int) -> str:
    """Name of the session's cookie. Browsers do not tell ports apart, two dashboards of one machine must."""
    return f"trimtab_session_{port}"


class Guard:
    """ASGI middleware.

    Args:
        app: What is guarded.
        sessions: Who is signed in.
        hosts: Values of the Host header that mean us.
        origins: Origins of our own pages.
        cookie: Name of the session's cookie.
        content_policy: Value of the Content-Security-Policy header of every response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        hosts: frozenset[str],
        origins: frozenset[str],
        cookie: str,
        content_policy: str,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = hosts
        self._origins = origins
        self._cookie = cookie
        self._headers = {
            "content-security-policy": content_policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "same-origin",  # a page's address names runs; forms still carry their Origin
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and pass on."""
        if scope["type"] == "http":
            await self._http(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._foreign(headers, needs_origin=scope["method"] not in ("GET", "HEAD"))
        session = None
        if refusal is None and scope["path"] not in OPEN:
            session = self._sessions.find(self._cookie_of(headers))
            if session is None:
                refusal = _sign_in_first(scope, headers)
            else:
                self._sessions.touch(session)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(_naming(scope, session), receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        cookie = self._cookie_of(headers)
        session = self._sessions.find(cookie)
        if self._foreign(headers, needs_origin=True) is not None or session is None:
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        self._sessions.touch(session)
        is_over = False

        async def receive_while_signed_in() -> Message:
            nonlocal is_over
            message = await self._next(receive, session, lambda: self._sessions.find(cookie) is not None)
            if message is not None:
                return message
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "signed out"})
            is_over = True
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

        async def send_while_open(message: Message) -> None:
            if not is_over:
                await send(message)

        await self._app(_naming(scope, session), receive_while_signed_in, send_while_open)

    async def _next(
        self, receive: Callable[[], Awaitable[Message]], session: Session, lives: Callable[[], bool]
    ) -> Message | None:
        """The next message; None if the session ends first."""
        incoming = asyncio.ensure_future(receive())
        ended = asyncio.ensure_future(session.ended.wait())
        try:
            while lives():
                left_s = max(0.0, self._sessions.idle_left_s(session))
                await asyncio.wait({incoming, ended}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                if incoming.done() and lives():
                    message = incoming.result()
                    if is_by_person(message.get("bytes")):
                        self._sessions.touch(session)
                    return message
            return None
        finally:
            ended.cancel()
            incoming.cancel()  # does nothing to one that is done

    def _foreign(self, headers: Headers, *, needs_origin: bool) -> Response | None:
        """The refusal of a request that was not made to us or not by our page."""
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return PlainTextResponse(strings.other_host(hosts[0] if hosts else "", sorted(self._hosts)), 421)
        origins = [origin.lower() for origin in headers.getlist("origin")]
        if any(origin not in self._origins for origin in origins) or (needs_origin and not origins):
            return PlainTextResponse(strings.OTHER_ORIGIN, 403)
        return None

    def _cookie_of(self, headers: Headers) -> str | None:
        found = [cookie_parser(line).get(self._cookie) for line in headers.getlist("cookie")]
        return next((value for value in found if value), None)

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return send_with_headers


def is_by_person(message: bytes | None) -> bool:
    """Whether a message of Streamlit's page is something a person did, and not a page that looks for news."""
    if message is None:
        return False
    try:
        said = BackMsg.FromString(message)
    except DecodeError:
        return False
    return said.WhichOneof("type") == "rerun_script" and not said.rerun_script.is_auto_rerun


def _naming(scope: Scope, session: Session | None) -> Scope:
    """The scope with our headers about the session, and none that a client made up."""
    kept = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(b"x-trimtab-")]
    if session is not None:
        kept.append((PERSON_HEADER.encode(), quote(session.name).encode()))
        kept.append((SESSION_HEADER.encode(), session.digest.encode()))
    return {**scope, "headers": kept}


def _sign_in_first(scope: Scope, headers: Headers) -> Response:
    """To the login page for who looks at a page; a refusal for what a page loads."""
    if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope["query_string"].decode("latin-1")
        wanted = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='')}", 303)
    return PlainTextResponse(strings.NOT_SIGNED_IN, 401)
