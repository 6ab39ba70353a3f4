"""Whether trimtab itself can work here: settings, home, spool, sidecar, policy, clock, disk.

In: the variables and folders of this process. Out: one :class:`Check` each. Nothing is changed, but for a file that is
made in the home and removed again, where there is a home. A check that can't be made says so as a problem.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trimtab_tracer import __version__, policy
from trimtab_tracer.errors import PolicyError, TrimtabError, near
from trimtab_tracer.instrument.switch import ORIGIN
from trimtab_tracer.segments import list_segments
from trimtab_tracer.settings import RUN_SERVICE, TABLE, Settings

OK, NOTE, PROBLEM = "ok", "note", "problem"
OTHER_VARIABLES = ("TRIMTAB_DEBUG", "TRIMTAB_STRICT", "TRIMTAB_REAL_DATA", ORIGIN, RUN_SERVICE)
"""Variables that are no settings."""
NETWORKED = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "ceph", "lustre", "glusterfs")
"""Beginnings of the names of file systems that lie on another machine."""
LOW_DISK_BYTES = 256 << 20
"""Free space below which recording is about to end."""
FULL_SPOOL = 0.5
"""Share of the spool's bound from which on it is named: at twice that, records are dropped."""
CLOCK_SLACK_S = 120
"""How far a file's time may be ahead of the clock."""
OLDEST_YEAR = 2026
"""A clock before the year of this code is wrong."""
CONNECT_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found."""

    name: str
    state: str
    """``ok``, ``note`` (worth knowing) or ``problem``."""
    text: str


def run_checks(environ: Mapping[str, str], home: str | None) -> list[Check]:
    """All checks, in order; with unusable settings only those that need none."""
    found = list(_variables(environ))
    try:
        settings = Settings.resolve(home=home)
    except TrimtabError as error:
        return [*found, Check("settings", PROBLEM, str(error))]
    if settings.disabled:
        found.append(Check("settings", NOTE, "TRIMTAB_DISABLED turns everything off: nothing is recorded."))
    else:
        found.append(Check("settings", OK, f"service {settings.service!r}, content {settings.content}"))
    looks: tuple[Callable[[Settings], Check], ...] = (_home, _file_system, _disk, _spool, _sidecar, _policy, _clock)
    for look in looks:
        try:
            found.append(look(settings))
        except OSError as error:
            found.append(Check(look.__name__.strip("_").replace("_", " "), PROBLEM, f"can't be looked at: {error}."))
    return found


def _variables(environ: Mapping[str, str]) -> Iterator[Check]:
    known = [*(row.env for row in TABLE if row.env), *OTHER_VARIABLES]
    for name in sorted(environ):
        if name.startswith("TRIMTAB_") and name not in known:
            yield Check("variables", PROBLEM, f"{name} means nothing to trimtab.{near(name, known)}")


def _existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def _home(settings: Settings) -> Check:
    home, there = settings.home, _existing(settings.home)
    if not there.is_dir():
        return Check("home", PROBLEM, f"{there} is a file; move it, or set TRIMTAB_HOME to another place.")
    if there != home:
        state, text = (OK, "will be made") if os.access(there, os.W_OK) else (PROBLEM, f"{there} can't be written")
        return Check("home", state, f"{home}: {text}.")
    try:
        with tempfile.TemporaryFile(dir=home, prefix=".probe-"):
            return Check("home", OK, f"{home}: writable.")
    except OSError as error:
        text = f"{home}: can't be written: {error.strerror}; set TRIMTAB_HOME to another place."
        return Check("home", PROBLEM, text)


def _file_system(settings: Settings) -> Check:
    there = _existing(settings.home).resolve()
    kind = _kind_of(there)
    if kind.startswith(NETWORKED):
        text = f"{kind}: on another machine, where locks may not hold; keep the home on a local disk."
        return Check("file system", PROBLEM, text)
    if kind in ("tmpfs", "ramfs"):
        return Check("file system", NOTE, f"{kind}: in memory; what is recorded is gone after a restart.")
    return Check("file system", OK, kind or "unknown")


def _kind_of(path: Path) -> str:
    """Type of the file system that holds ``path``; empty where the system does not tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        place = left.split()[4].replace("\\040", " ")
        if len(place) >= len(best) and path.is_relative_to(place):
            best, kind = place, right.split()[0]
    return kind


