"""The dashboard as the sidecar keeps it: a child process on a socket that the sidecar has opened.

In: settings, the API's address and the token, which reach the child through its stdin and stand in no argument and no
environment. Out: pages on the dashboard's port, a note that names it, and a callback each time they can be asked for.
A process of its own, because it brings Streamlit and pandas: collecting and answering must not pay for that, and a page
that runs wild must not stop the policy. This package does not import the dashboard; it only starts it.

The child's stdin stays open as long as we live: however we end, it reads the end of it and ends too. A child that dies
is started again after a pause, on the same socket, so that its address stays; one that dies again and again is given
up. What keeps the dashboard from starting is one sentence in the log, and the sidecar goes on without it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

from trimtab_tracer.errors import SidecarError
from trimtab_tracer.settings import Settings

from . import home

log = logging.getLogger("trimtab.sidecar")

MODULE = "trimtab_dashboard"
"""What is run with ``python -m``."""
PACKAGES = ("streamlit", MODULE)
"""What has to be installed for it."""


class DashboardProcess:
    """Keeps a dashboard running from :meth:`start` to :meth:`stop`.

    Args:
        settings: Name the home and the port.
        api_url: Where the child asks.
        token: What it shows there.
        on_ready: Called with the dashboard's address, from a thread of ours, whenever it has come up.
    """

    PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
    """Pauses before the restarts of a child that dies; after as many deaths in a row it is given up."""
    STEADY_S = 60.0
    """A child that has lived this long counts as well: deaths before it are forgotten."""
    STOP_S = 5.0
    """How long a child may take to end before it is killed."""

    def __init__(self, settings: Settings, api_url: str, token: str, on_ready: Callable[[str], None]) -> None:
        self.settings = settings
        self._api_url = api_url
        self._token = token
        self._on_ready = on_ready
        self._listener: socket.socket | None = None
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the port and start the child in the background; what stands in the way is logged, nothing is raised."""
        missing = [name for name in PACKAGES if find_spec(name) is None]
        if missing or os.name != "posix":
            why = (
                f"the package {missing[0]} is not installed: pip install 'trimtab[sidecar]'"
                if missing
                else "POSIX only"
            )
            log.warning("there is no dashboard: %s; everything else goes on", why)
            return
        try:
            self._listener = _listen(self.settings.host, self.settings.dashboard_port)
        except SidecarError as error:
            log.warning("there is no dashboard: %s", error)
            return
        self._thread = threading.Thread(target=self._keep, name="trimtab-dashboard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the child and its port."""
        self._stopping.set()
        with self._lock:
            child = self._child
        if child is not None:
            _end(child, self.STOP_S)
        if self._thread is not None:
            self._thread.join()
        if self._listener is not None:
            self._listener.close()

    @property
    def pid(self) -> int | None:
        """Of the child that runs now."""
        with self._lock:
            return None if self._child is None or self._child.poll() is not None else self._child.pid

    def _keep(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            begun_s = time.monotonic()
            code = self._run_once()
            if self._stopping.is_set():
                return
            deaths = 1 if time.monotonic() - begun_s > self.STEADY_S else deaths + 1
            self._write_note(None)
            if deaths > len(self.PAUSES_S):
                log.error("the dashboard ended %d times in a row (exit code %s) and stays off; see above", deaths, code)
                return
            pause_s = self.PAUSES_S[deaths - 1]
            log.warning("the dashboard ended with exit code %s; it is started again in %g s", code, pause_s)
            self._stopping.wait(pause_s)

    def _run_once(self) -> int | None:
        """Run the child to its end; its exit code, or None where it could not even be started."""
        try:
            child = self._spawn()
        except OSError as error:
            log.warning("the dashboard could not be started: %s", error)
            return None
        with child:
            assert child.stdout is not None
            for line in child.stdout:
                if _is_ready(line) and not self._stopping.is_set():
                    self._write_note(self._url)
                    self._on_ready(self._url)
            return child.wait()

    def _spawn(self) -> subprocess.Popen[str]:
        assert self._listener is not None
        fd = self._listener.fileno()
        with self._lock:
            if self._stopping.is_set():
                raise InterruptedError(errno.EINTR, "the sidecar is stopping")
            child = self._child = subprocess.Popen(
                # -P: a file of the user's folder must not stand in for a module.
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self.settings.home,
                env=_environment(self.settings),
                pass_fds=(fd,),
                start_new_session=True,  # Ctrl-C is for the sidecar, which then ends the child
            )
        start = {"api_url": self._api_url, "token": self._token, "listener_fd": fd}
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it has died already: its exit code will tell
            child.stdin.write(json.dumps(start) + "\n")
            child.stdin.flush()
        return child

    @property
    def _url(self) -> str:
        assert self._listener is not None
        host, port, *_ = self._listener.getsockname()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _write_note(self, url: str | None) -> None:
        """Tell ``trimtab dashboard`` where the dashboard is."""
        note = home.read_note(self.settings)
        if note is not None and note.pid == os.getpid():
            with suppress(OSError):
                home.write_note(self.settings, replace(note, dashboard_url=url))


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on the port, or on a free one if that is taken."""
    from .sidecar import listen

    try:
        return listen(host, port)
    except SidecarError:
        found = listen(host, 0)
        log.warning("port %d is in use, so the dashboard is on port %d", port, found.getsockname()[1])
        return found


def _environment(settings: Settings) -> dict[str, str]:
    """The child's environment: no option of Streamlit, and a home directory without any of a user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "TRIMTAB_"))}
    return kept | {"HOME": str(settings.home), "PYTHONUNBUFFERED": "1"}


def _is_ready(line: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("ready") is True


def _end(child: subprocess.Popen[str], grace_s: float) -> None:
    """Close its stdin, which tells it to end; kill it if it does not."""
    if child.stdin is not None:
        with suppress(OSError):
            child.stdin.close()
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
