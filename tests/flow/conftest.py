"""Runs programs as their users would: a real process, a real socket, a provider that answers from a script.

What the provider logged is the truth; what the tracer's spool says after it was collected is compared with it.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.collect import Collector
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Provider, Scenario

HERE = Path(__file__).parent
TIMEOUT_S = 90
AT_ONCE = 3
"""Programs that run at the same time."""


def environment(url: str, home: Path, extra: dict[str, str]) -> dict[str, str]:
    """Variables of a program: SDKs find the provider, frameworks phone nobody, our own errors are not swallowed."""
    names = ("PATH", "LANG", "VIRTUAL_ENV", "SYSTEMROOT", "SSL_CERT_FILE")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "sk-flow-0123456789abcdefghij",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-ant-flow-0123456789abcdefghij",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LANGSMITH_TRACING": "false",
        "LANGCHAIN_TRACING_V2": "false",
        "OTEL_TRACES_EXPORTER": "none",
        "NO_PROXY": "*",
        "TRIMTAB_HOME": str(home),
        "TRIMTAB_STRICT": "1",
        **extra,
    }


class Records:
    """What the store holds after everything in a home was collected."""

    def __init__(self, home: Path) -> None:
        settings = Settings.resolve(home=home)
        self.store = Store.open(settings.store_path)
        self.progress = Collector(self.store, settings).collect_once()
        self.left_in_spool = sorted(p.name for p in settings.spool_dir.glob("*")) if settings.spool_dir.exists() else []

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, each as a mapping by column name."""
        result = self.store.cursor().execute(sql, list(parameters))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def row(self, sql: str, *parameters: Any) -> dict[str, Any]:
        """The only row of a query."""
        (row,) = self.rows(sql, *parameters)
        return row


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended."""

    returncode: int
    stdout: str
    stderr: str
    log: tuple[Any, ...]
    home: Path


@dataclass
class Receiving:
    """A receiver that runs."""

    process: subprocess.Popen[str]
    told: str = ""
    """How many attempts it received, once it has ended."""


class Flow:
    """Starts programs of this folder and closes what they left open."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._homes = 0

    def home(self) -> Path:
        """A fresh home."""
        self._homes += 1
        path = self._folder / f"home-{self._homes}"
        path.mkdir()
        return path

    def environment(self, url: str, home: Path, **extra: str) -> dict[str, str]:
        """Variables of a program that a test starts by itself."""
        return environment(url, home, extra)

    def provider(self, scenario: dict[str, Any]) -> Provider:
        """A running provider that answers from ``scenario``; stopped at the end of the session."""
        return self._stack.enter_context(Provider(Scenario.from_dict(scenario)))

    def start(self, script: Path, provider: Provider, home: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start a program against ``provider``."""
        return subprocess.Popen(
            [sys.executable, script.name, *arguments],
            cwd=script.parent,
            env=environment(provider.url, home, env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        script: Path,
        scenario: dict[str, Any],
        *arguments: str,
        limit_s: float = TIMEOUT_S,
        home: Path | None = None,
        **env: str,
    ) -> Ran:
        """Run a program to its end against a provider of its own; in a fresh home by default."""
        home = self.home() if home is None else home
        provider = self.provider(scenario)
        process = self.start(script, provider, home, *arguments, **env)
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            pytest.fail(f"{script.name} did not end within {limit_s} s.\nstdout: {stdout}\nstderr: {stderr}")
        return Ran(process.returncode, stdout, stderr, tuple(provider.log.entries), home)

    def run_warm(
        self,
        script: Path,
        scenario: dict[str, Any],
        warm: Any,
        *arguments: str,
        home: Path | None = None,
        **env: str,
    ) -> Ran:
        """The same as a fork of a process that has imported modules."""
        home = self.home() if home is None else home
        provider = self.provider(scenario)
        out, err = home.with_suffix(".out"), home.with_suffix(".err")
        variables = environment(provider.url, home, env)
        pid = warm.start(str(script), *arguments, cwd=script.parent, env=variables, stdout=out, stderr=err)
        code = warm.wait(pid)
        return Ran(code, out.read_text(), err.read_text(), tuple(provider.log.entries), home)

    @contextmanager
    def receiving(self, home: Path) -> Iterator[Receiving]:
        """Run the part of the sidecar that receives in ``home``."""
        command = [sys.executable, str(self.program("receiving.py")), str(home)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "listens\n"
            running = Receiving(process)
            try:
                yield running
                running.told = process.communicate("", timeout=TIMEOUT_S)[0].strip()
            finally:
                process.kill()

    def records(self, home: Path) -> Records:
        """Collect what programs spooled into ``home``."""
        records = Records(home)
        self._stack.callback(records.store.close)
        return records

    def program(self, name: str) -> Path:
        """A program of ours, from the folder beside the agents."""
        return HERE / "programs" / name


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """Runs programs."""
    with ExitStack() as stack:
        yield Flow(tmp_path_factory.mktemp("flow"), stack)


@dataclass(frozen=True, slots=True)
class Observed:
    """One agent, run with tracing and without, and what is expected of it."""

    name: str
    traced: Ran
    plain: Ran
    records: Records
    expected: dict[str, Any]


def imported_first(script: Path) -> list[str]:
    """The modules of others that a program imports above the line that is ours."""
    found: list[str] = []
    for node in ast.parse(script.read_text()).body:
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if "trimtab" in names:
            break
        found += [str(node.module)] if isinstance(node, ast.ImportFrom) else names
    return sorted({name for name in found if name.partition(".")[0] not in sys.stdlib_module_names})


@pytest.fixture(scope="module")
def observations(
    flow: Flow, warm: Callable[..., Any], request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Observed]]]:
    """Every agent that a selected test asks for, started at once. The frameworks take seconds to import, so those that
    import the same above our line are forks of one process that has."""
    scenario = json.loads((HERE / "scenarios" / "shop.json").read_text())
    warm_with = cache(warm)

    def observe(name: str) -> Observed:
        script = HERE / "agents" / f"{name}.py"
        imported = warm_with(*imported_first(script))
        traced = flow.run_warm(script, scenario, imported)
        plain = flow.run_warm(script, scenario, imported, TRIMTAB_DISABLED="1")
        expected = json.loads((HERE / "expected" / f"{name}.json").read_text())
        return Observed(name, traced, plain, flow.records(traced.home), expected)

    wanted = {item.callspec.params.get("agent") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(observe, name) for name in sorted(wanted - {None})}


@pytest.fixture
def observed(agent: str, observations: dict[str, Future[Observed]]) -> Observed:
    """The agent named by the test's parameter, after it ran."""
    return observations[agent].result()
