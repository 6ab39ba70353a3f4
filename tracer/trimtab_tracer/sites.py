"""Finds the user's line behind what is happening now.

In: the running stack (``sys._getframe``), cut at the current asyncio task's first frame, because what lies below it
belongs to the event loop. Out: a :class:`.records.Site`, cached per instruction, so that a site costs a file read
once and a dictionary look-up ever after. Where no frame is the user's own, the line that spawned the task or thread
stands in (:mod:`.context`), then the innermost library frame that is not plumbing, marked ``owner="library"``.
"""

from __future__ import annotations

import gc
import itertools
import linecache
import os
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import AsyncGeneratorType, CodeType, FrameType, TracebackType
from typing import Any

from . import context
from .digests import digest
from .records import Site
from .redact import redact

MAX_FRAMES = 256
"""Frames looked at before giving up."""

MAX_SOURCE_LINES = 12
"""Lines of a statement that are quoted."""

MAX_SITES = 20_000
"""Cached sites; beyond it the cache starts anew (code made at runtime would grow it without end)."""

PLUMBING = (
    "httpx", "httpx2", "httpcore", "httpcore2", "openai", "anthropic", "wrapt", "opentelemetry", "anyio", "trio",
    "tenacity", "pydantic", "aiohttp", "sniffio", "uvloop",
)  # fmt: skip
"""Installed packages that carry calls for others: never the one who made the choice."""

CARRIERS = frozenset(PLUMBING) - {"openai", "anthropic", "tenacity"}
"""Packages that a request passes through and that don't send it again."""

MAX_PACKAGES = 16
"""Packages named between a line and its request."""

UNKNOWN = Site(
    site_id="unknown", file="<unknown>", function="<unknown>", line=0, end_line=0, source="", owner="library"
)
"""Stands in where the stack says nothing at all."""

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_DOOR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "trimtab") + os.sep
_SCRIPTS = tuple(
    {os.path.abspath(path) for path in (sysconfig.get_path("scripts"), os.path.dirname(sys.executable or "")) if path}
)
"""Where installers put console scripts: the few lines that start a program, never where it chose something."""
_STDLIB = tuple({os.path.abspath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})

USER, LIBRARY, HIDDEN = "user", "library", "hidden"


_GENERATED = ("<frozen", "<attrs", "<decorator-gen", "<makefun-gen", "<@beartype")
_TEXT = "<string>"


def owner_of(filename: str, user_packages: tuple[str, ...] = ()) -> str:
    """Whose code a file is: ``user``, ``library`` (may have made a choice) or ``hidden`` (plumbing, ours).

    Args:
        filename: As in ``code.co_filename``.
        user_packages: Names of installed packages and modules, dotted, that are the user's own.
    """
    if filename.startswith("<"):
        return HIDDEN if filename.startswith(_GENERATED) else USER
    path = os.path.abspath(filename)
    if path.startswith(_OWN) or path.startswith(_DOOR):
        return HIDDEN
    for marker in (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}"):
        if marker in path:
            module = path.rsplit(marker, 1)[1].removesuffix(".py").replace(os.sep, ".")
            if any(module == name or module.startswith(name + ".") for name in user_packages):
                return USER
            package = module.partition(".")[0]
            return HIDDEN if package in PLUMBING else LIBRARY
    return HIDDEN if path.startswith(_STDLIB) or os.path.dirname(path) in _SCRIPTS else USER


def _is_generated(filename: str, variables: dict[str, Any]) -> bool:
    """Whether a ``<string>`` was made by code of a file (dataclasses do): ``python -c`` runs in globals without one."""
    return filename == _TEXT and "__file__" in variables


