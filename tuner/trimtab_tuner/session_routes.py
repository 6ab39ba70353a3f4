"""How people get into the dashboard: a code that works once, or the home's token and a name.

In: requests of somebody who may write. Out: one-time codes, and the name of whoever redeems one. Codes live in this
process's memory and end with it; the cookie that a session becomes is the dashboard's. Apart from the other routes
because nothing here reads or decides anything. A wrong code and a used one are told apart from nothing: 403.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse

from . import control_models as shapes
from . import paging
from .actors import Who
from .control import Actor
from .problems import problem
from .routing import router


class Code(NamedTuple):
    """A code that nobody has used yet."""

    name: str
    expires_ns: int


class Codes:
    """One-time codes. May be used from many threads."""

    LIFETIME_S = 600
    """How long a code may be redeemed."""
    MOST = 100
    """Open codes; of more the oldest is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Code] = OrderedDict()

    def issue(self, name: str) -> tuple[str, Code]:
        """A fresh code for ``name``."""
        value = secrets.token_urlsafe(32)
        code = Code(name, time.time_ns() + self.LIFETIME_S * 10**9)
        with self._lock:
            self._open[value] = code
            while len(self._open) > self.MOST:
                self._open.popitem(last=False)
        return value, code

    def redeem(self, value: str) -> str | None:
        """The name that ``value`` was made for; None if it was used, is too old or never was."""
        with self._lock:
            code = self._open.pop(value, None)
        return code.name if code is not None and time.time_ns() < code.expires_ns else None


def sessions(token: str) -> APIRouter:
    """The routes; ``token`` is the one that reads and writes."""
    api = router()
    codes = Codes()

    @api.post("/login-codes")
    def issue(
        who: Annotated[Actor, Depends(Who)],
        _: Annotated[paging.NoParameters, Query()],
        body: shapes.LoginCodeBody = shapes.LoginCodeBody(),  # noqa: B008 - frozen
    ) -> shapes.LoginCode:
        """A code that opens one session of the dashboard within ten minutes. Needs no body."""
        value, code = codes.issue(body.name or who.name)
        return shapes.LoginCode(code=value, name=code.name, expires_ns=code.expires_ns)

    @api.post("/sessions", response_model=shapes.Session)
    def open_session(
        body: shapes.SessionBody, _: Annotated[paging.NoParameters, Query()]
    ) -> shapes.Session | JSONResponse:
        """Redeem a one-time code, or the home's token with a name. For the dashboard's own server."""
        if body.code is not None:
            name = codes.redeem(body.code)
            if name is None:
                detail = "This link was used before or is too old; `trimtab dashboard` prints a fresh one."
                return problem(403, detail, kind="trimtab:bad-code")
            return shapes.Session(session_id=secrets.token_urlsafe(32), name=name)
        if not secrets.compare_digest((body.token or "").encode(), token.encode()):
            detail = "This is not the home's token; it is in the home's file `token`."
            return problem(403, detail, kind="trimtab:bad-token")
        return shapes.Session(session_id=secrets.token_urlsafe(32), name=body.name or "")

    return api
