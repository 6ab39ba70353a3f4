"""Who may ask the sidecar anything: Host, Origin and token, checked before a route is looked for.

In: an ASGI application and what is allowed. Out: the same application behind the checks. It wraps everything,
unknown paths and the OpenAPI document included; only :data:`OPEN` is answered without a token, and holds no data.
The checks have one reason each: Host, because a page whose name was rebound to 127.0.0.1 carries its own name
there; Origin, because browsers send it with what another site's page asks for; the token, because any local
user can connect. Apart from the routes so that no new route can forget it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from .problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/v1/health"})
"""Paths that need no token."""
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""How this machine may be called."""


def own_hosts(port: int) -> frozenset[str]:
    """Values of the Host header that mean us."""
    with_port = {f"{name}:{port}" for name in NAMES}
    return frozenset(with_port | set(NAMES) if port == 80 else with_port)


def own_origins(*ports: int) -> frozenset[str]:
    """Origins of our own pages: the API's and the dashboard's."""
    return frozenset(f"http://{name}:{port}" for name in NAMES for port in ports)


class Gate:
    """ASGI wrapper that answers a request which may not pass with a problem document."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self._app = app
        self._authorization = f"Bearer {token}".encode()
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and pass on."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                status, detail, headers = refusal
                await problem(status, detail, headers=headers)(scope, receive, send)
                return
        elif scope["type"] != "lifespan":  # no websockets here
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Status, sentence and headers, or None for a request that may pass."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name, []).append(value)
        hosts = [h.decode("latin-1").lower() for h in found.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            shown = hosts[0] if hosts else "(none)"
            return 421, f"This is not {shown!r}; call the sidecar as {' or '.join(sorted(self._hosts))}.", {}
        for origin in (o.decode("latin-1").lower() for o in found.get(b"origin", [])):
            if origin not in self._origins:
                return 403, f"Pages of {origin!r} may not call the sidecar; only its own and the dashboard's may.", {}
        if scope["path"] in OPEN:
            return None
        authorizations = found.get(b"authorization", [])
        if len(authorizations) != 1 or not secrets.compare_digest(authorizations[0], self._authorization):
            detail = "Send the header `Authorization: Bearer <token>`; the token is in the file `token` of the home."
            return 401, detail, {"WWW-Authenticate": "Bearer"}
        return None
