"""The pages in real Chromium, over a store whose every text was written by somebody who means harm, and beside a
sidecar that is slow, dies and comes back."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from trimtab_dashboard import server, theme
from trimtab_tracer.records import Content, Process, Record, RunStart
from trimtab_tuner.client import Client
from trimtab_tuner.dashboard_process import DashboardProcess
from trimtab_tuner.sidecar import Sidecar

EVIL = (
    "<img src=x onerror=\"window.harmed='img'\"><script>window.harmed='script'</script>"
    "<svg onload=\"window.harmed='svg'\"> [link](javascript:window.harmed='link') ![dot](http://evil.test/dot.png)"
    " <a href='http://evil.test/'>a</a> **bold** $x^2$ :red[red] :material/home: {{7*7}} ${7*7}"
    " \x1b[31mansi\x1b]8;;http://evil.test\x07 \x00\x9b \u202egnp.exe\u202c \u2067 עברית العربية \u200f \ud83d\ude00 \r"
)
"""One of everything: HTML, scripts, Markdown, templates, ANSI, control characters, turned directions."""
TOLD_AS = (
    "<img src=x onerror=",
    "[link](javascript:",
    "**bold**",
    ":red[red] :material/home: {{7*7}}",
    "␛[31mansi",
    "⟨U+202E⟩gnp.exe",
    "עברית",
)
"""How it reads on a page."""
LARGE = 10 << 20
"""Bytes of a value that is too long for any page."""
KEPT_PLAIN = {
    "run_id", "call_id", "attempt_id", "process_id", "site_id", "error_site_id", "kind", "origin", "status", "end",
    "source", "role", "api", "method", "host", "path", "content_mode", "boot_id", "usage_source", "owner", "knob",
    "site_role", "end_rule", "outcome_id", "lost_kind", "model", "reason",
}  # fmt: skip
"""Fields that hold ids, or words that the store knows."""
PAGES = re.findall(r'st\.Page\("screens/(\w+)\.py"', Path(server.__file__).with_name("app.py").read_text())
RUN, CALL = "r11", "r11.3"
DARK = "rgb({}, {}, {})".format(*bytes.fromhex(theme.OPTIONS["theme.dark.backgroundColor"].removeprefix("#")))
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
PATIENCE_MS = 60_000


def evil(record: Any) -> Any:
    """The same record with every text in it hostile."""
    said = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in KEPT_PLAIN and not (field.name == "source" and hasattr(record, "function")):
            continue
        if isinstance(value, str):
            said[field.name] = f"{value} {EVIL}"
        elif isinstance(value, tuple):
            said[field.name] = tuple(evil(each) if is_dataclass(each) else each for each in value)
    return replace(record, **said)


@pytest.fixture(scope="module")
def records(records: list[Record]) -> list[Record]:
    """The story told by somebody who means harm; one call's request and answer are of 10 MB, and one task."""
    told: list[Record] = [evil(record) for record in records if not isinstance(record, Process)]
    prompt = json.dumps({"messages": [{"role": f"user {EVIL}", "content": EVIL + "x" * LARGE}], "half": "\ud800"})
    told.append(Content(f"{CALL}/2", CALL, RUN, "request", 1, prompt))
    told.append(Content(f"{CALL}/2", CALL, RUN, "response", 1, EVIL + "y" * LARGE))
    return told


class Road:
    """A TCP way to the sidecar that can be blocked (nothing passes) or broken off (nobody is there)."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def block(self) -> None:
        """Take connections and let nothing through."""
        self._open.clear()

    def unblock(self) -> None:
        """Let everything through."""
        self._open.set()

    def break_off(self) -> None:
        """Refuse connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def mend(self) -> None:
        """Be there again, where it was."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._carry, args=[listener.accept()[0]], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One request and its answer; the Host is the sidecar's own."""
        self._open.wait()
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", self._to)) as far:
            asked = near.recv(1 << 16).replace(b"127.0.0.1:%d" % self.port, b"127.0.0.1:%d" % self._to, 1)
            far.sendall(asked)
            threading.Thread(target=self._pipe, args=[near, far], daemon=True).start()
            self._pipe(far, near)

    @staticmethod
    def _pipe(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)


