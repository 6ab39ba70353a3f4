"""A home of one's own, records as an agent would spool them, and a sidecar in the test's process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from trimtab_tracer.records import (
    Attempt,
    CallDecisions,
    Choice,
    Content,
    Decision,
    Exchange,
    Outcome,
    Process,
    Record,
    RunEnd,
    RunStart,
    Site,
    ToolRequest,
)
from trimtab_tracer.segments import read_boot_id
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tuner.sidecar import Sidecar

T0 = 1_800_000_000_000_000_000
"""When the first run of :func:`some_run` starts."""
SECOND = 1_000_000_000


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of our variables, and a working directory without settings files."""
    for name in list(os.environ):
        if name.startswith("TRIMTAB_") and name != "TRIMTAB_REAL_DATA":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings(tmp_path: Path, no_variables: None) -> Settings:
    """A home that does not exist yet, any free port, and short pauses."""
    return Settings(home=tmp_path / "home", port=0, collect_interval_s=0.02, analyze_interval_s=0.05)


@pytest.fixture
def process() -> Process:
    """This process, as an agent called ``shop``."""
    return Process("p1", os.getpid(), T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", read_boot_id())


@pytest.fixture
def spool(settings: Settings, process: Process) -> Iterator[SpoolWriter]:
    """The spool as the agent writes it."""
    writer = SpoolWriter(settings.spool_dir, process, settings.spool_max_bytes)
    yield writer
    writer.close()


@pytest.fixture(scope="session")
def some_run() -> Callable[..., list[Record]]:
    """Records of run number ``n``: one call with a failed and a good attempt, content, a decision and an outcome."""
    return _some_run


@pytest.fixture(scope="session")
def refused_runs() -> Callable[..., list[Record]]:
    """Records of twelve runs of an agent, half of which ended at a rate limit with no retry: one recommendation."""
    return _refused_runs


@pytest.fixture
def unanalysed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sidecars find nothing in what they collect: for modules that are about something else, as every run of theirs is
    news, and half a second of analysis now and when the sidecar stops. Their tests of analyses use ``analysed``."""
    if "analysed" not in request.fixturenames:
        monkeypatch.setattr(Sidecar, "_find", lambda _: None)


@pytest.fixture
def analysed() -> None:
    """What is collected is analysed, though the module is about something else."""


@pytest.fixture
def sidecar(settings: Settings) -> Iterator[Sidecar]:
    """A running sidecar."""
    with Sidecar(settings) as running:
        yield running


@pytest.fixture
def api(sidecar: Sidecar) -> Iterator[httpx.Client]:
    """HTTP to the running sidecar, with its token."""
    token = sidecar.settings.token_path.read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=sidecar.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def _some_run(n: int, *, success: bool | None = None, model: str = "gpt-4o-mini", site: str = "s1") -> list[Record]:
    run, call, t = f"r{n:03d}", f"r{n:03d}.c", T0 + n * SECOND
    bad = _attempt(n, 1, model, site, end="error", http_status=429, retry_after_s=0.5)
    good = _attempt(n, 2, model, site, end="complete", http_status=200)
    exchange = Exchange(
        good.attempt_id,
        call,
        run,
        "openai.chat",
        model,
        response_model=model,
        response_id=f"chatcmpl-{n}",
        finish_reason="tool_calls",
        input_tokens=1000,
        output_tokens=100,
        usage_source="reported",
        cost_reported_usd="0.001",
        message_count=2,
        tool_requests=(ToolRequest(0, f"t{n}", "search", "d1", True),),
        tools_offered=("search",),
        params={"max_tokens": 100},
    )
    records: list[Record] = [
        RunStart(run, "p1", t, "order", "explicit", task="sell", attributes={"n": n}),
        Site(site, "shop.py", "main", 12, 12, "client.chat.completions.create(...)"),
        bad,
        good,
        exchange,
        Content(good.attempt_id, call, run, "request", t, '{"messages": []}'),
        Decision(f"{call}:model", run, "model", model, "code", site, t, call_id=call),
        RunEnd(run, t + SECOND // 2, "ok", "block exit"),
    ]
    if success is not None:
        records.append(Outcome(f"o{n}", run, t + SECOND // 2, success))
    return records


def _refused_runs(number: int = 0) -> list[Record]:
    client, line, process = f"client{number}", f"line{number}", f"agent{number}"
    records: list[Record] = [
        Process(process, 1, T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", "another boot"),
        Site(client, f"shop{number}.py", "<module>", 3, 3, "client = OpenAI(max_retries=0)"),
        Site(line, f"shop{number}.py", "main", 12, 12, "client.chat.completions.create(...)"),
    ]
    for n in range(12):
        run, t, is_good = f"{number}r{n}", T0 + n * SECOND, n % 2 == 0
        attempt = Attempt(
            f"{run}.c.1", f"{run}.c", run, process, 1, t, 5_000_000, "openai.chat", "POST", "api.openai.com",
            "/v1/chat/completions", line, "complete" if is_good else "error", model="gpt-4o-mini",
            http_status=200 if is_good else 429, max_retries=0,
        )  # fmt: skip
        chosen = (Choice("max_retries", 0, "code", client, "constructor"), Choice("model", "gpt-4o-mini", "code"))
        records += [
            RunStart(run, process, t, "order", "explicit"),
            attempt,
            CallDecisions(f"{run}.c", run, line, t, chosen),
            RunEnd(run, t + SECOND // 2, "ok" if is_good else "error", "block exit"),
            Outcome(f"{run}.o", run, t + SECOND // 2, is_good),
        ]
    return records


def _attempt(n: int, number: int, model: str, site: str, **fields: object) -> Attempt:
    at = T0 + n * SECOND + number * 10_000_000
    return Attempt(
        attempt_id=f"r{n:03d}.c.{number}",
        call_id=f"r{n:03d}.c",
        run_id=f"r{n:03d}",
        process_id="p1",
        number=number,
        ts_ns=at,
        duration_ns=5_000_000,
        api="openai.chat",
        method="POST",
        host="api.openai.com",
        path="/v1/chat/completions",
        site_id=site,
        model=model,
        **fields,  # type: ignore[arg-type]
    )
