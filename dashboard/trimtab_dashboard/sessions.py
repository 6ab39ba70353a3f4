"""Who is signed in: one row per browser session, in the memory of the dashboard's process.

In: a person's name, once the sidecar has vouched for it. Out: the value of the session's cookie, and later the session
behind a cookie. A session ends when it was idle for :data:`Sessions.IDLE_S`, when its person signs out, or with the
process; whatever is still open for it (:attr:`Session.ended`) ends too. Apart from the ASGI code because these rules
are what matters, and they need no network to be tested. Belongs to one event loop; nothing here is thread-safe.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Session:
    """One signed-in browser."""

    name: str
    """Whom the sidecar's audit will name."""
    digest: str
    """Of its cookie, which is kept nowhere. Tells it from others, also in places that must not know the cookie."""
    seen_s: float
    """When its person last did something, on the clock of :class:`Sessions`."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Sessions:
    """All sessions of this process.

    Args:
        clock: Seconds that only go forward.
    """

    IDLE_S = 12 * 3600.0
    """A session of which nothing was heard for this long is over."""
    MOST = 1000
    """How many sessions there may be; opening more ends the one that was idle longest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_digest: OrderedDict[str, Session] = OrderedDict()

    def open(self, name: str) -> str:
        """Begin a session for ``name``; returns the cookie's value."""
        cookie = secrets.token_urlsafe(32)
        digest = _digest(cookie)
        self._by_digest[digest] = Session(name, digest, self._clock())
        while len(self._by_digest) > self.MOST:
            self._end(next(iter(self._by_digest)))
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        """The living session of a cookie."""
        if not cookie:
            return None
        digest = _digest(cookie)
        session = self._by_digest.get(digest)
        if session is not None and self.idle_left_s(session) <= 0:
            self._end(digest)
            return None
        return session

    def touch(self, session: Session) -> None:
        """Its person did something just now."""
        session.seen_s = self._clock()
        if session.digest in self._by_digest:
            self._by_digest.move_to_end(session.digest)

    def idle_left_s(self, session: Session) -> float:
        """For how long nothing more may be heard of it before it is over."""
        return session.seen_s + self.IDLE_S - self._clock()

    def close(self, cookie: str | None) -> None:
        """Sign out."""
        if cookie and (digest := _digest(cookie)) in self._by_digest:
            self._end(digest)

    def _end(self, digest: str) -> None:
        self._by_digest.pop(digest).ended.set()


def _digest(cookie: str) -> str:
    """What a cookie is found by: looking up a digest tells nothing by its timing."""
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
