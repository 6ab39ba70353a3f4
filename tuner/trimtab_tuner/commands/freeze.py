"""``trimtab freeze`` and ``trimtab unfreeze``: stop all steering at once, and let it go on.

In: a home. Out: a policy that says frozen, within the time it takes to write a file. Freezing is the brake, so it works
where little else does: with a running sidecar through its API, without one on the home's store, and where even that
can't be had, whatever the reason, by writing the published file itself, which agents look at four times a second. That
last way is not stored and not audited, and the command says so and exits with 3. A sidecar that does not answer at once
is waited for, but the file says frozen meanwhile.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trimtab_tracer.commands import Command
from trimtab_tracer.errors import PolicyError, SidecarError
from trimtab_tracer.settings import Settings

from .. import terminal

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..client import Client

PATIENCE_S = 0.5
"""How long a sidecar may take before the file is written without it."""
UNFINISHED = 503
"""Status of a freeze that holds, but could not be stored or published yet; its sentence says which."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of both commands."""
    terminal.add_options(parser, decides=True, is_action=False)


def freeze(args: Namespace) -> int:
    """Stop steering, one way or the other.

    Raises:
        Declined: the reason can't be used; nothing was changed.
        SidecarError: it is stopped, but not stored; or it could not be stopped.
    """
    from ..client import Declined, connect
    from ..local import sidecar_or_home

    settings = Settings.resolve(home=args.home)
    is_new = not (settings.store_path.exists() or settings.spool_dir.is_dir())
    body = {"why": args.why}
    try:
        with _meanwhile(settings):
            client = connect(settings)
            state = None if client is None else client.post("/v1/freeze", body)
        if client is None or state is None:
            with sidecar_or_home(settings, makes_home=True, is_patient=False) as client:
                state = client.post("/v1/freeze", body)
        _say(args, client, state, "Frozen: within 2 s agents do what their code says, and nothing else.")
        if is_new and not args.json:
            print(
                f"Nothing was recorded in {settings.home} so far: if your agents use another home, name it with --home."
            )
    except Declined:
        raise
    except Exception as error:  # whatever is wrong: the brake has to work
        if getattr(error, "status", None) == UNFINISHED:
            raise
        raise _stopped_by_file(settings, error) from error
    return 0


def unfreeze(args: Namespace) -> int:
    """Let steering go on."""
    with terminal.asking(args) as client:
        state = client.post("/v1/unfreeze", {"seen": client.get("/v1/freeze")["policy_version"], "why": args.why})
        rules = f"{state['rules']} rule{'s are' if state['rules'] != 1 else ' is'}"
        _say(args, client, state, f"Steering goes on: {rules} active again.")
    return 0


def _say(args: Namespace, client: Client, state: dict[str, Any], told: str) -> None:
    if args.json:
        terminal.print_json(state)
        return
    console = terminal.console()
    console.print(told)
    if not state["frozen"]:
        terminal.say_what_follows(client, console)


@contextmanager
def _meanwhile(settings: Settings) -> Iterator[None]:
    """A block that waits for a sidecar: if it is slow, the published file says frozen before it has answered."""
    waiting = threading.Timer(PATIENCE_S, _try_to_write, (settings,))
    waiting.daemon = True
    waiting.start()
    try:
        yield
    finally:
        waiting.cancel()
        waiting.join()


def _try_to_write(settings: Settings) -> None:
    with suppress(OSError):  # it is tried again, and told, when the sidecar has failed too
        _write(settings)


def _write(settings: Settings) -> None:
    """Make the published file say frozen."""
    from ..home import replace_file

    aside = settings.policy_path.with_name(f".policy.{os.getpid()}")  # a sidecar may be writing at this moment, too
    replace_file(aside, _frozen(settings))
    aside.replace(settings.policy_path)


def _stopped_by_file(settings: Settings, error: Exception) -> SidecarError:
    """Write the frozen policy where agents read it; what to tell then."""
    from ..home import prepare

    try:
        with suppress(SidecarError):  # what is wrong with the home shows below
            prepare(settings.home)
        _write(settings)
    except OSError as failure:
        return SidecarError(
            f"Steering could not be stopped: {error} Nor could {settings.policy_path} be written:"
            f" {failure.strerror or failure}. Set TRIMTAB_DISABLED=1 and restart the agents to stop it all the same."
        )
    return SidecarError(
        f"Steering is stopped by {settings.policy_path}, which now says frozen, but that is stored nowhere: {error}"
        " A sidecar that publishes again may lift it; mend this and run `trimtab freeze` once more."
    )


def _frozen(settings: Settings) -> bytes:
    """The policy that is out now, frozen and issued anew; one without rules where there is none that can be read."""
    from trimtab_tracer.policy import NONE, parse, to_document

    now_ns = time.time_ns()
    policy = replace(NONE, version=1)
    with suppress(OSError, PolicyError):
        policy = parse(settings.policy_path.read_bytes(), now_ns)
    issued_ns = max(now_ns, policy.issued_ns + 1)
    frozen = replace(policy, issued_ns=issued_ns, lifetime_s=settings.policy_lifetime_s, is_frozen=True)
    return (json.dumps(to_document(frozen)) + "\n").encode()


command = Command(
    "freeze",
    "Stop all steering at once: agents do what their code says",
    add_arguments,
    freeze,
    example="trimtab freeze --why 'answers are odd'",
)
"""Registered in the entry-point group ``trimtab.commands``."""
unfreeze_command = Command(
    "unfreeze", "Let steering go on with the rules that are there", add_arguments, unfreeze, example="trimtab unfreeze"
)
"""Registered like :data:`command`."""
