"""Who answers a command that decides: the running sidecar, or the home itself where none runs.

In: settings. Out: a client either way. Without a sidecar the home's lock is taken, its store opened, and the control
API is answered in this process, by the same routes: the same checks, the same sentences, the same rows, with no socket
and no token in between. Apart from :mod:`.client` because that opens no database. A sidecar that starts or stops just
now is looked for twice; a store that can't be opened raises, and nothing was changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trimtab_tracer.errors import SidecarError, TrimtabError
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

from . import home
from .client import Client, Reply, connect, user_name

if TYPE_CHECKING:
    from fastapi import FastAPI


class HomeClient(Client):
    """Asks an application in this process."""

    def __init__(self, app: FastAPI, where: str, actor: str | None, via: str) -> None:
        super().__init__(where, "", actor=actor, via=via)
        self._app = app

    def _request(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Reply:
        return asyncio.run(self._ask(method, target, headers, body))

    async def _ask(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> Reply:
        import httpx

        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.request(method, target, headers=headers, content=body)
        return Reply(response.status_code, response.content)


@contextmanager
def sidecar_or_home(settings: Settings, *, makes_home: bool = False, is_patient: bool = True) -> Iterator[Client]:
    """A client of the sidecar that serves this home; where none runs, of the home itself as long as the block lasts.

    Args:
        settings: Name the home.
        makes_home: Whether a home that is not there yet is made.
        is_patient: Whether a home that another command works on is waited for a second time.

    Raises:
        SidecarError: a sidecar runs and does not answer, or the home can't be used.
        StoreError: the store can't be opened.
        TrimtabError: there is no home, or nothing in it.
    """
    if (found := connect(settings)) is not None:
        yield found
        return
    if not (makes_home or settings.store_path.exists() or settings.spool_dir.is_dir()):
        raise TrimtabError(
            f"There is nothing to decide about: {settings.home} holds no recording. Add `trimtab.instrument()` to an"
            " agent and run it with `trimtab up` beside it, or name another home with --home."
        )
    home.prepare(settings.home)
    lock = _lock(settings, is_patient)
    if isinstance(lock, Client):
        yield lock
        return
    try:
        with Store.open(settings.store_path) as store:
            yield HomeClient(_application(store, settings), str(settings.home), user_name(), "cli")
    finally:
        lock.release()


@contextmanager
def sidecar_or_store(settings: Settings) -> Iterator[Client]:
    """A client that reads: of the sidecar, or of the store after what lay in the spool was collected.

    Raises:
        SidecarError: a sidecar runs and does not answer.
        StoreError: the store can't be opened.
        TrimtabError: there is no recording.
    """
    if (found := connect(settings)) is not None:
        yield found
        return
    if not (settings.store_path.exists() or settings.spool_dir.is_dir()):
        raise TrimtabError(
            f"There is nothing to read: {settings.home} holds no recording. Run an agent here with"
            " `trimtab run -- COMMAND`, or name another home with --home."
        )
    from trimtab_tracer.collect import Collector

    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
        yield HomeClient(_application(store, settings), str(settings.home), user_name(), "cli")


@contextmanager
def own_store(settings: Settings) -> Iterator[Store]:
    """The store of a home that no sidecar serves, with what lay in the spool collected and outcomes inferred.

    Raises:
        StoreError: the store can't be opened.
        TrimtabError: there is no recording.
    """
    from trimtab_analyzer.inferred import infer
    from trimtab_tracer.collect import Collector

    if not (settings.store_path.exists() or settings.spool_dir.is_dir()):
        raise TrimtabError(
            f"There is nothing to look at: {settings.home} holds no recording. Add `trimtab.instrument()` to an agent"
            " and run it here, bring recorded runs in with `trimtab import`, or name another home with --home."
        )
    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
        with store.transaction() as con:
            infer(con)
        yield store


def _lock(settings: Settings, is_patient: bool) -> home.HomeLock | Client:
    """The right to the home, or a sidecar that has just been started and has it."""
    try:
        return home.HomeLock(settings)
    except SidecarError:
        if (found := connect(settings)) is not None:
            return found
        if not is_patient:
            raise
    return home.HomeLock(settings)  # another command has it; it takes a second or two


def _application(store: Store, settings: Settings) -> FastAPI:
    from . import control_routes, policy_routes, table_routes, tuning_routes
    from .control import Control
    from .routing import Desk, application

    desk = Desk(store=store, control=Control(store, settings))
    return application(
        [
            *policy_routes.routers(desk, home.policy_key(settings)),
            *control_routes.routers(desk),
            *tuning_routes.routers(desk),
            table_routes.tables(desk),
        ]
    )
