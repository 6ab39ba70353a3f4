"""Every error that trimtab raises on purpose.

::

    TrimtabError                exit 1   anything below, caught in one place by the command line
    ├── SettingsError           exit 2   a setting is unknown or has a value that can't be used
    ├── UsageError              exit 2   options of a command that can't go together, or a value that means nothing
    ├── PolicyError             exit 2   a policy document, or a value in one, can't be used
    ├── ImportFormatError       exit 2   a file given to ``trimtab import`` is of no known format
    ├── MissingExtra            exit 1   a command needs packages that are not installed
    ├── SpoolError              exit 3   a spool segment can't be read
    ├── StoreError              exit 3   the store can't be opened: locked, newer than us, damaged, unreadable
    └── SidecarError            exit 3   the sidecar can't start or can't be reached

In: what failed, the value seen, what was expected. Out: one message of full sentences that ends in the
next step, so that the command line can print it as it is. Long messages are built in class methods
here and not where they are raised. The module imports nothing of ours and nothing heavy: every other
module, also those inside the user's agent, may import it. In the user's process none of these leaves
:func:`trimtab.instrument`; there we fail open.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self


def near(value: str, known: Iterable[str]) -> str:
    """`` Did you mean 'port'?`` for the candidates next to ``value``, or an empty string."""
    import difflib  # only when something already went wrong

    close = difflib.get_close_matches(value, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


def is_full(error: BaseException) -> bool:
    """Whether a disk or a quota is used up; DuckDB tells it only in its text, in the words of the C library."""
    codes = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in codes
    return any(os.strerror(code) in str(error) for code in codes)


def no_space(place: Path | str) -> str:
    """What to do where nothing more fits into ``place``."""
    return f"There is no space left on {place}; free some and try again: nothing in the spool is lost."


def is_forbidden(error: BaseException) -> bool:
    """Whether permissions are in the way; DuckDB tells that too only in its text."""
    return isinstance(error, PermissionError) or os.strerror(errno.EACCES) in str(error)


def whose(path: Path) -> str:
    """Who owns ``path`` with which mode and who asks; of the nearest folder above it if that is all one may see."""
    for place in (path, *path.absolute().parents):
        try:
            found = place.stat()
        except OSError:
            continue
        return f"{place} belongs to {_user(found.st_uid)} with mode {found.st_mode & 0o7777:04o}{_asker()}"
    return "nothing above it can be looked at either"


def _asker() -> str:
    return f", and this is {_user(os.geteuid())}" if hasattr(os, "geteuid") else ""  # Windows has none


def _user(uid: int) -> str:
    try:
        import pwd  # only when something already went wrong

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):  # Windows, or a number without a name
        return f"user {uid}"


class TrimtabError(Exception):
    """Base of all errors of trimtab. Its message is for people and ends in the next step."""

    exit_code: ClassVar[int] = 1
    """What the command line exits with."""


class SettingsError(TrimtabError):
    """A setting is unknown, or its value can't be used."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def unknown_key(cls, key: str, where: str, known: Iterable[str]) -> Self:
        """``key`` was found in ``where`` (a file, or ``argument``) but is no setting."""
        names = sorted(known)
        return cls(
            f"{where}: there is no setting {key!r}.{near(key, names)}"
            f" Known settings: {', '.join(names)}. `trimtab config` shows what each one means."
        )

    @classmethod
    def bad_value(cls, name: str, value: object, expected: str, where: str) -> Self:
        """``where`` gives setting ``name`` a ``value`` that is not ``expected``."""
        return cls(f"{where}: setting {name!r} is {value!r}, expected {expected}. Correct it there and start again.")

    @classmethod
    def unreadable_file(cls, path: Path, error: Exception) -> Self:
        """The settings file at ``path`` can't be read or is no TOML."""
        return cls(
            f"{path}: the settings can't be read: {error}. Correct the file, or move it away to use the defaults."
        )


class UsageError(TrimtabError):
    """A command was called with options that can't go together, or with a value that means nothing."""

    exit_code: ClassVar[int] = 2


class PolicyError(TrimtabError):
    """A policy document, or a value in one, can't be used: nothing of it is obeyed."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def unusable(cls, where: str, seen: str, expected: str) -> Self:
        """``where`` (``rules[3].value``) is ``seen``, already fit to be shown, and should be ``expected``."""
        return cls(f"{where} is {seen}, expected {expected}.")

    @classmethod
    def unknown_key(cls, where: str, key: str, known: Iterable[str]) -> Self:
        """The object at ``where`` has a ``key``, already fit to be shown, that nobody knows."""
        names = sorted(known)
        return cls(
            f"{where} has the unknown key {key}.{near(key.strip(chr(34)), names)} Known keys: {', '.join(names)}."
        )

    @classmethod
    def missing_key(cls, where: str, key: str) -> Self:
        """The object at ``where`` lacks a ``key`` that must be there."""
        return cls(f"{where} lacks the key {key!r}, expected it to be given.")


class ImportFormatError(TrimtabError):
    """A file given to an importer is of no known format."""

    exit_code: ClassVar[int] = 2

    @classmethod
    def unknown(cls, path: Path, seen: str, known: Iterable[str]) -> Self:
        """``path`` holds ``seen``, which is none of the ``known`` formats."""
        return cls(
            f"{path}: not a known format; it holds {seen}. Known formats: {', '.join(known)}."
            " Pass one of them with --format if the file was not recognised."
        )


class MissingExtra(TrimtabError):  # noqa: N818 - "missing extra" already says what is wrong
    """A command needs packages that come with an extra which is not installed."""

    @classmethod
    def for_command(cls, command: str, extra: str, module: str) -> Self:
        """``trimtab <command>`` failed to import ``module``, which ``trimtab[<extra>]`` brings."""
        return cls(
            f"trimtab {command} needs the {extra} extra: pip install 'trimtab[{extra}]'"
            f" (the module {module!r} is not installed)."
        )


class SpoolError(TrimtabError):
    """A spool segment can't be read by this version."""

    exit_code: ClassVar[int] = 3

    @classmethod
    def newer_schema(cls, path: Path, found: int, known: int) -> Self:
        """The segment at ``path`` was written with record schema ``found``; we read up to ``known``."""
        return cls(
            f"{path}: written with record schema {found}, this trimtab reads up to {known}."
            " Upgrade trimtab where the sidecar runs; the segment stays where it is until then."
        )


