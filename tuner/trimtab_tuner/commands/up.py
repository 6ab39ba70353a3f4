"""``trimtab up``: run the sidecar in the foreground until it is told to stop.

In: options that override settings. Out: one line that says where it listens, and exit code 0 after SIGTERM or
SIGINT, when the last records are collected and analysed. A second signal ends it at once, which is safe: a sidecar
may be killed at any moment. Apart from :mod:`trimtab_tuner.sidecar` because that can be run inside another
program, without taking over the process's signals, umask and log.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from types import FrameType

from trimtab_tracer.commands import Command
from trimtab_tracer.settings import Settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", help="folder with spool and store (default: .trimtab, or TRIMTAB_HOME)")
    parser.add_argument("--host", help="loopback address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on; 0 picks a free one (default: 4319)")


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
        sidecar.wait()
    rest = "the spool keeps what could not be taken, see above" if sidecar.problems else "the spool is collected"
    print(f"trimtab has stopped; {rest}.", flush=True)
    return 0


command = Command("up", "Run the sidecar: collect, analyse and serve the API", _add_arguments, _run)
