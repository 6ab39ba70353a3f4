"""``trimtab up``: run the sidecar in the foreground until it is told to stop.

In: options that override settings. Out: one line that says where it listens, one with a link to the dashboard as soon
as that has come up, and exit code 0 after SIGTERM or SIGINT, when the last records are collected and analysed. A second
signal ends it at once, which is safe: a sidecar may be killed at any moment. Apart from :mod:`trimtab_tuner.sidecar`
because that can be run inside another program, without taking over the process's signals, umask and log.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from types import FrameType

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import SidecarError
from trimtab_tracer.settings import Settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", help="folder with spool and store (default: .trimtab, or TRIMTAB_HOME)")
    parser.add_argument("--host", help="loopback address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on; 0 picks a free one (default: 4319)")
    parser.add_argument("--no-dashboard", action="store_true", help="do not start the dashboard")


def _run(args: argparse.Namespace) -> int:
    settings = Settings.resolve(home=args.home, host=args.host, port=args.port)
    from ..sidecar import Sidecar

    os.umask(0o077)  # prompts and the token are this user's
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s trimtab %(levelname)s %(message)s"
    )
    sidecar = Sidecar(settings)

    def stop(_: int, __: FrameType | None) -> None:
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, signal.SIG_DFL)  # the second one ends us
        sidecar.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with sidecar:
        print(f"trimtab listens on {sidecar.url} and collects {settings.home}", flush=True)
        print(f"The API's token is in {settings.token_path}; stop with Ctrl-C.", flush=True)
        if not args.no_dashboard:
            sidecar.show_dashboard(lambda url: _print_link(settings, url))
        sidecar.wait()
    rest = "the spool keeps what could not be taken, see above" if sidecar.problems else "the spool is collected"
    print(f"trimtab has stopped; {rest}.", flush=True)
    return 0


def _print_link(settings: Settings, url: str) -> None:
    """Say where the dashboard is, with a link that signs this user in once."""
    from ..client import connect

    try:
        client = connect(settings)
        code = client.post("/v1/login-codes", {})["code"] if client is not None else None
    except SidecarError as error:  # it is just stopping
        logging.getLogger("trimtab.sidecar").warning("no link to the dashboard could be made: %s", error)
        return
    if code is not None:
        print(f"The dashboard, opened once with this link: {url}/login?code={code}", flush=True)


command = Command(
    "up",
    "Run the sidecar and its dashboard: collect, analyse, steer and serve the API",
    _add_arguments,
    _run,
    example="trimtab up",
)