@pytest.fixture(scope="module")
def road(sidecar: Sidecar) -> Road:
    """The way on which the dashboard asks."""
    return Road(int(sidecar.url.rpartition(":")[2]))


@pytest.fixture(scope="module")
def site(sidecar: Sidecar, road: Road) -> Iterator[str]:
    """The address of a dashboard that asks on that way."""
    ready: list[str] = []
    token = sidecar.settings.token_path.read_text().strip()
    process = DashboardProcess(sidecar.settings, f"http://127.0.0.1:{road.port}", token, ready.append)
    process.start()
    try:
        for _ in range(600):
            if ready:
                break
            threading.Event().wait(0.1)
        yield ready[0]
    finally:
        process.stop()


class Visit:
    """A signed-in browser, and what it asked of whom."""

    def __init__(self, context: BrowserContext, site: str, code: str) -> None:
        self.site = site
        self.asked: list[str] = []
        self.policies: list[str | None] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("response", lambda answer: self.policies.append(answer.headers.get("content-security-policy")))
        self.page.goto(f"{site}/login?code={code}")
        self.page.wait_for_selector(SETTLED)

    def open(self, name: str, query: str = f"run={RUN}&call={CALL}") -> Page:
        """A page that has been drawn."""
        self.page.goto(f"{self.site}/{'' if name == 'overview' else name}?{query}")
        self.page.get_by_role("heading", level=1).wait_for()
        self.page.wait_for_selector(SETTLED)
        return self.page


@pytest.fixture(scope="module")
def visit(browser: Browser, site: str, sidecar: Sidecar) -> Iterator[Visit]:
    """Somebody who signed in."""
    client = Client(sidecar.url, sidecar.settings.token_path.read_text().strip())
    code = client.post("/v1/login-codes", {"name": "Ida Lund"})["code"]
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 900})
    yield Visit(context, site, code)
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_texts_are_shown_and_nothing_happens(visit: Visit, name: str) -> None:
    """No script ran, no element was made of a text, nobody else was asked, every answer had the strict policy, and
    axe-core finds no serious or critical violation of accessibility, nor colours too close in the dark scheme."""
    page = visit.open(name)
    for closed in page.locator('[data-testid="stExpander"] summary').all()[:8]:
        closed.click()
    assert page.evaluate("window.harmed") is None
    assert (
        0 == page.locator("[src*='evil.test'], [href*='evil.test'], [href^='javascript:'], .katex, main script").count()
    )
    assert 0 == page.get_by_text("bold", exact=True).count()
    assert [] == [url for url in visit.asked if not url.startswith((visit.site, "data:", "blob:"))]
    assert {server.content_policy()} == set(visit.policies)
    assert [] == violations(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"getComputedStyle(document.querySelector('.stApp')).backgroundColor === '{DARK}'")
    dark = violations(page, {"runOnly": ["color-contrast", "link-in-text-block"]})
    page.emulate_media(color_scheme="light")
    assert [] == dark


def test_they_are_told_as_they_are(visit: Visit) -> None:
    """A call's request shows its signs, letters and code as they stand, and says how much is left out of 10 MB."""
    page = visit.open("run")
    page.get_by_text("Request of attempt 2").click()
    shown = page.get_by_text(re.compile("more characters"))
    expect(shown.first).to_be_visible()
    text = page.inner_text("main").replace("\u2060", "")
    assert [] == [part for part in TOLD_AS if part not in text]
    assert len(page.content()) < LARGE


