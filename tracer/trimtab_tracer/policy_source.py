"""Where this process gets its policy from: the published file of its home, or a sidecar elsewhere.

In: settings. Out: :meth:`PolicySource.current`, asked before every call the agent makes. A module of its own because it
is the hot path: mostly a look at the monotonic clock and a comparison, every quarter of a second one ``stat`` of the
file, and a parse in the calling thread only when the file has changed. No thread and no network for the file; what
a policy over HTTP needs (:mod:`.policy_remote`) is imported only where its address is set.

Whatever goes wrong here leaves the incumbent in force, and is logged once.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .errors import whose
from .guard import guarded
from .policy import MAX_BYTES, NONE, Policy
from .policy_keeper import PolicyKeeper
from .settings import Settings

LOOK_INTERVAL_S = 0.25
"""Least time between two looks for a change."""
FIRST_LOOK_S = 0.5
"""Longest that threads which make their first calls at once wait for the one of them that looks."""


class Reader(Protocol):
    """Tells a :class:`~.policy_keeper.PolicyKeeper` what there is to obey."""

    def look(self) -> None:
        """See to it that the keeper knows of changes; never waits for a network."""

    def close(self) -> None:
        """Stop whatever runs."""


class PolicySource:
    """The policy of one process; a forked child may go on with its parent's.

    Args:
        settings: Which file or address, and whether there is any steering at all.
        monotonic: Seconds that never go back.
        time_ns: Nanoseconds since the Unix epoch.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        place = settings.policy_url or str(settings.policy_path)
        self._monotonic = monotonic
        self._keeper = PolicyKeeper(place, monotonic, time_ns)
        self._policy = NONE
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._reader = self._reader_for(settings) if settings.steering else None
        self._look_at = float("inf") if self._reader is None else float("-inf")

    def current(self) -> Policy:
        """The policy to obey now; :data:`~.policy.NONE` for the incumbent. About 0.2 us while nothing changes."""
        if self._monotonic() < self._look_at:
            return self._policy
        return self._look()

    @guarded()
    def close(self) -> None:
        """Stop whatever runs; from here on the incumbent is in force."""
        self._look_at, self._policy = float("inf"), NONE
        if self._reader is not None:
            self._reader.close()

    @guarded(NONE)
    def _look(self) -> Policy:
        if self._pid != os.getpid():  # forked, perhaps while another thread held the lock
            self._lock, self._pid = threading.Lock(), os.getpid()
        # Later looks wait for nobody. The first one is waited for, or a run's first calls might differ from its others;
        # not for ever, because a signal handler that interrupts it may make a call, too.
        is_first = self._look_at == float("-inf")
        if self._reader is None or not self._lock.acquire(timeout=FIRST_LOOK_S if is_first else 0):
            return self._policy
        if is_first and self._look_at != float("-inf"):  # another thread has looked meanwhile
            self._lock.release()
            return self._policy
        try:
            self._reader.look()
            self._policy = self._keeper.in_force()
        except Exception:
            self._policy = NONE
            raise
        finally:
            if self._look_at != float("inf"):  # not closed meanwhile
                self._look_at = self._monotonic() + LOOK_INTERVAL_S
            self._lock.release()
        return self._policy

    def _reader_for(self, settings: Settings) -> Reader | None:
        if settings.policy_url is None:
            return PolicyFile(settings.policy_path, self._keeper)
        if settings.policy_key is None:
            self._keeper.say("policy_url is set and policy_key is not, and no policy is taken unsigned")
            return None
        from .policy_remote import RemotePolicy

        return RemotePolicy(settings.policy_url, settings.policy_key, self._keeper)


class PolicyFile:
    """The file that a sidecar on this machine publishes, replaced whole at every change.

    It says what the agent does, so it is only believed if nobody else could have written it.
    """

    def __init__(self, path: Path, keeper: PolicyKeeper) -> None:
        self._path = path
        self._keeper = keeper
        self._seen: tuple[int, ...] = ()
        self._was_there = False

    def look(self) -> None:
        """Read the file if it is another one than last time."""
        try:
            found = os.stat(self._path)
            identity = (found.st_ino, found.st_dev, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            if identity == self._seen:
                return
            self._read()
        except (FileNotFoundError, NotADirectoryError):
            self._gone()
        except OSError as error:
            self._seen = ()
            self._keeper.refuse(f"it can't be read: {error.strerror or error}")
        else:
            self._seen, self._was_there = identity, True

    def close(self) -> None:
        """Nothing runs."""

    def _read(self) -> None:
        # Not blocking, should it be a pipe.
        fd = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(fd, "rb") as file:
            doubt = self._doubt(os.fstat(fd))
            text = b"" if doubt else file.read(MAX_BYTES + 1)
        if doubt:
            self._keeper.refuse(doubt)
        else:
            self._keeper.offer(text)

    def _doubt(self, found: os.stat_result) -> str | None:
        """Why the opened file can't be believed, or None."""
        if not stat.S_ISREG(found.st_mode):
            return "it is no plain file"
        if not hasattr(os, "geteuid"):  # Windows: the home's own rights decide
            return None
        if found.st_uid not in (0, os.geteuid()):
            return f"{whose(self._path)}; expected it to belong to this user or to root"
        if found.st_mode & 0o022:
            return f"{whose(self._path)}; expected a file that only its owner can write, as after `chmod 600`"
        return None

    def _gone(self) -> None:
        self._seen = ()
        if self._was_there:
            self._keeper.withdraw("the policy was removed", logging.WARNING)
        else:
            self._keeper.withdraw("there is no policy yet", logging.INFO)
