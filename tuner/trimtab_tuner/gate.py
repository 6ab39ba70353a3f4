"""Who may ask the sidecar what: Host, Origin, token and scope, checked before a route is looked for.

In: an ASGI application, the keys, and what is allowed. Out: the same application behind the checks. It wraps
everything, unknown paths and the OpenAPI document included; only :data:`OPEN` is answered without a token, and holds no
data. The checks have one reason each: Host, because a page whose name was rebound to 127.0.0.1 carries its own name
there; Origin, because browsers send it with what another site's page asks for; the token, because any local user can
connect; the scope, because who may look at a dashboard need not be the one who turns knobs, and an agent that fetches
its policy needs nothing else. Which scope a request needs follows from its method and path alone. Apart from the routes
so that no new route can forget it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from .problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/v1/health"})
"""Paths that need no token."""
POLICY = "/v1/policy"
"""The only path that an agent's key opens."""
READING = frozenset({"GET", "HEAD"})
"""Methods that change nothing; every other one needs the token that may write."""
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""How this machine may be called."""


class Keys(NamedTuple):
    """What callers prove themselves with."""

    write: str
    """The home's ``token``: reads and writes."""
    read: str
    """The home's ``token.read``: reads."""
    policy: str
    """What an agent derives from ``policy.key``: reads :data:`POLICY`."""


class Refusal(NamedTuple):
    """Why a request may not pass."""

    status: int
    detail: str
    kind: str = "about:blank"
    challenge: bool = False
    """Whether the answer asks for a token."""


def own_hosts(port: int) -> frozenset[str]:
    """Values of the Host header that mean us."""
    with_port = {f"{name}:{port}" for name in NAMES}
    return frozenset(with_port | set(NAMES) if port == 80 else with_port)


def own_origins(*ports: int) -> frozenset[str]:
    """Origins of our own pages: the API's and the dashboard's."""
    return frozenset(f"http://{name}:{port}" for name in NAMES for port in ports)


class Gate:
    """ASGI wrapper that answers a request which may not pass with a problem document."""

    def __init__(self, app: ASGIApp, keys: Keys, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self._app = app
        self._authorizations = {name: f"Bearer {key}".encode() for name, key in keys._asdict().items()}
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and pass on."""
        if scope["type"] == "http":
            found: dict[bytes, list[bytes]] = {}
            for name, value in scope["headers"]:
                found.setdefault(name, []).append(value)
            refusal = self._stranger(found) or self._unauthorized(scope, found.get(b"authorization", []))
            if refusal is not None:
                headers = {"WWW-Authenticate": "Bearer"} if refusal.challenge else None
                await problem(refusal.status, refusal.detail, kind=refusal.kind, headers=headers)(scope, receive, send)
                return
        elif scope["type"] != "lifespan":  # no websockets here
            return
        await self._app(scope, receive, send)

    def _stranger(self, found: dict[bytes, list[bytes]]) -> Refusal | None:
        """Why a request is not meant for us, or comes from a page that is not ours."""
        hosts = [h.decode("latin-1").lower() for h in found.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            shown = hosts[0] if hosts else "(none)"
            return Refusal(421, f"This is not {shown!r}; call the sidecar as {' or '.join(sorted(self._hosts))}.")
        for origin in (o.decode("latin-1").lower() for o in found.get(b"origin", [])):
            if origin not in self._origins:
                return Refusal(
                    403, f"Pages of {origin!r} may not call the sidecar; only its own and the dashboard's may."
                )
        return None

    def _unauthorized(self, scope: Scope, given: list[bytes]) -> Refusal | None:
        """Why a request's key does not open what it asks for."""
        if scope["path"] in OPEN:
            return None
        # All three are compared, always: how long it takes says nothing about which one nearly fitted.
        fits = {
            name: len(given) == 1 and secrets.compare_digest(given[0], expected)
            for name, expected in self._authorizations.items()
        }
        is_read = scope["method"] in READING
        if fits["write"] or (is_read and fits["read"]) or (is_read and fits["policy"] and scope["path"] == POLICY):
            return None
        if fits["read"]:
            detail = (
                "The token in `token.read` only reads; to change something send the one in the home's file `token`."
            )
            return Refusal(403, detail, "trimtab:read-only")
        if fits["policy"]:
            detail = f"An agent's key only reads {POLICY}; for the rest send the token in the home's file `token`."
            return Refusal(403, detail, "trimtab:policy-only")
        detail = "Send the header `Authorization: Bearer <token>`; the token is in the file `token` of the home."
        return Refusal(401, detail, challenge=True)
