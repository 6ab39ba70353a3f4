"""The policy for an agent that is not on the sidecar's machine: long polls in a thread of their own.

In: the sidecar's address and the shared key. Out: signed documents, handed to :class:`~.policy_keeper.PolicyKeeper`. A
module of its own because it is imported only where ``policy_url`` is set: nobody else pays for an HTTP client. The
thread sits in one request for up to 20 seconds and gets its answer as soon as there is a new document.

A sidecar that can't be reached, or does not let us in, leaves the last policy in force until its lifetime ends. A
document that can't be used, or is not signed with the key, ends it at once. No redirect is followed, no proxy is used,
and the key itself is never sent.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import threading
import time
from contextlib import closing
from typing import NamedTuple
from urllib.parse import urlsplit

from . import __version__
from .guard import guarded
from .policy import MAX_BYTES, NONE
from .policy_keeper import INCUMBENT, PolicyKeeper
from .policy_signature import SIGNATURE_HEADER, is_signed, reader_token

WAIT_S = 20
"""How long the sidecar may hold a request back while there is nothing new."""
CONNECT_TIMEOUT_S = 5.0
"""Longest wait for a connection."""
REPLY_TIMEOUT_S = WAIT_S + 10.0
"""Longest silence inside a request."""
MIN_INTERVAL_S = 1.0
"""Least time between the starts of two requests, should the sidecar not hold them back."""
MAX_PAUSE_S = 10.0
"""Longest pause after failures."""
CLOSE_TIMEOUT_S = 1.0
"""Longest that switching off waits for the thread."""

GOES_ON = "the last policy holds until its lifetime ends, and trimtab goes on asking"
"""What follows from a sidecar that does not answer any more."""


class RemotePolicy:
    """Keeps one polling thread alive in this process, also in a forked child.

    Args:
        url: Address of the sidecar, checked by :func:`.setting_values.sidecar_url`.
        key: Shared with the sidecar.
        keeper: Gets what arrives.
    """

    def __init__(self, url: str, key: str, keeper: PolicyKeeper) -> None:
        self._told = (url, key, keeper)
        self._poller = _Poller(*self._told)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def look(self) -> None:
        """Start the thread if this process has none: at first use, and in a child after a fork."""
        if self._is_closed or (self._thread is not None and self._thread.is_alive()):
            return
        if self._thread is not None:
            self._poller.drop()
            self._poller = _Poller(*self._told)
        self._thread = threading.Thread(target=self._poller.run, name="trimtab-policy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._poller.stop()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)


class _Reply(NamedTuple):
    status: int
    body: bytes
    signature: str | None
    etag: str | None


class _Poller:
    """One thread's work and state."""

    def __init__(self, url: str, key: str, keeper: PolicyKeeper) -> None:
        self._url = urlsplit(url)
        self._key = key
        self._keeper = keeper
        self._etag: str | None = None
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """Ask until stopped."""
        failures = 0
        while not self._stopped.is_set():
            started = time.monotonic()
            failures = 0 if self._poll() else failures + 1
            pause_s = MIN_INTERVAL_S - (time.monotonic() - started)
            if failures:
                pause_s = min(MAX_PAUSE_S, 0.5 * 2 ** min(failures - 1, 10)) * random.uniform(0.75, 1.0)
            self._stopped.wait(max(pause_s, 0.0))

    def stop(self) -> None:
        """Let :meth:`run` end, also while it waits for the sidecar."""
        self._stopped.set()
        connected = self._socket
        if connected is not None:
            try:
                # The plain socket's own method: that of a TLS socket pulls the rug from under the waiting thread.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
            except OSError:  # already closed
                return

    def drop(self) -> None:
        """Close this process's copy of a connection that belongs to the parent's thread."""
        inherited, self._socket = self._socket, None
        if inherited is not None and (fd := inherited.detach()) >= 0:
            os.close(fd)

    @guarded(False)
    def _poll(self) -> bool:
        """Ask once; whether the answer was good."""
        try:
            reply = self._ask()
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not self._stopped.is_set():
                self._unanswered(f"it can't be reached ({type(error).__name__}: {error})")
            return False
        if reply.status == 304:
            return True
        if reply.status != 200:
            hint = " (is policy_key the text of its policy.key?)" if reply.status in (401, 403) else ""
            self._unanswered(f"it answered with status {reply.status}{hint}")
            return False
        # Until this one is taken: after a refused one the answer must not be "still the one before", which is not in
        # force any more.
        self._etag = None
        if len(reply.body) > MAX_BYTES:
            self._keeper.refuse(f"the document is longer than {MAX_BYTES} bytes")
            return False
        if not is_signed(self._key, reply.body, reply.signature):
            self._keeper.refuse(f"its {SIGNATURE_HEADER} is missing or not made with policy_key")
            return False
        if not self._keeper.offer(reply.body):
            return False
        self._etag = reply.etag
        return True

    def _unanswered(self, why: str) -> None:
        is_left = self._keeper.in_force() is not NONE
        self._keeper.say(why, then=GOES_ON if is_left else INCUMBENT)

    def _ask(self) -> _Reply:
        """One request; of a body that is too long one byte more than a document may have."""
        connection = self._connection()
        try:
            connection.connect()
            self._socket = connection.sock
            if self._stopped.is_set():  # too early for stop() to find the socket
                raise ConnectionAbortedError
            self._socket.settimeout(REPLY_TIMEOUT_S)
            connection.request("GET", f"{self._url.path}/v1/policy?wait_s={WAIT_S}", headers=self._headers())
            with closing(connection.getresponse()) as response:  # it may have taken the socket over
                body = response.read(MAX_BYTES + 1)
                if response.length and len(body) <= MAX_BYTES:
                    raise http.client.IncompleteRead(body, response.length)
                etag = response.getheader("etag")
                return _Reply(response.status, body, response.getheader(SIGNATURE_HEADER), _sendable(etag))
        finally:
            self._socket = None
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = str(self._url.hostname)
        if self._url.scheme == "https":
            return http.client.HTTPSConnection(host, self._url.port, timeout=CONNECT_TIMEOUT_S)
        return http.client.HTTPConnection(host, self._url.port, timeout=CONNECT_TIMEOUT_S)

    def _headers(self) -> dict[str, str]:
        known = {"if-none-match": self._etag} if self._etag else {}
        return {
            "authorization": f"Bearer {reader_token(self._key)}",
            "accept": "application/json",
            "connection": "close",
            "user-agent": f"trimtab/{__version__}",
            **known,
        }


def _sendable(etag: str | None) -> str | None:
    """``etag`` if it can go back in a header."""
    return etag if etag and len(etag) <= 200 and etag.isascii() and etag.isprintable() else None