def _disk(settings: Settings) -> Check:
    usage = shutil.disk_usage(_existing(settings.home))
    text = f"{_size(usage.free)} free of {_size(usage.total)}"
    if usage.free < LOW_DISK_BYTES:
        return Check("disk", PROBLEM, f"{text}; free some: a full disk costs records.")
    return Check("disk", OK, text)


def _spool(settings: Settings) -> Check:
    sizes = [path.stat().st_size for path in list_segments(settings.spool_dir)]
    text = f"{len(sizes)} segments, {_size(sum(sizes))} of at most {_size(settings.spool_max_bytes)}"
    if sum(sizes) > FULL_SPOOL * settings.spool_max_bytes:
        return Check("spool", PROBLEM, f"{text}; start `trimtab up`, which collects it.")
    return Check("spool", OK, text)


def _sidecar(settings: Settings) -> Check:
    try:
        note = json.loads(settings.sidecar_path.read_text(encoding="utf-8"))
        pid, url, version = int(note["pid"]), str(note["url"]), str(note["version"])
    except FileNotFoundError:
        return Check("sidecar", NOTE, "not running; recording goes on without it. `trimtab up` starts it.")
    except (ValueError, KeyError, TypeError):
        return Check("sidecar", PROBLEM, f"{settings.sidecar_path} can't be read; start `trimtab up` again.")
    if not _is_alive(pid):
        return Check("sidecar", NOTE, "not running (it was killed); `trimtab up` starts it again.")
    if version != __version__:
        text = f"process {pid} is trimtab {version} and this is {__version__}; start `trimtab up` again."
        return Check("sidecar", PROBLEM, text)
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), CONNECT_TIMEOUT_S):
            return Check("sidecar", OK, f"trimtab {version} at {url}, process {pid}")
    except OSError as error:
        return Check("sidecar", PROBLEM, f"process {pid} does not answer at {url}: {error}; start `trimtab up` again.")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _policy(settings: Settings) -> Check:
    if not settings.steering:
        return Check("policy", NOTE, "steering is off: agents do as their code says.")
    if settings.policy_url is not None:
        return Check("policy", OK, f"read from {settings.policy_url}")
    now_ns = time.time_ns()
    try:
        found = policy.parse(settings.policy_path.read_bytes(), now_ns)
    except FileNotFoundError:
        return Check("policy", OK, "none: agents do as their code says.")
    except PolicyError as error:
        return Check("policy", PROBLEM, f"{settings.policy_path} is not obeyed: {error}")
    if found.is_frozen:
        return Check("policy", NOTE, f"version {found.version}, frozen: agents do as their code says.")
    left_s = found.lifetime_s - (now_ns - found.issued_ns) / 1e9
    rules = f"version {found.version} with {len(found.rules)} rules"
    if left_s <= 0:
        return Check("policy", NOTE, f"{rules} is over: agents do as their code says until `trimtab up` runs again.")
    return Check("policy", OK, f"{rules}, obeyed for another {left_s:.0f} s without a sidecar")


def _clock(settings: Settings) -> Check:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if time.gmtime(now).tm_year < OLDEST_YEAR:
        return Check("clock", PROBLEM, f"{shown} is in the past; times and prices will be wrong. Set the clock.")
    files = [path.stat().st_mtime for path in list_segments(settings.spool_dir)]
    ahead = max(files, default=now) - now
    if ahead > CLOCK_SLACK_S:
        return Check("clock", PROBLEM, f"{shown}; the spool holds a file from {ahead:.0f} s later. Compare the clocks.")
    return Check("clock", OK, shown)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
