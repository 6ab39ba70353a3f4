"""How fast the dashboard's pages are on a large store, in a real browser, and whether its memory stays flat.

    python benchmarks/dashboard_speed.py --calls 1000000 [--refreshes 50] [--repeats 5] [--json] [--store FILE]

In: a number of calls, or a store of one's own (``--store``, a DuckDB file that was analysed; it is copied and not
changed). Out: seconds and memory, as a table or, with ``--json``, as an object. The store is the synthetic one of
``analyzer_speed.py`` (20 calls to a run), with one more run of 2,000 calls, analysed as a sidecar does. Then the
sidecar and its dashboard run as they do under ``trimtab up``, and headless Chromium is the reader: a page is there when
its script has ended and every element that it said is drawn. Each figure is the median of the repeats. Pages are loaded
anew each time, as from an address that somebody sent; of the first page there is also the very first one, when nothing
is warm. Filters are chosen on the page of runs, and counted from the click to the rows.

Memory is the resident set of the dashboard's process (not the browser's, not the sidecar's), read from ``/proc`` after
each refresh of the overview, which the process answers with new numbers each time (its cache is too old by then).

Keys of the JSON: ``calls``, ``runs``, ``store_mb``; ``cold_s`` (the first page of a new process), ``first_page_s`` (the
overview), ``runs_s`` (the list); ``filters_s`` by filter (``service``, ``status``, ``outcome``, ``span``, ``model``,
``site``, ``cost``); ``address_s`` (the list for an address with a finding and two times); ``text_s`` (a text in 500
runs); ``large_run_s`` (2,000 calls), ``findings_s``; ``memory_mb`` (after each tenth of the refreshes),
``memory_growth_mb`` (median of the last tenth less that of the second one), ``refreshes``; ``repeats``; ``made_s`` (the
store and its analysis).
"""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.client import Client
from trimtab_tuner.dashboard_process import DashboardProcess
from trimtab_tuner.sidecar import Sidecar

SPEED = runpy.run_path(str(Path(__file__).with_name("analyzer_speed.py")))
LARGE = 2_000
"""Calls of the large run."""
CHROMIUM = "/usr/bin/chromium"
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
WATCH = """
const app = document.querySelector('[data-testid="stApp"]');
window.ran = false;
const look = () => { window.ran ||= app.dataset.testScriptState === 'running'; };
new MutationObserver(look).observe(app, {attributes: true});
"""
DRAWN_ANEW = f"() => window.ran && location.search && document.querySelector('{SETTLED}')"
"""The page's script has run since, and the choice is in the address."""
LIMITS_S = {"first_page_s": 2.0, "filter": 1.0, "large_run_s": 2.0}
"""What the pages are meant to keep."""


def main() -> int:
    """Make the store, read it in a browser, and show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--store", type=Path, metavar="FILE")
    parser.add_argument("--refreshes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dashboard-speed-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        begun = time.perf_counter()
        if args.store:
            shutil.copyfile(args.store, home / "trimtab.duckdb")
        else:
            make(home / "trimtab.duckdb", args.calls)
        made_s = time.perf_counter() - begun
        found = measure(home, args.repeats, args.refreshes) | {"made_s": round(made_s, 1)}
    print(json.dumps(found, indent=2) if args.json else table(found))
    return 0


def make(path: Path, calls: int) -> None:
    """A synthetic store of so many calls and one large run, analysed."""
    from trimtab_analyzer.findings import analyze, persist
    from trimtab_analyzer.inferred import infer
    from trimtab_analyzer.run_waste import refresh
    from trimtab_tracer.ingest import bundled_prices

    with Store.open(path) as store:
        with store.transaction() as con:
            con.execute(SPEED["SITES"])
            SPEED["fill"](con, 0, calls, SPEED["USUAL"])
            first = -(-calls // SPEED["USUAL"]) * LARGE  # the number of its run is then one that no other has
            SPEED["fill"](con, first, first + LARGE, LARGE)
            infer(con)
        with closing(store.cursor()) as con:
            refresh(con, store.transaction, bundled_prices())
            found = analyze(con)
        with store.transaction() as con:
            persist(con, found)


def measure(home: Path, repeats: int, refreshes: int) -> dict[str, Any]:
    """Read the store at ``home`` in a browser."""
    settings = Settings(home=home, port=0, dashboard_port=0)
    ready: list[str] = []
    with _unanalysed(), Sidecar(settings) as sidecar, sync_playwright() as playwright:
        token = settings.token_path.read_text().strip()
        client = Client(sidecar.url, token)
        dashboard = DashboardProcess(settings, sidecar.url, token, ready.append)
        dashboard.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            while not ready:
                time.sleep(0.02)
            reader = Reader(browser.new_context(viewport={"width": 1280, "height": 900}).new_page(), ready[0])
            cold_s = reader.sign_in(client)
            found = _counts(client, home) | {"cold_s": cold_s} | pages(reader, client, repeats)
            found |= memory(reader, dashboard, refreshes)
        finally:
            browser.close()
            dashboard.stop()
    return found | {"repeats": repeats}


@contextmanager
def _unanalysed() -> Iterator[None]:
    """The store is analysed already; what is measured is the reading, not the analysis at a sidecar's start, which
    leaves its modules behind."""
    import trimtab_analyzer.findings
    import trimtab_analyzer.report.build  # noqa: F401

    found = Sidecar._find
    Sidecar._find = lambda _: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Sidecar._find = found  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Reader:
    """A person's browser."""

    page: Page
    url: str

    def sign_in(self, client: Client) -> float:
        """Open a one-time link; seconds until the first page is there."""
        self.page.set_default_timeout(60_000)
        code = client.post("/v1/login-codes", {"name": "reader"})["code"]
        return self.open(f"login?code={code}")

    def open(self, path: str) -> float:
        """Seconds until a page is there."""
        begun = time.perf_counter()
        self.page.goto(f"{self.url}/{path}", wait_until="commit")
        self.page.get_by_role("heading", level=1).wait_for()
        self.page.wait_for_selector(SETTLED)
        self.page.locator('[data-testid="stSkeleton"]').last.wait_for(state="detached")
        return round(time.perf_counter() - begun, 3)

    def filtered(self, label: str, chosen: str, repeats: int) -> float:
        """Median of the seconds from choosing a filter to the rows that fit it."""
        took = []
        for _ in range(repeats):
            time.sleep(STALE_S)
            self.open("runs")
            self.page.evaluate(WATCH)
            field = self.page.get_by_label(label, exact=True)
            if label.startswith("Cost"):
                field.fill(chosen)
                begun = time.perf_counter()
                field.press("Enter")
            else:
                field.click()
                option = self.page.get_by_role("option", name=chosen, exact=True)
                option.wait_for()
                begun = time.perf_counter()
                option.click()
            self.page.wait_for_function(DRAWN_ANEW)
            took.append(time.perf_counter() - begun)
        return round(statistics.median(took), 3)

    def median(self, path: str, repeats: int) -> float:
        """Median of several, each after the answers of the one before are too old to be used again."""
        took = []
        for _ in range(repeats):
            time.sleep(STALE_S)
            took.append(self.open(path))
        return round(statistics.median(took), 3)


