"""The provider as a server: a socket on the loopback, a thread with an event loop, a start and an end.

In: a :class:`~.scenario.Scenario`. Out: a URL, and the request log. The loop runs in a thread of its own so that tests
and the demo can use the provider inside their process, whatever loop they run themselves. Connections that are open
when it closes are cut.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from .connection import Connection
from .engine import Engine
from .errors import ProviderError
from .log import RequestLog
from .scenario import Scenario

log = logging.getLogger("trimtab.provider")

CLOSE_TIMEOUT_S = 10.0
"""How long :meth:`Provider.close` waits for the thread."""

_BACKLOG = 256


class Provider:
    """A scripted LLM provider on the loopback.

    ``with Provider(scenario) as provider:`` starts and closes it. ``provider.url`` has no path: OpenAI clients want
    ``provider.url + "/v1"``, the others want it as it is.

    Args:
        scenario: what to answer; without one, one fixed sentence.
        host: an address of the loopback.
        port: 0 for a free one.
        seed: overrides the scenario's.
        log_path: file that gets one JSON line per request.

    Raises:
        ProviderError: ``host`` is not on the loopback, or the log can't be written.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        log_path: str | Path | None = None,
    ) -> None:
        self.host = _loopback(host)
        self.scenario = scenario or Scenario()
        self.port = port
        """The port it listens on, once started."""
        self._engine = Engine(self.scenario, self.scenario.seed if seed is None else seed)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.log = RequestLog(log_path)

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def start(self) -> Self:
        """Listen, and answer from now on.

        Raises:
            ProviderError: the port is in use or can't be had.
        """
        listening = self._listen()
        self.port = listening.getsockname()[1]
        started = threading.Event()

        def serve() -> None:
            try:
                asyncio.run(self._run(listening, started))
            finally:
                started.set()  # whatever kept the loop from starting, nobody waits for it for ever

        self._thread = threading.Thread(target=serve, name="trimtab-provider", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def close(self) -> None:
        """Cut what is open and stop; the log stays readable."""
        if self._thread is not None and self._loop is not None and self._stop is not None:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSE_TIMEOUT_S)
            self._thread = None
        self.log.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ProviderError.port_in_use(self.host, self.port) from error
            raise ProviderError.cannot_listen(self.host, self.port, error) from error

    async def _run(self, listening: socket.socket, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            server = await asyncio.start_server(self._connected, sock=listening, backlog=_BACKLOG)
        finally:
            started.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the loop's next turn

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await Connection(reader, writer, self._engine, self.log).serve()
        except asyncio.CancelledError:
            writer.transport.abort()  # the provider closes; raising on would make asyncio report it
        except Exception:
            log.exception("The scripted provider failed at a request; its connection is cut.")
            writer.transport.abort()
        finally:
            self._connections.discard(task)


def _loopback(host: str) -> str:
    """``host`` as an address of the loopback."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass  # a name; whatever it resolves to today, it is not known to be the loopback
    raise ProviderError.not_loopback(host)