class StoreError(TrimtabError):
    """The store can't be opened or does not have the shape we know."""

    exit_code: ClassVar[int] = 3

    @classmethod
    def locked(cls, path: Path, holder_pid: int | None) -> Self:
        """Another process (``holder_pid`` where known) has the store open."""
        holder = f"process {holder_pid}" if holder_pid is not None else "another process"
        return cls(
            f"{path}: {holder} has the store open, and only one process can."
            " If it is a running `trimtab up`, use that one, or stop it first."
        )

    @classmethod
    def newer_schema(cls, path: Path, unknown: Iterable[str]) -> Self:
        """The store at ``path`` carries migrations that this version does not know."""
        return cls(
            f"{path}: made by a newer trimtab (it has the migrations {', '.join(unknown)}, unknown here)."
            " Upgrade trimtab, or use another home with TRIMTAB_HOME."
        )

    @classmethod
    def unreadable(cls, path: Path, error: Exception) -> Self:
        """DuckDB or the file system refused to open ``path``."""
        if is_full(error):
            return cls(no_space(path.parent))
        if is_forbidden(error):
            return cls(f"{path}: the store can't be opened: {whose(path)}. Give this user access to it.")
        return cls(
            f"{path}: the store can't be opened: {error}."
            " Move the file away to begin with an empty store; the spool is read again as far as it is still there."
        )

    @classmethod
    def failed(cls, path: Path, error: Exception) -> Self:
        """DuckDB has given up the open store: nothing more can be written to it by this process."""
        return cls(
            f"{path}: the store has failed: {error}."
            " Nothing is lost: free space on the disk if it is full, then start `trimtab up` again."
        )


class SidecarError(TrimtabError):
    """The sidecar can't start, or can't be reached."""

    exit_code: ClassVar[int] = 3
    status: int | None = None
    """HTTP status of a refusal."""

    @classmethod
    def already_running(cls, home: Path, url: str | None, pid: int | None) -> Self:
        """Another living sidecar serves this home, at ``url`` where that is known already."""
        if url is None:
            return cls(
                f"A sidecar already serves {home} and is just starting, or another command works on it;"
                " try again in a moment, or stop it first."
            )
        return cls(
            f"A sidecar already serves {home}: {url} (process {pid}); use that one, or stop it with `kill {pid}`."
        )

    @classmethod
    def port_in_use(cls, host: str, port: int) -> Self:
        """Something else listens on the port."""
        return cls(
            f"Port {port} on {host} is in use by another program; start with `--port 0` to get a free one,"
            " or name one with TRIMTAB_PORT."
        )

    @classmethod
    def cannot_listen(cls, host: str, port: int, error: OSError) -> Self:
        """The address can't be listened on for a reason other than being taken."""
        return cls(
            f"Can't listen on {host} port {port}: {error.strerror or error}; choose another one with --host and --port."
        )

    @classmethod
    def home_is_file(cls, home: Path) -> Self:
        """The home's path, or one of its parents, is taken by something that is no folder."""
        return cls(
            f"The home {home} can't be used because it is no folder;"
            " move that file, or set TRIMTAB_HOME to another place."
        )

    @classmethod
    def home_not_writable(cls, home: Path, error: OSError) -> Self:
        """The home can't be made or written to."""
        if is_full(error):
            return cls(no_space(home))
        why = whose(home) if is_forbidden(error) else error.strerror or error
        return cls(
            f"The home {home} can't be written: {why};"
            " give this user write access to it, or set TRIMTAB_HOME to another place."
        )

    @classmethod
    def no_access(cls, home: Path, path: Path) -> Self:
        """This user may not read ``path`` in the home, or not even look into the home."""
        return cls(
            f"The home {home} can't be read: {whose(path)};"
            " give this user access to it, or set TRIMTAB_HOME to another place."
        )

    @classmethod
    def unreachable(cls, url: str, error: Exception) -> Self:
        """A sidecar should listen at ``url`` but does not answer."""
        return cls(f"The sidecar at {url} does not answer: {error}; check that `trimtab up` still runs.")

    @classmethod
    def other_token(cls, url: str, token_path: Path, pid: int) -> Self:
        """The sidecar does not take the token that lies in its home."""
        return cls(
            f"The sidecar at {url} does not take the token in {token_path}: the file has changed since the sidecar"
            f" started; stop it (`kill {pid}`) and start it again."
        )

    @classmethod
    def refused(cls, url: str, status: int, detail: str) -> Self:
        """The sidecar answered a request with an error."""
        error = cls(f"The sidecar refused {url} with status {status}: {detail}")
        error.status = status
        return error