class SiteFinder:
    """Turns frames into sites and hands each new one to ``announce`` before anyone can refer to it."""

    def __init__(self, announce: Callable[[Site], object], directory: str, user_packages: tuple[str, ...] = ()) -> None:
        """Announce through ``announce``; name files below ``directory`` relative to it; see :func:`owner_of`."""
        self._announce = announce
        self._user_packages = user_packages
        self._directory = directory
        self._owners: dict[str, str] = {}
        self._sites: dict[tuple[int, int], tuple[CodeType, Site]] = {}
        self._reached: set[str] = set()

    def here(self, frame: FrameType | None) -> Site:
        """The site that ``frame`` runs on behalf of; :data:`UNKNOWN` where nothing tells."""
        site = self.line(frame)
        if site.site_id not in self._reached:
            self._reach(frame, site)
        return site

    def _reach(self, frame: FrameType | None, site: Site) -> None:
        """Announce a site again, with the packages that the first request from it passed through."""
        if len(self._reached) >= MAX_SITES:
            self._reached.clear()
        self._reached.add(site.site_id)
        if site is not UNKNOWN and (via := packages_below(frame, self._owner)):
            self._announce(replace(site, via=via))

    def line(self, frame: FrameType | None) -> Site:
        """The same, asked before a request is on its way: by which packages the line sends is not known yet."""
        site = self.user_site(frame)
        if site is not None:
            return site
        spawned = context.last_spawned()
        if spawned is not None:
            return spawned.site
        found = self._walk(frame, LIBRARY)
        return self._site(*found, LIBRARY) if found else UNKNOWN

    def user_site(self, frame: FrameType | None) -> Site | None:
        """The innermost frame of the user's own code in the current task, or None."""
        found = self._walk(frame, USER)
        return self._site(*found, USER) if found else None

    def is_own(self, frame: FrameType) -> bool:
        """Whether ``frame`` itself runs the user's code, so that its line is the site."""
        filename = frame.f_code.co_filename
        return self._owner(filename) == USER and not _is_generated(filename, frame.f_globals)

    def of_traceback(self, traceback: TracebackType | None) -> Site | None:
        """The innermost user line that an exception passed through, or None."""
        found: tuple[CodeType, int, int] | None = None
        while traceback is not None:
            frame = traceback.tb_frame
            code = frame.f_code
            if self._owner(code.co_filename) == USER and not _is_generated(code.co_filename, frame.f_globals):
                found = code, traceback.tb_lasti, traceback.tb_lineno
            traceback = traceback.tb_next
        return self._site(*found, USER) if found else None

    def of_function(self, function: Any) -> Site | None:
        """The definition of a Python function, or None for anything else."""
        code = getattr(function, "__code__", None)
        if not isinstance(code, CodeType):
            return None
        return self._site(code, -1, code.co_firstlineno, self._owner(code.co_filename))

    def _owner(self, filename: str) -> str:
        owner = self._owners.get(filename)
        if owner is None:
            owner = self._owners[filename] = owner_of(filename, self._user_packages)
        return owner

    def _walk(self, frame: FrameType | None, wanted: str) -> tuple[CodeType, int, int] | None:
        owners = self._owners
        last = _task_frame()
        for _ in range(MAX_FRAMES):
            if frame is None:
                return None
            filename = frame.f_code.co_filename
            owner = owners.get(filename) or self._owner(filename)
            if owner == wanted and not _is_generated(filename, frame.f_globals):
                return frame.f_code, frame.f_lasti, frame.f_lineno
            if frame is last:
                return None
            frame = frame.f_back
        return None

    def _site(self, code: CodeType, instruction: int, line: int, owner: str) -> Site:
        # Keyed by identity, which is cheap: a code object's own hash reads all of its constants.
        key = (id(code), instruction)
        cached = self._sites.get(key)
        if cached is not None and cached[0] is code:
            return cached[1]
        if len(self._sites) >= MAX_SITES:
            self._sites.clear()
        site = describe(code, instruction, line, "user" if owner == USER else "library", self._directory)
        self._announce(site)
        self._sites[key] = code, site
        return site


def describe(code: CodeType, instruction: int, line: int, owner: str, directory: str) -> Site:
    """The site of one instruction of ``code``.

    Args:
        code: Where it is.
        instruction: Offset as in ``frame.f_lasti``; -1 for the definition of the function itself.
        line: Fallback where the code object holds no positions (``python -X no_debug_ranges``).
        owner: ``user`` or ``library``.
        directory: Files below it are named relative to it.
    """
    first, last = line, line
    if instruction >= 0:
        position = next(itertools.islice(code.co_positions(), instruction // 2, None), (None, None, None, None))
        if position[0] is not None:
            first, last = position[0], max(position[1] or position[0], position[0])
    last = min(last, first + MAX_SOURCE_LINES - 1)
    lines = linecache.getlines(code.co_filename)
    statement = lines[first - 1 : last]
    source = redact(textwrap.dedent("".join(statement)).rstrip())
    file = _relative(code.co_filename, directory)
    twin = _earlier_twins(lines, code.co_firstlineno, first) if statement else first
    site_id = digest("\0".join((file, code.co_qualname, " ".join(source.split()), str(twin))))
    return Site(
        site_id=site_id, file=file, function=code.co_qualname, line=first, end_line=last, source=source, owner=owner
    )


def packages_below(frame: FrameType | None, owner: Callable[[str], str]) -> tuple[str, ...]:
    """Installed packages from the innermost user frame, or the task's first, down to ``frame``: outermost first, and
    each as often as it comes up again. HTTP clients, the event loop and the standard library are left out."""
    found: list[str] = []
    last = _task_frame()
    for _ in range(MAX_FRAMES):
        if frame is None or owner(frame.f_code.co_filename) == USER:
            break
        package = package_of(frame.f_code.co_filename)
        if package is not None and package not in CARRIERS and found[-1:] != [package]:
            found.append(package)
        if frame is last:
            break
        frame = frame.f_back
    return tuple(reversed(found[:MAX_PACKAGES]))


def package_of(filename: str) -> str | None:
    """The installed package that a file belongs to, or None."""
    path = os.path.abspath(filename)
    for marker in (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}"):
        if marker in path:
            return path.rsplit(marker, 1)[1].removesuffix(".py").partition(os.sep)[0]
    return None


def _earlier_twins(lines: list[str], start: int, line: int) -> int:
    """How many lines of the same text stand before ``line`` in its function: tells identical statements apart."""
    text = lines[line - 1].strip()
    return sum(1 for other in lines[start - 1 : line - 1] if other.strip() == text)


def _relative(filename: str, directory: str) -> str:
    if filename.startswith("<"):
        return filename
    path = Path(filename).absolute()
    base = Path(directory)
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _task_frame() -> FrameType | None:
    """First frame of the running asyncio task, None outside of one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return None
    task = asyncio.current_task()
    coroutine = task.get_coro() if task is not None else None
    frame = getattr(coroutine, "cr_frame", None)
    return frame if frame is not None or coroutine is None else _generator_frame(coroutine)


def _generator_frame(step: Any) -> FrameType | None:
    """First frame of a task whose coroutine has none of its own: one that takes the next item of a generator.

    LangChain makes such a task for each piece of a stream, ``create_task(anext(pieces))``. Only the garbage collector
    knows which generator the step belongs to.
    """
    generator = next((held for held in gc.get_referents(step) if isinstance(held, AsyncGeneratorType)), None)
    return generator.ag_frame if generator is not None else None
