"""The published policy: one file that is always whole, and the same bytes for those who ask over HTTP.

In: documents of the store, after they were committed. Out: ``policy.json``, written to a temporary file, flushed and
renamed, readable by this user only; and for readers in this process the same text with its ETag, and a bell that
rings when it changes. The store is the truth and this is its shadow: an older document never replaces a newer one,
and what a full disk kept from being written is written as soon as :meth:`Publisher.refresh` finds that it can be.

A document is issued again before a quarter of its lifetime has passed, so agents can tell a living sidecar from a
gone one. All controls over one store share one publisher, or two of them could overwrite each other's file.
"""

from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy import MAX_BYTES, parse
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

from .. import home
from .document import Json, encode, terms

log = logging.getLogger("trimtab.control")

REISSUES_PER_LIFETIME = 4
"""How often a document is issued while it holds: a sidecar that hangs for half a lifetime goes unnoticed."""


@dataclass(frozen=True, slots=True)
class Published:
    """What agents are told now."""

    version: int
    issued_ns: int
    text: bytes
    """The document as it is in the file; what a signature is made over."""
    etag: str
    """``"<version>-<issued_ns>"``, in quotes: changes with every issue."""
    document: Json

    @property
    def is_frozen(self) -> bool:
        """Whether steering is stopped."""
        return bool(self.document["frozen"])

    @classmethod
    def of(cls, document: Json) -> Self:
        """The document as it is published."""
        version, issued_ns = document["version"], document["issued_ns"]
        return cls(version, issued_ns, encode(document), f'"{version}-{issued_ns}"', document)


class Publisher:
    """Publishes the policy of one store. Safe to use from any thread."""

    _all: ClassVar[WeakKeyDictionary[Store, Publisher]] = WeakKeyDictionary()
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, settings: Settings, document: Json, now_ns: int) -> None:
        """Issue ``document``, which is the newest in the store; the file is written by :meth:`refresh`."""
        self.path = settings.policy_path
        self.bell = threading.Condition()
        """Rings when :attr:`current` or :attr:`last_audit_id` has changed."""
        self.last_audit_id = 0
        self._terms = terms(settings)
        self._document = document
        self._halts = 0
        self._listeners: list[Callable[[], None]] = []
        self._writing = threading.Lock()
        self._stamp: tuple[Any, ...] | None = None
        self.current = self._issued(now_ns, 0)

    @classmethod
    def of(cls, store: Store, settings: Settings, document: Json, now_ns: int) -> Publisher:
        """The publisher of ``store``; made with ``document`` if it has none yet."""
        with cls._making:
            if (found := cls._all.get(store)) is None:
                found = cls._all[store] = cls(settings, document, now_ns)
            return found

    def show(self, document: Json, now_ns: int, *, ends_halt: bool = False) -> None:
        """Publish a committed document, unless a newer one is out already.

        Args:
            document: As it is in the store.
            now_ns: The time.
            ends_halt: It freezes in place of one :meth:`halt`, in the same moment.

        Raises:
            OSError: the file could not be written; HTTP readers have the document, and :meth:`refresh` tries again.
        """
        with self._writing:
            self._halts -= ends_halt
            if document["version"] > self._document["version"]:
                self._document = document
            if (self.current.version, self.current.is_frozen) != (self._document["version"], self._is_frozen):
                self._issue(now_ns)
            self._write_or_remove()

    def halt(self, now_ns: int) -> None:
        """Publish what is out now, but frozen, and everything that comes until the halt ends too.

        Raises:
            OSError: the file could not be written; HTTP readers see it frozen.
        """
        with self._writing:
            self._halts += 1
            self._issue(now_ns)
            self._write_or_remove()

    def refresh(self, now_ns: int) -> None:
        """Issue the document again if it is time to, and write the file if it is not as it was left.

        Raises:
            OSError: the file could not be written.
        """
        with self._writing:
            age_ns = now_ns - self.current.issued_ns
            # A clock that was put back must not leave a document from the future, which agents refuse.
            if not 0 <= age_ns * REISSUES_PER_LIFETIME < self._terms["lifetime_s"] * 10**9:
                self._issue(now_ns)
            self._write_if_other()

    def was_frozen_by_hand(self, now_ns: int) -> bool:
        """Whether someone else has frozen what is out by writing the file: past a sidecar that hung, say."""
        with self._writing:
            if self.current.is_frozen or self._is_as_left():
                return False
            return is_left_frozen(self.path, self.current.version, now_ns)

    def announce(self, audit_id: int) -> None:
        """Tell who waits that the audit has rows up to ``audit_id``."""
        with self.bell:
            self.last_audit_id = max(self.last_audit_id, audit_id)
        self.ring()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change, from any thread; it must be quick, not raise and decide nothing."""
        self._listeners.append(listener)

    def ring(self) -> None:
        """Wake who waits."""
        with self.bell:
            self.bell.notify_all()
        for listener in self._listeners:
            listener()

    def _issue(self, now_ns: int) -> None:
        self.current = self._issued(now_ns, self.current.issued_ns)
        self.ring()

    def _issued(self, now_ns: int, before_ns: int) -> Published:
        issued_ns = now_ns + (now_ns == before_ns)  # each issue has an ETag of its own
        return Published.of({**self._document, **self._terms, "issued_ns": issued_ns, "frozen": self._is_frozen})

    @property
    def _is_frozen(self) -> bool:
        return bool(self._document["frozen"] or self._halts)

    def _write_or_remove(self) -> None:
        """Write the file if it is not as it was left; a frozen one that can't be written is taken away instead.

        No file means no steering too, and a full disk lets one be removed.
        """
        try:
            self._write_if_other()
        except OSError as error:
            if not self._is_frozen:
                raise
            self.path.unlink(missing_ok=True)
            log.error(
                "%s: the frozen policy can't be written: %s; removed it, which stops steering too.", self.path, error
            )

    def _write_if_other(self) -> None:
        if not self._is_as_left():
            home.replace_file(self.path, self.current.text)
            self._stamp = (*_stamp(self.path), self.current.etag)

    def _is_as_left(self) -> bool:
        """Whether the file is the one that was written last, and holds what is out now."""
        return (*_stamp(self.path), self.current.etag) == self._stamp


def is_left_frozen(path: Path, version: int, now_ns: int) -> bool:
    """Whether the file at ``path`` is a policy of this version that says frozen."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > MAX_BYTES:
            return False
        found = parse(path.read_bytes(), now_ns)
    except (OSError, PolicyError):
        return False
    return found.is_frozen and found.version == version


def _stamp(path: Path) -> tuple[int, ...]:
    """What tells that someone else changed the file, without opening it: it may be anything by now."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid)
