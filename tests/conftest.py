"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
LONGEST = (
    "benchmarks/test_fault_injection.py",
    "flow/test_demo.py",
    "flow/test_agents.py",
    "flow/test_differential.py",
    "flow/test_fail_open.py",
    "flow/journey/test_browser.py",
    "flow/journey/test_policy_life.py",
    "flow/test_stacked_retries.py",
    "tuner/test_recommend.py",
    "tuner/test_sidecar.py",
    "tuner/test_sidecar_kill.py",
    "tuner/test_up.py",
)
"""Files that take longest: first, as one file that begins last is waited for by all processes."""

# How long an example takes says how busy the machine is, not whether a fact holds.
settings.register_profile("trimtab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trimtab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; everything else stays as it is."""
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients trust one authority, here and in the programs that are started: to load those that a system trusts takes
    each of them 30 ms, and nothing here is asked over TLS."""
    import certifi

    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----")
    path = tmp_path_factory.mktemp("certificate") / "one.pem"
    path.write_text(first + end, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        patch.setattr(certifi, "where", lambda: str(path))  # for clients that are told to trust no variable
        yield


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is as new, closed: only to be copied."""
    from trimtab_tracer.store import Store

    path = tmp_path_factory.mktemp("migrated") / "trimtab.duckdb"
    Store.open(path).close()
    return path


@pytest.fixture(autouse=True)
def new_stores(migrated: Path) -> Iterator[None]:
    """New stores are copies of one that was migrated once, which takes half as long as to make them. Where making them
    is what a module is about, it has a fixture of this name that does nothing."""
    from trimtab_tracer.store import Store

    opened = Store.open

    def open_copy(path: Path, read_only: bool = False) -> Store:
        path = Path(path).absolute()
        if not read_only and path.parent.is_dir():
            with suppress(OSError), path.open("xb") as new:  # what is there already stays
                new.write(migrated.read_bytes())
        return opened(path, read_only)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "open", staticmethod(open_copy))
        yield


class Warm:
    """A process that has imported modules, and programs that are forks of it: see ``warm.py``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lock = Lock()

    def start(self, *run: str, cwd: Path, env: dict[str, str], stdout: Path, stderr: Path) -> int:
        """Start a program; gives its process id."""
        places = {"cwd": str(cwd), "stdout": str(stdout), "stderr": str(stderr)}
        pid = self._ask({"run": run, "env": env, **places})
        assert pid is not None
        return pid

    def wait(self, pid: int) -> int:
        """How the program ended, once it has."""
        while (code := self._ask(pid)) is None:
            time.sleep(0.02)
        return code

    def _ask(self, asked: object) -> int | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            answer: int | None = json.loads(self._process.stdout.readline())
            return answer


@pytest.fixture(scope="module")
def warm() -> Iterator[Callable[..., Warm]]:
    """Starts processes that have imported modules; they end with the tests of a file."""
    command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        yield lambda *modules: Warm(stack.enter_context(subprocess.Popen([*command, *modules], **options)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real traces; tests that need it skip where ``TRIMTAB_REAL_DATA`` is not set."""
    folder = os.environ.get("TRIMTAB_REAL_DATA")
    if not folder:
        pytest.skip("needs real traces: set TRIMTAB_REAL_DATA to their folder")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"TRIMTAB_REAL_DATA is {folder!r}, which is no folder")
    return path.resolve()
