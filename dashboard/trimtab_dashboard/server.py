"""The dashboard's process: Streamlit behind our guard, on a socket that the sidecar has opened.

In: one line of JSON on stdin (:class:`Start`) from the sidecar that started us; stdin stays open as long as that lives.
Out: pages on loopback, and one line of JSON on stdout when they can be asked for. When stdin ends, the sidecar has
ended, however that happened, and so do we. Streamlit's options are set here; the sidecar starts us where no user's or
project's ``.streamlit`` is found. Nothing is sent or fetched anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import streamlit
from starlette.middleware import Middleware
from streamlit import config
from streamlit.starlette import App

from trimtab_tuner.gate import own_hosts, own_origins

from . import connection, login, strings, theme
from .guard import PERSON_HEADER, SESSION_HEADER, Guard, cookie_name
from .sessions import Sessions

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger("trimtab.dashboard")

HERE = Path(__file__).parent
GRACE_S = 3.0
"""How long requests in flight may take when the sidecar has ended."""

OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.allowedOrigins": [],
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "logger.enableRich": False,
    "logger.hideWelcomeMessage": True,
    "logger.level": "error",
    "runner.magicEnabled": False,
    "secrets.files": [],
    "server.allowRunOnSave": False,
    "server.enableAgentApi": False,
    "server.enableStaticServing": False,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": 1,
    "server.maxWidgetStateSize": 2,
    "server.showEmailPrompt": False,
    "server.trustedUserHeaders": {PERSON_HEADER: "name", SESSION_HEADER: "session"},
    **theme.OPTIONS,
}
"""What differs from Streamlit's defaults."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the sidecar says when it starts us."""

    api_url: str
    token: str
    listener_fd: int
    """File descriptor of the listening socket."""

    @classmethod
    def read(cls) -> Self:
        """The line on stdin; exits with a sentence where a person started the module by hand."""
        line = "" if sys.stdin.isatty() else sys.stdin.readline()
        try:
            found = json.loads(line)
            return cls(str(found["api_url"]), str(found["token"]), int(found["listener_fd"]))
        except (ValueError, KeyError, TypeError):
            sys.exit("trimtab: the dashboard is started by `trimtab up`; `trimtab dashboard` prints a link to it.")


def run(start: Start) -> None:
    """Serve until stdin ends."""
    import uvicorn

    listener = socket.socket(fileno=start.listener_fd)
    port: int = listener.getsockname()[1]
    connection.use(start.api_url, start.token)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(port, connection.client()),
            loop="asyncio",
            http="h11",
            ws="websockets-sansio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(GRACE_S),
        )
    )
    threading.Thread(target=_end_with_stdin, args=[server], name="trimtab-parent", daemon=True).start()
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    server.run(sockets=[listener])


def create_app(port: int, sidecar: login.Redeemer) -> App:
    """The ASGI application for a dashboard that people call on ``port``; sets this process's Streamlit options."""
    configure()
    sessions, cookie = Sessions(), cookie_name(port)
    guard = Middleware(
        Guard,
        sessions=sessions,
        hosts=own_hosts(port),
        origins=own_origins(port),
        cookie=cookie,
        content_policy=content_policy(),
    )
    return App(
        HERE / "app.py",
        routes=login.routes(sessions, sidecar, cookie),
        middleware=[guard],
        lifespan=_say_ready,
        on_script_error=_log,
    )


def configure() -> None:
    """Set Streamlit's options."""
    config.get_config_options(force_reparse=True, options_from_flags=dict(OPTIONS))


def content_policy() -> str:
    """The Content-Security-Policy under which Streamlit's pages work and load nothing from anywhere else.

    Inline scripts are allowed one by one: the few words in Streamlit's own page. Vega compiles the expressions of a
    chart, which needs ``unsafe-eval``; Streamlit's components write their styles into the page.
    """
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    scripts = " ".join(["'self'", "'unsafe-eval'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
        " font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    )


@asynccontextmanager
async def _say_ready(_: App) -> AsyncIterator[None]:
    """Tell the sidecar that pages can be asked for; what all of them need is imported before, not by the first one."""
    from .blocks import call, over_time, recommendation, run_filters, todo, two_runs  # noqa: F401

    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    yield


def _log(error: Exception) -> bool:
    """An error of a page that nobody expected: its traceback goes to the sidecar's log, the page shows a sentence."""
    log.error("a page of the dashboard failed", exc_info=error)
    streamlit.error(strings.UNEXPECTED)
    return True


def _end_with_stdin(server: uvicorn.Server) -> None:
    """Stop when stdin ends; at the latest after the grace period, whatever still runs."""
    sys.stdin.read()
    server.should_exit = True
    time.sleep(GRACE_S + 1)
    os._exit(0)
