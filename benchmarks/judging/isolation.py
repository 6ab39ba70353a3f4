"""Shuts the network off: from here on, this process and its children have a loopback and nothing else.

In: nothing. Out: None, or why it could not be done (not Linux, no permission): then agents run with the network that
the machine has, and the report says so. Frameworks phone home; what an agent does must not depend on who answers.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def isolate() -> str | None:
    """Enter a network namespace of one's own and bring its loopback up; to be called before there are threads."""
    uid, gid = os.getuid(), os.getgid()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER):
            number = ctypes.get_errno()
            return f"unshare: {os.strerror(number)}"
        if uid:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        _loopback_up()
    except (AttributeError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _loopback_up() -> None:
    name = b"lo".ljust(16, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        answer = fcntl.ioctl(handle, SIOCGIFFLAGS, name + bytes(24))
        flags = struct.unpack_from("H", answer, 16)[0]
        fcntl.ioctl(handle, SIOCSIFFLAGS, name + struct.pack("H", flags | IFF_UP) + bytes(22))
