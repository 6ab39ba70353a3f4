"""Remakes ``docs/dashboard.png``: runs ``trimtab demo``, opens its dashboard in Chromium, photographs a page.

    .venv/bin/python docs/screenshot.py [PAGE] [FILE]

Needs Debian's ``chromium`` (``apt install chromium``) and the ``dev`` extra. Nothing but the loopback is talked to.
What is on the picture is what the demonstration left in its store, and is synthetic as that is.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 900}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Take the picture."""
    page_name, file = [*sys.argv[1:], *("Recommendations", str(HERE / "dashboard.png"))[len(sys.argv) - 1 :]]
    home = tempfile.mkdtemp(prefix="trimtab-screenshot-")
    command = [sys.executable, "-m", "trimtab", "demo", "--keep", "--json", "--home", f"{home}/shop"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        photograph(read_result(demo)["dashboard"], page_name, file)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
        shutil.rmtree(home, ignore_errors=True)
    print(f"{file}: the page {page_name} of the demonstration's dashboard")


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


def photograph(link: str, page_name: str, file: str) -> None:
    """Sign in with ``link``, go to a page by the name in its menu, and save what a reader would see first."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("There is no chromium on this machine; `apt install chromium` brings it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5, color_scheme="light")
        page.goto(link)
        page.get_by_role("link", name=page_name, exact=True).first.click()
        page.get_by_role("heading", name=page_name, exact=True).wait_for()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)  # charts fade in
        page.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    main()
