"""The agent's end of the socket in its home: hands captured bytes to the sidecar, which parses them instead of us.

In: :class:`.caught.Caught`, in the order in which they ended. Out: one message each (:mod:`.frames`), sent without
waiting, and kept in memory until the sidecar says that its records are written. A module of its own because it alone
knows the socket; who does the work where there is none is :mod:`.writer`'s to decide.

Nothing here waits inside a call. A sidecar that is gone, hangs, or is not of this user is left: then
:meth:`Handover.take_back` gives what it did not acknowledge, for the records of an attempt that come twice are one in
the store. Linux alone has these sockets and names the user at their other end; elsewhere :func:`connect` finds nobody.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import frames
from .caught import Caught
from .frames import SOCKET, FrameError
from .memory import Journal
from .records import Process

WELCOME_S = 0.5
"""Longest that a sidecar may take to answer a hello."""

SEND_BUFFER_BYTES = 1 << 20
"""What may be on its way, as far as the system allows it: a sidecar that is busy for a moment is not noticed."""

LARGE_BYTES = 128 * 1024
"""Larger messages leave their bodies in a file in memory."""

MAX_UNACKED_BYTES = 16 * 1024 * 1024
"""Bodies that may wait for the sidecar to say that they are written."""

LOOK_AFTER = 32
"""Attempts after which it is looked whether the sidecar has said so."""

_MEMOS_BYTES = 64 * 1024
IS_ABLE = all(hasattr(socket, name) for name in ("AF_UNIX", "SOCK_SEQPACKET", "SO_PEERCRED")) and hasattr(
    os, "memfd_create"
)
"""Whether this system has what both ends need."""


MAX_ADDRESS_BYTES = 107
"""Longest path that a socket's address holds on Linux (``sun_path`` without its end)."""


