"""The home as the sidecar finds and leaves it: folder, secrets, lock, and the note that says who serves it.

In: resolved settings. Out: a home that exists and belongs to one sidecar at a time; for clients, the address
and token of that sidecar. Apart from :mod:`.sidecar` because clients need the second half without a database.

The lock is the kernel's (``flock`` on ``sidecar.lock``): it goes with the process however that ends, so a note
left behind by a killed sidecar is recognised as stale even if its pid was given to someone else. What can't be
made or written raises :class:`~trimtab_tracer.errors.SidecarError` with the next step; nothing is deleted here
except our own note.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from trimtab_tracer.errors import SidecarError
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import keep_out_of_git

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: the store's own lock decides, its message names no address
    fcntl = None  # type: ignore[assignment]

TOKEN_BYTES = 32
"""Entropy of a generated token."""
NOTE_WAIT_S = 3.0
"""How long a second sidecar waits for the first one's note, which is written last, to be able to name its address."""


@dataclass(frozen=True, slots=True)
class Note:
    """Contents of ``sidecar.json``: who serves this home."""

    pid: int
    url: str
    started_ns: int
    version: str
    dashboard_url: str | None = None
    """Where the dashboard answers; None where there is none (yet)."""


_OURS = re.compile(
    r"\.gitignore|spool|content|token(\.read)?|trimtab\.(toml|duckdb(\.wal|\.tmp)?)|policy\.(json|key)|sidecar\.(json|lock)"
    r"|handover\.sock|\.(probe|token|sidecar|policy)\b.*"
)
"""Names of what trimtab keeps in a home."""


def prepare(home: Path) -> None:
    """Make the home if it is missing, for this user only, and check that it can be written.

    A home that holds nothing but what trimtab writes is closed to other users; one that is also something else, such
    as a project's folder, keeps its mode.

    Raises:
        SidecarError: the path is taken by a file, or can't be written.
    """
    try:
        if not home.is_dir():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif _is_ours(home):
            home.chmod(0o700)  # an agent or an earlier version may have left it open
        keep_out_of_git(home)
        probe = home / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise SidecarError.home_is_file(home) from None
    except OSError as error:
        raise SidecarError.home_not_writable(home, error) from None


def _is_ours(home: Path) -> bool:
    """Whether this user owns the folder and trimtab alone uses it."""
    names = [entry.name for entry in home.iterdir()]
    owned = not hasattr(os, "geteuid") or home.stat().st_uid == os.geteuid()
    return owned and not {"spool", "trimtab.duckdb"}.isdisjoint(names) and all(_OURS.fullmatch(name) for name in names)


class HomeLock:
    """The right to serve a home; held from construction until :meth:`release` or the end of the process.

    Raises:
        SidecarError: another living sidecar holds it; the message names its address.
    """

    def __init__(self, settings: Settings) -> None:
        self._fd = os.open(settings.home / "sidecar.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            note = _wait_for_note(settings)
            raise SidecarError.already_running(
                settings.home, note.url if note else None, note.pid if note else None
            ) from None

    def release(self) -> None:
        """Let another sidecar have the home."""
        os.close(self._fd)


def token(settings: Settings) -> str:
    """The API's token; generated and kept in a file of mode 0600 if there is none yet."""
    return _secret(settings.home, settings.token_path)


def read_only_token(settings: Settings) -> str:
    """A token with which the API can only be read; kept like :func:`token`."""
    return _secret(settings.home, settings.home / "token.read")


def policy_key(settings: Settings) -> str:
    """The key that signs the policy for agents elsewhere; kept like :func:`token`."""
    return _secret(settings.home, settings.policy_key_path)


def read_token(settings: Settings) -> str | None:
    """The token on disk, or None where there is none.

    Raises:
        SidecarError: the home is no folder, or this user may not read the token.
    """
    return _read_secret(settings.home, settings.token_path)


def _secret(home: Path, path: Path) -> str:
    """The secret in the file at ``path``; made if there is none, for this user only."""
    try:
        found = _read_secret(home, path)
        if found:
            path.chmod(0o600)
            return found
        fresh = secrets.token_urlsafe(TOKEN_BYTES)
        replace_file(path, f"{fresh}\n".encode())
    except OSError as error:
        raise SidecarError.home_not_writable(home, error) from None
    return fresh


def _read_secret(home: Path, path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    except NotADirectoryError:
        raise SidecarError.home_is_file(home) from None
    except PermissionError:
        raise SidecarError.no_access(home, path) from None


def write_note(settings: Settings, note: Note) -> None:
    """Tell clients who serves this home."""
    replace_file(settings.sidecar_path, (json.dumps(asdict(note)) + "\n").encode())


def remove_note(settings: Settings) -> None:
    """Take the note away again."""
    settings.sidecar_path.unlink(missing_ok=True)


def read_note(settings: Settings) -> Note | None:
    """The note of a sidecar whose process is alive; None for no note, a broken one or a dead process."""
    try:
        data = json.loads(settings.sidecar_path.read_text(encoding="utf-8"))
        note = Note(
            pid=int(data["pid"]),
            url=str(data["url"]),
            started_ns=int(data["started_ns"]),
            version=str(data["version"]),
            dashboard_url=data.get("dashboard_url"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if is_alive(note.pid) else None


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists."""
    try:
        os.kill(pid, 0)
    except PermissionError:  # it does, but belongs to another user
        return True
    except (OSError, OverflowError):
        return False
    return True


def _wait_for_note(settings: Settings) -> Note | None:
    """The holder's note; it may have taken the lock only just now."""
    end = time.monotonic() + NOTE_WAIT_S
    while (note := read_note(settings)) is None and time.monotonic() < end:
        time.sleep(0.05)
    return note


def replace_file(path: Path, content: bytes) -> None:
    """Write ``path`` whole or not at all, readable by this user only; returns when it would survive a power cut.

    Raises:
        OSError: it can't be written; what was there before is there still, and nothing else is left.
    """
    temporary = path.with_name(f".{path.name}.new")  # one name: what a killed process left is overwritten
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            if not temporary.is_symlink():  # what was left over keeps its mode otherwise
                temporary.chmod(0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a renaming last. Where a file system or Windows can't, the new file may be the old one after a power cut."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
