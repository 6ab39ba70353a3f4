"""A person's click on Accept, in headless Chromium.

In: the home of a sidecar with its dashboard, and the id of a recommendation. Out: the card's button was pressed,
and the page said that it is accepted. A module of its own so that the benchmark needs no browser where nobody asks for
a click.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 60_000


def accept(home: Path, recommendation_id: str) -> None:
    """Sign in with a one-time link, go to Recommendations, press Accept on the card, wait for what the page says.

    Raises:
        SystemExit: there is no chromium, or no link was given.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("--click needs Debian's chromium (`apt install chromium`).")
    command = [sys.executable, "-m", "trimtab", "dashboard", "--home", str(home), "--name", "benchmark"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    link = re.search(r"http://\S+/login\?code=\S+", said)
    if link is None:
        raise SystemExit(f"expected a link from `trimtab dashboard`, got {said!r}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(link[0])
        page.get_by_role("link", name="Recommendations", exact=True).click()
        card = page.locator(f".st-key-rec_{recommendation_id}")
        card.get_by_role("button", name="Accept", exact=True).click()
        alert = page.get_by_test_id("stMainBlockContainer").get_by_test_id("stAlert")
        alert.filter(has_text="Accepted").first.wait_for()
        browser.close()