@contextmanager
def address(home: Path) -> Iterator[str]:
    """The address of the socket in ``home``: its path, or where that is too long, one through the open folder.

    Raises:
        OSError: there is no such folder.
    """
    path = os.fspath(home / SOCKET)
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield path
        return
    with _Descriptor(os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
        yield f"/proc/self/fd/{folder.fd}/{SOCKET}"


def connect(home: Path, process: Process, content_mode: str, journal: Journal) -> Handover | None:
    """A sidecar of this user that serves ``home`` and is told what ``journal`` remembers; None where there is none.

    Waits at most :data:`WELCOME_S`: call it from a thread of ours.
    """
    if not IS_ABLE:
        return None
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _open.add(end)
    try:
        end.settimeout(WELCOME_S)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        with address(home) as where:
            end.connect(where)
        if peer_uid(end) == os.geteuid():
            end.sendall(frames.hello(process, content_mode))
            for message in _memory(journal):
                end.sendall(message)
            if end.recv(64) == frames.WELCOME:
                return Handover(end, journal)
    except (OSError, ValueError):  # nobody there, another user's, one that hangs
        pass
    end.close()
    return None


def peer_uid(end: socket.socket) -> int:
    """The user at the other end, as the system says."""
    return int(struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


def _memory(journal: Journal) -> list[bytes]:
    messages, size = [bytearray()], 0
    for line in journal.lines():
        if size + len(line) > _MEMOS_BYTES:
            messages.append(bytearray())
            size = 0
        messages[-1] += line + b"\n"
        size += len(line) + 1
    return [frames.MEMORY + bytes(message).rstrip(b"\n") for message in messages if message]


class Handover:
    """A connection to the sidecar. Its caller sees to it that no two threads are in it at once.

    Args:
        end: Connected and welcomed.
        journal: Gets the memos that come with each ack.
    """

    def __init__(self, end: socket.socket, journal: Journal) -> None:
        end.setblocking(False)
        self._end = end
        self._journal = journal
        self._number = 0
        self._unacked: deque[tuple[int, Caught]] = deque()
        self._unacked_bytes = 0
        self._received = bytearray(frames.MAX_MESSAGE_BYTES)
        self._look_at = LOOK_AFTER
        self.is_broken = False
        """Whether the sidecar is gone, or was given up."""
        _open.add(self)

    @property
    def sent(self) -> int:
        """Number of the last attempt that was sent."""
        return self._number

    def is_settled(self, number: int) -> bool:
        """Whether everything up to this number has been acknowledged."""
        return not self._unacked or self._unacked[0][0] > number

    def offer(self, caught: Caught) -> bool:
        """Send an attempt if that takes no waiting; whether it was sent."""
        if len(self._unacked) >= self._look_at or self._unacked_bytes > MAX_UNACKED_BYTES // 4:
            self.read()
        is_much = self._unacked_bytes + caught.size_bytes > MAX_UNACKED_BYTES
        if self.is_broken or (is_much and self._unacked):
            return False
        parts, size = frames.attempt(self._number + 1, caught)
        try:
            if size <= LARGE_BYTES:
                self._end.sendmsg(parts)
            else:
                self._send_large(parts)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.is_broken = True
            return False
        self._number += 1
        self._unacked.append((self._number, caught))
        self._unacked_bytes += caught.size_bytes
        return True

    def _send_large(self, parts: list[bytes]) -> None:
        with _Descriptor(os.memfd_create("trimtab", os.MFD_CLOEXEC)) as file:
            for body in parts[3:]:
                view = memoryview(body)
                while view:
                    view = view[os.write(file.fd, view) :]
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file.fd))
            self._end.sendmsg(frames.without_bodies(parts), [rights])

    def wait(self, caught: Caught, timeout_s: float) -> bool:
        """Wait until ``caught`` may be offered again; False where nothing moved for ``timeout_s`` seconds."""
        needs_ack = self._unacked_bytes + caught.size_bytes > MAX_UNACKED_BYTES and bool(self._unacked)
        return self._poll(select.POLLIN if needs_ack else select.POLLIN | select.POLLOUT, timeout_s)

    def hear(self, timeout_s: float) -> bool:
        """Wait for the sidecar to say something, at most ``timeout_s`` seconds. May run beside the other methods."""
        return self._poll(select.POLLIN, timeout_s)

    def _poll(self, events: int, timeout_s: float) -> bool:
        waiting = select.poll()
        try:
            waiting.register(self._end, events)
            return bool(waiting.poll(max(1.0, timeout_s * 1e3)))
        except (OSError, ValueError):  # it was closed meanwhile
            return False

    def read(self) -> None:
        """Let go of what was acknowledged so far."""
        self._look_at = len(self._unacked) + LOOK_AFTER // 2
        while True:
            try:
                size = self._end.recv_into(self._received)
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionResetError:  # it left something unread; what it had said comes after this
                self.is_broken = True
                continue
            except OSError:
                size = 0
            if not size:
                self.is_broken = True
                break
            try:
                number, memos = frames.read_ack(bytes(self._received[:size]))
            except FrameError:
                self.is_broken = True
                break
            for memo in memos:
                self._journal.add(memo)
            while self._unacked and self._unacked[0][0] <= number:
                self._unacked_bytes -= self._unacked.popleft()[1].size_bytes
        self._look_at = max(LOOK_AFTER, min(self._look_at, len(self._unacked) + LOOK_AFTER // 2))

    def take_back(self) -> list[Caught]:
        """End the connection; what was not acknowledged, in order."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)
        self.read()
        self.close()
        back = [caught for _, caught in self._unacked]
        self._unacked.clear()
        return back

    def close(self) -> None:
        """Let go of the socket; what was sent is still read at its other end."""
        self.is_broken = True
        self._end.close()


class _Descriptor:
    """A descriptor that is open for a moment, and not in a child that is forked in it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        _open.add(self)

    def close(self) -> None:
        """Let go of it, once."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> _Descriptor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_open: weakref.WeakSet[Handover | socket.socket | _Descriptor] = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child: the connection is the parent's, and ends when that lets go of it."""
    for one in list(_open):
        one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