@pytest.mark.parametrize("query", ["site=ask", "view=Map", "view=Versions"])
def test_views_of_the_harness_are_texts(visit: Visit, query: str) -> None:
    """A line's code, the labels of the map and the names of versions are shown and never followed."""
    page = visit.open("harness", query)
    if query == "view=Map":
        expect(page.locator("main svg g.node")).to_have_count(3, timeout=PATIENCE_MS)
        assert "<img src=x" in "".join(page.locator("main svg g.node text").all_text_contents())
    assert page.evaluate("window.harmed") is None
    assert 0 == page.locator("main script, main img[src='x'], [src*='evil.test'], [href^='http://evil.test']").count()
    assert [] == violations(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"getComputedStyle(document.querySelector('.stApp')).backgroundColor === '{DARK}'")
    dark = violations(page, {"runOnly": ["color-contrast", "link-in-text-block"]})
    page.emulate_media(color_scheme="light")
    assert [] == dark


def violations(page: Page, options: dict[str, Any] | None = None) -> list[tuple[str, list[str]]]:
    """What axe-core calls serious or critical: the rule, and what is wrong with which elements, once none changes."""
    page.wait_for_function("!document.getAnimations().some(each => each instanceof CSSTransition)")
    found = Axe().run(page, options={"resultTypes": ["violations"], **(options or {})}).response["violations"]
    return [
        (each["id"], [f"{node['html'][:200]}: {node['failureSummary']}" for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_decisions_can_be_reached_by_keyboard(visit: Visit) -> None:
    """Tab leads to Freeze, Accept and Reject; Enter asks first, Escape leaves the question."""
    page = visit.open("recommendations")
    wanted, met = {"Freeze steering", "Accept", "Reject"}, set()
    for _ in range(60):
        page.keyboard.press("Tab")
        met.add(page.evaluate("document.activeElement.innerText.trim()"))
        if wanted <= met:
            break
    assert wanted <= met
    page.get_by_role("button", name="Freeze steering").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[role=dialog]')?.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_slow_sidecar_is_said_and_waited_for(visit: Visit, road: Road) -> None:
    """A page that waits says so, and appears by itself when the answer comes."""
    page = visit.open("overview")
    road.block()
    page.get_by_role("link", name="Findings", exact=True).click()
    slow = page.get_by_text("has not answered for two seconds").or_(page.get_by_text("does not answer"))
    expect(slow.first).to_be_visible(timeout=PATIENCE_MS)
    road.unblock()
    expect(page.get_by_text("shop.py").first).to_be_visible(timeout=PATIENCE_MS)
    expect(slow).to_have_count(0, timeout=PATIENCE_MS)


def test_a_sidecar_that_dies_is_a_banner_and_its_return_takes_it_away(visit: Visit, road: Road) -> None:
    """What the page showed stays below the banner; both the banner and the old state go when it is back."""
    page = visit.open("findings")
    road.break_off()
    banner = page.get_by_text("The sidecar does not answer")
    expect(banner.first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("shop.py").first).to_be_visible()
    road.mend()
    expect(banner).to_have_count(0, timeout=PATIENCE_MS)
    expect(page.get_by_text("Steering is on").first).to_be_visible(timeout=PATIENCE_MS)


def test_the_overview_looks_again_without_moving(visit: Visit, sidecar: Sidecar) -> None:
    """New runs change the numbers; what is around them is not made anew, and the page stays where it was scrolled."""
    page = visit.open("overview")
    heading = page.get_by_role("heading", name="What to do")
    heading.evaluate("each => each.scrollIntoView({block: 'start'})")
    where = "each => each.getBoundingClientRect().top"
    page.evaluate("window.kept = [...document.querySelectorAll('h1, h3, [data-testid=\"stVegaLiteChart\"]')]")
    before = heading.evaluate(where)
    client = Client(sidecar.url, sidecar.settings.token_path.read_text().strip())
    runs = client.get("/v1/overview")["totals"]["runs"]
    client.post_records([RunStart("later", "p1", 1_795_000_000_000_000_000, "order", "explicit")])
    expect(page.get_by_text(re.compile(f"^{runs + 1} runs of"))).to_be_attached(timeout=PATIENCE_MS)
    assert [] == page.evaluate("window.kept.filter(each => !each.isConnected).map(each => each.outerHTML.slice(0, 80))")
    assert before == pytest.approx(heading.evaluate(where), abs=1)