FILTERS = {
    "service": ("Service", "agent-1"),
    "status": ("How it ended", "Ended in an error"),
    "outcome": ("Outcome", "Failed"),
    "span": ("Started", "Last 7 days"),
    "model": ("Model", "gpt-4o"),
    "site": ("Line of code", "agent.py:20, in step"),
    "cost": ("Cost from (USD)", "0.095"),
}
"""What is chosen of each filter, by its label."""
STALE_S = 3.1
"""After this time the dashboard asks the sidecar anew."""


def pages(reader: Reader, client: Client, repeats: int) -> dict[str, Any]:
    """Seconds of each page and filter."""
    large = max(client.get("/v1/runs", limit=1)["items"], key=lambda run: int(run["calls"]))["run_id"]
    finding = client.get("/v1/findings", limit=1, ids=0)["items"][0]["finding_id"]
    between = "span=Between+two+times&from=2023-11-14T22:00&to=2023-11-15T01:00"
    return {
        "first_page_s": reader.median("", repeats),
        "runs_s": reader.median("runs", repeats),
        "filters_s": {name: reader.filtered(*choice, repeats) for name, choice in FILTERS.items()},
        "address_s": reader.median(f"runs?finding={finding}&{between}", repeats),
        "text_s": reader.median("runs?text=task+4", repeats),
        "large_run_s": reader.median(f"run?run={large}", repeats),
        "findings_s": reader.median("findings", repeats),
    }


def memory(reader: Reader, dashboard: DashboardProcess, refreshes: int) -> dict[str, Any]:
    """Resident memory of the dashboard's process over refreshes of the overview."""
    seen = []
    for _ in range(refreshes):
        time.sleep(STALE_S)
        reader.open("")
        seen.append(_resident_mb(dashboard.pid or 0))
    tenth = max(1, refreshes // 10)
    grown = statistics.median(seen[-tenth:]) - statistics.median(seen[tenth : 2 * tenth] or seen[:1])
    return {"refreshes": refreshes, "memory_mb": seen[tenth - 1 :: tenth], "memory_growth_mb": round(grown, 1)}


def _resident_mb(pid: int) -> float:
    pages_held = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages_held * 4096 / 2**20, 1)


def _counts(client: Client, home: Path) -> dict[str, Any]:
    totals = client.get("/v1/overview")["totals"]
    store_mb = round((home / "trimtab.duckdb").stat().st_size / 2**20)
    return {"calls": totals["calls"], "runs": totals["runs"], "store_mb": store_mb}


def table(found: dict[str, Any]) -> str:
    """The same as rows: what, seconds, and what it is meant to keep."""
    rows = [("first page, nothing warm", found["cold_s"], None), ("first page", found["first_page_s"], "first_page_s")]
    rows += [("list of runs", found["runs_s"], None)]
    rows += [(f"filter: {name}", seconds, "filter") for name, seconds in found["filters_s"].items()]
    rows += [("address with filters", found["address_s"], None)]
    rows += [("text in 500 runs", found["text_s"], None), ("run of 2,000 calls", found["large_run_s"], "large_run_s")]
    rows += [("findings", found["findings_s"], None)]
    lines = [f"{found['calls']:,} calls in {found['runs']:,} runs, {found['store_mb']:,} MiB"]
    for name, seconds, limit in rows:
        meant = "" if limit is None else f"  (at most {LIMITS_S[limit]:g} s)"
        lines.append(f"{name:>26}  {seconds:6.2f} s{meant}")
    held = ", ".join(f"{mb:.0f}" for mb in found["memory_mb"])
    lines.append(f"{'memory':>26}  {held} MiB over {found['refreshes']} refreshes: {found['memory_growth_mb']:+.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
