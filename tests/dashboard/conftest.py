"""A small shop of agents with a story, a sidecar that knows it, and the dashboard's pages on top of both."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from streamlit.testing.v1 import AppTest

from trimtab_analyzer.findings import analyze
from trimtab_dashboard import connection, data
from trimtab_tracer.collect import Collector
from trimtab_tracer.records import (
    Attempt,
    CallDecisions,
    Choice,
    Content,
    Exchange,
    Loss,
    Outcome,
    Process,
    Record,
    RunEnd,
    RunStart,
    Site,
    ToolRequest,
    ToolResult,
)
from trimtab_tracer.segments import read_boot_id
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tracer.store import Store
from trimtab_tuner.client import Client
from trimtab_tuner.control import Control
from trimtab_tuner.recommend import recommend
from trimtab_tuner.sidecar import Sidecar

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
T0 = 1_795_000_000_000_000_000
"""When the first run begins."""
SECOND = 1_000_000_000
RUNS = 12
"""Runs of the story: every third ends in a rate limit, in one an answer is cut, the last has a retried stream."""
APP = Path(data.__file__).with_name("app.py")

Page = Callable[..., AppTest]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that does not exist yet, free ports, short pauses."""
    home = tmp_path_factory.mktemp("dashboard") / "home"
    return Settings(home=home, port=0, dashboard_port=0, collect_interval_s=0.02, analyze_interval_s=0.05)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """What is in the store; a module may tell another story."""
    return story()


