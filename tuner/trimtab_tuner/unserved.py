"""A home's store for a command that changes all of it: nobody serves it meanwhile, and what lies in the spool is in it.

In: settings. Out: the open store, under the home's lock. A module of its own because :mod:`.home` knows no database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trimtab_tracer.collect import Collector
from trimtab_tracer.errors import TrimtabError
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

from . import home


@contextmanager
def unserved_store(settings: Settings, task: str) -> Iterator[Store]:
    """The store, until the end of the block.

    Args:
        settings: Whose home it is.
        task: A verb, for the error: there is nothing to ``price``.

    Raises:
        SidecarError: a sidecar serves the home; it is named.
        TrimtabError: the home holds no recording.
    """
    if not (settings.store_path.exists() or settings.spool_dir.is_dir()):
        raise TrimtabError(f"There is nothing to {task}: {settings.home} holds no recording; name another with --home.")
    home.prepare(settings.home)
    lock = home.HomeLock(settings)
    try:
        with Store.open(settings.store_path) as store:
            Collector(store, settings).collect_once()
            yield store
    finally:
        lock.release()
