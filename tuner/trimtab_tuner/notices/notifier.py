"""Tells a webhook what is new, once each, and never in anybody's way.

In: the store and the settings. Out: rows of ``notices`` and HTTP requests. A notice is written down before it is sent
and marked when it was taken: a sidecar that is killed in between sends it once more rather than never. What was there
before the first look is told of to nobody. A webhook that fails is tried again later each time, :data:`TRIES` times in
all; the log says so once. The address is a secret and is in no message, log or row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import httpx

from ..control import rows
from ..reads import Row, fetch
from . import messages

if TYPE_CHECKING:
    from trimtab_tracer.settings import Settings
    from trimtab_tracer.store import Store

log = logging.getLogger("trimtab.notices")

TIMEOUT_S: Final = 10.0
TRIES: Final = 6
PAUSES_S: Final = (30, 120, 600, 3_600, 6 * 3_600)
"""Before each try but the first."""
MOST: Final = 20
"""Notices of one look; the others wait for the next."""
BEGUN: Final = ("since", "")
"""Key of the row that says that notices are sent."""


class Notifier:
    """Looks for what is new in one store. Not thread-safe: one loop calls :meth:`step`."""

    def __init__(self, store: Store, settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> None:
        """``settings.notify_url`` is the webhook; without one nothing may be called."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._has_failed = False

    def step(self) -> None:
        """Note what is new, and send what is due."""
        self._note()
        with closing(self._store.cursor()) as con:
            due = fetch(con, _statement("due"), now_ns=self._clock(), most=MOST)
        for row in due:
            problem = send(self._settings, row)
            self._mark(row, problem)
            self._say(problem)
            if problem is not None:
                break  # the others would meet the same

    def _note(self) -> None:
        kinds = list(self._settings.notify_on)
        with closing(self._store.cursor()) as con:
            begun = rows.one(con, "notices", "kind", BEGUN[0])
            found = fetch(con, _statement("news"), kinds=kinds, most=MOST if begun else 2**31)
        if begun and not found:
            return
        now_ns = self._clock()
        with self._store.transaction() as con:
            if not begun:
                rows.insert(con, "notices", {"kind": BEGUN[0], "subject": BEGUN[1], "noted_ns": now_ns})
            for row in found:
                known = {"kind": row["kind"], "subject": row["subject"], "noted_ns": now_ns}
                rows.insert(con, "notices", known | {"next_ns": now_ns if begun else None})

    def _mark(self, row: Row, problem: str | None) -> None:
        now_ns, tries = self._clock(), row["tries"] + 1
        sent_ns = now_ns if problem is None else None
        goes_on = problem is not None and tries < TRIES
        next_ns = now_ns + PAUSES_S[tries - 1] * 10**9 if goes_on else None
        sql = "UPDATE notices SET sent_ns = ?, tries = ?, next_ns = ?, error = ? WHERE kind = ? AND subject = ?"
        with self._store.transaction() as con:
            con.execute(sql, [sent_ns, tries, next_ns, problem, row["kind"], row["subject"]])

    def _say(self, problem: str | None) -> None:
        if problem is not None and not self._has_failed:
            log.warning("The webhook of notify_url did not take a notice: %s; it is tried again.", problem)
        if problem is None and self._has_failed:
            log.info("The webhook of notify_url takes notices again.")
        self._has_failed = problem is not None


def send(settings: Settings, row: Row) -> str | None:
    """Send one notice; why it was not taken, without the address, or None where it was."""
    assert settings.notify_url is not None
    made: Callable[[Row, str], dict[str, Any]] = (
        messages.as_slack if settings.notify_format == "slack" else messages.as_json
    )
    try:
        body = made(row, str(settings.home))
        answer = httpx.post(settings.notify_url, json=body, timeout=TIMEOUT_S, follow_redirects=False, trust_env=True)
    except httpx.HTTPError as error:
        return type(error).__name__
    return None if answer.is_success else f"HTTP {answer.status_code}"


def send_test(settings: Settings) -> str | None:
    """Send a notice that says that it is a test; why it was not taken, or None where it was."""
    return send(settings, {"kind": "test", "noted_ns": time.time_ns()})


@cache
def _statement(name: str) -> str:
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
