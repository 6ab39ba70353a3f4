"""Remakes the pictures of the dashboard: runs ``trimtab demo``, opens its dashboard in Chromium, photographs each page.

    .venv/bin/python docs/screenshot.py [PAGE...]

In: names of pages as their menu says them, by default all. Out: ``docs/screens/PAGE.png``, and ``docs/dashboard.png``,
which is what Findings shows first. Needs Debian's ``chromium`` (``apt install chromium``) and the ``dev`` extra.
Nothing but the loopback is talked to. What is on a picture is what the demonstration left in its store, and is
synthetic as that is.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
PAGES = ("Overview", "Runs", "Run", "Harness", "Compare", "Findings", "Recommendations", "Tuner", "Changes", "Set-up")
SIZE = {"width": 1280, "height": 900}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Take the pictures."""
    names = sys.argv[1:] or list(PAGES)
    home = tempfile.mkdtemp(prefix="trimtab-screenshot-")
    command = [sys.executable, "-m", "trimtab", "demo", "--keep", "--json", "--home", f"{home}/shop"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        photograph(read_result(demo)["dashboard"], names)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def read_result(demo: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON object that the demonstration prints before it waits."""
    assert demo.stdout is not None
    text = ""
    for line in demo.stdout:
        text += line
        if line == "}\n":
            found: dict[str, Any] = json.loads(text)
            return found
    raise SystemExit("The demonstration ended before it showed anything; run `trimtab demo` to see why.")


def photograph(link: str, names: Sequence[str]) -> None:
    """Sign in with ``link``, go to each page by its name in the menu, and save what a reader would see first."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no chromium on this machine; `apt install chromium` brings it.")
    (HERE / "screens").mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(link)
        for name in names:
            open_page(page, name)
            file = HERE / "screens" / f"{name.lower()}.png"
            page.screenshot(path=file)
            if name == "Findings":
                shutil.copy(file, HERE / "dashboard.png")
            print(f"{file}: the page {name} of the demonstration's dashboard")
        browser.close()


def open_page(page: Page, name: str) -> None:
    """Go to a page and wait until it has drawn all it says; a run is the first one that a finding names."""
    page.get_by_role("link", name="Findings" if name == "Run" else name, exact=True).first.click()
    if name == "Run":
        link = page.locator("a[href*='run?run=']").first
        link.wait_for(state="attached")
        page.goto(urljoin(page.url, link.get_attribute("href")))
    else:
        page.get_by_role("heading", name=name, exact=True).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.locator("[data-test-script-state='notRunning']").wait_for()
    page.wait_for_timeout(2500)  # charts fade in


if __name__ == "__main__":
    main()
