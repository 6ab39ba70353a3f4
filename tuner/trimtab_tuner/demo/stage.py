"""Where a demonstration plays: its folder, and how processes are started in it and waited for.

In: a folder without a store. Out: running provider, sidecar and agents, each with its output in a file of the folder.
Nothing of the user's environment reaches them but what a Python needs. What does not come up in time raises
:class:`~trimtab_tracer.errors.TrimtabError` with the end of that process's output. Apart from :mod:`.run` because that
tells the story, and this is how anything is started at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from subprocess import Popen
from typing import TypeVar

from trimtab_tracer.errors import SidecarError, TrimtabError
from trimtab_tracer.settings import Settings

from ..client import Client, connect
from ..home import prepare
from .moments import with_moments
from .processes import Children

START_S = 45.0
"""How long provider, sidecar and dashboard may take to listen."""

T = TypeVar("T")


class Stage:
    """The folder of a demonstration, and the processes in it."""

    def __init__(self, home: Path, children: Children) -> None:
        prepare(home)
        if (home / "trimtab.duckdb").exists():
            raise TrimtabError(f"{home} already holds a store; name a folder of its own for the demo with --home.")
        self.home = home
        self.folder = home / "demo"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.agent = self.folder / "support_desk.py"
        with resources.as_file(resources.files(__package__) / self.agent.name) as source:
            shutil.copyfile(source, self.agent)
        self._children = children

    def output(self, name: str) -> Path:
        """Where the process called ``name`` writes."""
        return self.folder / f"{name}.log"

    def start(self, name: str, *arguments: str, **variables: str) -> Popen[bytes]:
        """Start this Python with ``arguments`` in the folder, in an environment that only the demo has set up."""
        # A user's proxy, keys and settings must not reach the agent: everything it needs is on the loopback.
        kept = {k: v for k, v in os.environ.items() if not re.match(r"TRIMTAB_|OPENAI_|(?i:\w+_proxy$)", k)}
        mine = {
            "TRIMTAB_HOME": str(self.home),
            "TRIMTAB_ANALYZE_INTERVAL_S": "0.5",
            "TRIMTAB_DASHBOARD_PORT": "0",
            "PYTHONUNBUFFERED": "1",
        }
        return self._children.start(
            [sys.executable, *arguments], cwd=self.folder, env=kept | mine | variables, output=self.output(name)
        )

    def provider(self, seed: int) -> str:
        """Start a provider whose bad moments ``seed`` draws; returns its address."""
        name = f"provider-{seed}"
        scenario = self.folder / f"scenario-{seed}.json"
        written = tomllib.loads((resources.files(__package__) / "scenario.toml").read_text("utf-8"))
        scenario.write_text(json.dumps(with_moments(written, seed), indent=1), encoding="utf-8")
        log = str(self.request_log(seed))
        process = self.start(
            name, "-m", "trimtab", "provider", "--port", "0", "--scenario", str(scenario), "--log", log
        )
        return self.wait_for("the provider", START_S, lambda: self._address(name), name, process)

    def request_log(self, seed: int) -> Path:
        """What the provider with this seed was asked, one JSON object a line."""
        return self.folder / f"requests-{seed}.jsonl"

    def sidecar(self) -> Client:
        """Start the sidecar with its dashboard; returns a client once it answers."""
        process = self.start("up", "-m", "trimtab", "up", "--port", "0", "--home", str(self.home))
        return self.wait_for("the sidecar", START_S, self._connect, "up", process)

    def wait_for(
        self, what: str, timeout_s: float, look: Callable[[], T | None], name: str, process: Popen[bytes] | None = None
    ) -> T:
        """What ``look`` returns once it is neither None nor False.

        Raises:
            TrimtabError: the process called ``name`` ended with an error, or nothing came in time; quotes its output.
        """
        end = time.monotonic() + timeout_s
        while not (found := look()):
            is_late = time.monotonic() > end
            if is_late or (process is not None and process.poll() not in (None, 0)):
                code = process.returncode if process is not None else None
                why = f"was not there after {timeout_s:.0f} s" if is_late else f"ended with exit code {code}"
                output = self.output(name)
                tail = " / ".join(output.read_text(errors="replace").splitlines()[-3:]) or "nothing"
                raise TrimtabError(
                    f"The demo stopped: {what} {why}. It said: {tail}. Everything it said is in {output}."
                )
            time.sleep(0.05)
        return found

    def _address(self, name: str) -> str | None:
        """Where a provider listens, once it says so."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self.output(name).read_text())
        return found[0] if found else None

    def _connect(self) -> Client | None:
        try:
            return connect(Settings.resolve(home=self.home), actor="trimtab demo", via="demo")
        except SidecarError:  # it is there but does not answer yet
            return None
