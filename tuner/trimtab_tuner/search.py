"""Which of some runs hold a text: in their name, task or error, or in the kept texts of their calls.

In: ids of runs and the text. Out: the ids of those that hold it, whatever the case of its letters. There is no index of
texts: they are the bulk of the data, change hands with each retention, and a search is rare; so a caller names how many
runs are looked through, and says so (:data:`SEARCHED`). A file of texts that is gone or damaged costs its texts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from .reads import fetch, statement

if TYPE_CHECKING:
    from trimtab_tracer.store import Store

log = logging.getLogger("trimtab.api")

SEARCHED: Final = 500
"""Runs that one search looks through."""


def runs_with(store: Store, run_ids: Sequence[str], text: str) -> set[str]:
    """Those of ``run_ids`` that hold ``text``, which is at least one character.

    Each question has a cursor of its own: a file that can't be read would fail what else a transaction asks.
    """
    asked: dict[str, object] = {"run_ids": list(run_ids), "text": text}
    found = _ids(store, "text_runs", asked)
    for _ in range(2):  # between index and file the collector may have joined some: then ask the index again
        files = _files(store, run_ids)
        try:
            return found | (_ids(store, "text_content", asked | {"files": files}) if files else set())
        except duckdb.FatalException:
            raise
        except duckdb.Error:
            continue
    return found.union(*(_in_one(store, file, asked) for file in files))


def _files(store: Store, run_ids: Sequence[str]) -> list[str]:
    """Files that are there, with texts of these runs."""
    with closing(store.cursor()) as con:
        rows = fetch(con, statement("text_segments"), run_ids=list(run_ids))
    return [str(path) for row in rows if (path := store.content_dir / row["segment"]).is_file()]


def _in_one(store: Store, file: str, asked: dict[str, object]) -> set[str]:
    try:
        return _ids(store, "text_content", asked | {"files": [file]})
    except duckdb.FatalException:
        raise
    except duckdb.Error as error:
        log.warning("the texts in %s were not searched: %s", Path(file).name, error)
        return set()


def _ids(store: Store, question: str, asked: dict[str, object]) -> set[str]:
    with closing(store.cursor()) as con:
        return {row["run_id"] for row in fetch(con, statement(question), **asked)}