@pytest.fixture(scope="module")
def told(settings: Settings, records: list[Record]) -> Settings:
    """The home with the whole story in its store, analysed, and with what follows from it proposed."""
    settings.home.mkdir()
    process = Process("p1", os.getpid(), T0, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", read_boot_id())
    writer = SpoolWriter(settings.spool_dir, process, settings.spool_max_bytes)
    assert all(writer.write(record) for record in records)
    writer.close()
    with Store.open(settings.store_path) as store:
        Collector(store, settings).collect_once()
        with closing(store.cursor()) as con:
            proposals = recommend(con, analyze(con), settings)
        control = Control(store, settings)
        control.propose(proposals)
        control.close()
    return settings


@pytest.fixture(scope="module")
def sidecar(told: Settings) -> Iterator[Sidecar]:
    """A running sidecar that knows the story; pages ask it."""
    with Sidecar(told) as running:
        connection.use(running.url, told.token_path.read_text().strip())
        wait_until(lambda: running.health().analyses >= 1)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Where tests are all that runs (CI), it has to be there."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is missing; .ci/run installs it"
        pytest.skip("no chromium on this machine (apt install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def api(sidecar: Sidecar) -> Client:
    """The sidecar's API as somebody else uses it."""
    return Client(sidecar.url, sidecar.settings.token_path.read_text().strip(), actor="Bo", via="cli")


@pytest.fixture
def page(sidecar: Sidecar) -> Iterator[Page]:
    """Draws a page as a signed-in person sees it: ``page("runs", service="shop")``."""
    data.forget()
    yield _draw
    connection.use(sidecar.url, sidecar.settings.token_path.read_text().strip())


@pytest.fixture(scope="session")
def said() -> Callable[[AppTest], str]:
    """Everything that a page says in words."""
    return _said


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until something holds."""
    return wait_until


def wait_until(holds: Callable[[], object], timeout_s: float = 60) -> None:
    """Return as soon as ``holds`` does."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _draw(name: str = "overview", **parameters: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.user = {"name": "Ida%20Lund", "session": "s"}
    if name != "overview":
        app.run()
        app.switch_page(f"screens/{name}.py")
    app.query_params.update(parameters)
    return app.run()


def _said(app: AppTest) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "info", "success", "warning", "error")
    return "\n".join(element.value for kind in kinds for element in getattr(app, kind)).replace("\\", "")


def story() -> list[Record]:
    """All records of the story."""
    records: list[Record] = [
        Site("client", "shop.py", "<module>", 7, 7, "client = OpenAI(max_retries=0, timeout=2.0)"),
        Site("ask", "shop.py", "answer", 21, 21, "client.chat.completions.create(model=MODEL, messages=m)"),
        Loss("p1", "content", "spool full", 3, 4096, T0),
    ]
    for n in range(RUNS):
        records += _run(n)
    return records


def _run(n: int) -> list[Record]:
    run, t = f"r{n:02d}", T0 + n * 60 * SECOND
    is_lost = n % 3 == 0
    first, second = _call(run, 1, t + SECOND, is_lost=False), _call(run, 2, t + 4 * SECOND, is_lost=is_lost)
    end = RunEnd(run, t + 6 * SECOND, "ok", "block exit")
    if is_lost:
        end = RunEnd(run, t + 6 * SECOND, "error", "block exit", "openai.RateLimitError", "too *many* requests", "ask")
    told: list[Record] = [RunStart(run, "p1", t, "order", "explicit", task=f"sell {n}"), *first, *second, end]
    if not is_lost and n != 1:
        told.append(Outcome(f"o{n}", run, t + 6 * SECOND, n != 2, comment="checked by hand"))
    if n == RUNS - 1:
        told += _call(run, 3, t + 8 * SECOND, is_lost=False, is_retried=True)
    return told


def _call(run: str, number: int, t: int, *, is_lost: bool, is_retried: bool = False) -> list[Record]:
    call = f"{run}.{number}"
    told: list[Record] = []
    if is_retried:
        told.append(_attempt(run, call, 1, t, end="error", http_status=529, error_type="APIStatusError"))
    last = 2 if is_retried else 1
    t += 2 * SECOND * (last - 1)
    if is_lost:
        told.append(_attempt(run, call, last, t, end="error", http_status=429, retry_after_s=0.5))
    else:
        told.append(
            _attempt(run, call, last, t, end="complete", http_status=200, stream=is_retried, ttft_ns=SECOND // 4)
        )
    told.append(_exchange(run, call, number, f"{call}/{last}", is_lost=is_lost))
    request = (
        '{"messages": [{"role": "system", "content": "Sell."}, {"role": "user", "content": "![x](http://evil/)"}]}'
    )
    told.append(Content(f"{call}/{last}", call, run, "request", t, request))
    choices = (
        Choice("model", "gpt-4o-mini", "code"),
        Choice("max_retries", 0, "code", "client", "constructor"),
        Choice("timeout_s", 2.0, "code", "client", "constructor"),
        Choice("max_tokens", 100, "code"),
    )
    told.append(CallDecisions(call, run, "ask", t, choices))
    return told


def _exchange(run: str, call: str, number: int, attempt: str, *, is_lost: bool) -> Exchange:
    if is_lost:
        error = {"provider_error_type": "rate_limit_error", "provider_error_message": "slow down"}
        return Exchange(attempt, call, run, "openai.chat", "gpt-4o-mini", message_count=2, **error)  # type: ignore[arg-type]
    asks = (ToolRequest(0, f"{call}.t", "search", "d1", True),) if number == 1 else ()
    results = (ToolResult(f"{run}.1.t", 0, "ok", result_chars=10),) if number == 2 else ()
    return Exchange(
        attempt,
        call,
        run,
        "openai.chat",
        "gpt-4o-mini",
        response_model="gpt-4o-mini",
        finish_reason="tool_calls" if asks else "length" if call == "r05.2" else "stop",
        input_tokens=1000,
        output_tokens=100 if call == "r05.2" else 40,
        usage_source="reported",
        message_count=2,
        tools_offered=("search",),
        params={"max_tokens": 100},
        tool_requests=asks,
        tool_results=results,
    )


def _attempt(run: str, call: str, number: int, t: int, **fields: Any) -> Attempt:
    return Attempt(
        attempt_id=f"{call}/{number}",
        call_id=call,
        run_id=run,
        process_id="p1",
        number=number,
        ts_ns=t,
        duration_ns=SECOND,
        api="openai.chat",
        method="POST",
        host="api.openai.com",
        path="/v1/chat/completions",
        site_id="ask",
        model="gpt-4o-mini",
        timeout_s=2.0,
        max_retries=0,
        **fields,
    )


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[None]:
    """Pages ask a sidecar that has recorded nothing."""
    settings = Settings(home=tmp_path / "empty", port=0)
    with Sidecar(settings) as running:
        connection.use(running.url, settings.token_path.read_text().strip())
        yield
