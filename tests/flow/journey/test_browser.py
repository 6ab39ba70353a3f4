"""The whole loop as a person lives it: an agent fails, the dashboard says what to do, one click, and it works.

Everything is real: the agent's process is started once and never again, the sidecar and its dashboard are those of
``trimtab up``, and the clicks happen in Debian's Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE_MS = 60_000
NAME = "Ada Lovelace"
SAID = {
    "Accept": "Accepted.",
    "Reject": "Rejected.",
    "Roll back": "Rolled back.",
    "Freeze steering": "Steering is frozen",
    "Unfreeze": "Steering goes on",
}
"""How the page confirms each decision."""


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


def sign_in(page: Page, world: Any) -> None:
    """Open the link that ``trimtab dashboard`` prints."""
    command = [sys.executable, "-m", "trimtab", "dashboard", "--home", str(world.home), "--name", NAME]
    log = world.home / "up.log"
    world.wait_for(lambda: "/login?code=" in log.read_text())  # printed when the dashboard is up
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    link = re.search(r"http://\S+/login\?code=\S+", said)
    assert link is not None, said
    page.goto(link[0])


def test_one_click_turns_a_failing_agent_into_a_working_one_and_back(world: Any, browser: Browser) -> None:
    """Accept, freeze, unfreeze, roll back and reject in the browser each change the running agent, and are audited."""
    fallback, limit = world.recommendation("fallback"), world.recommendation("max_tokens")
    assert fallback["to_value"]["models"] == ["claude-haiku-4-5"]
    assert not any(line.is_ok for line in world.lines())
    assert {"529"} == {line.said for line in world.lines()}

    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    sign_in(page, world)
    page.get_by_role("link", name="Recommendations", exact=True).click()
    expect(page.get_by_test_id("stMainBlockContainer")).to_contain_text("triage_forever.py")

    decide(page, fallback, "Accept")
    assert [True, True, True] == world.runs_after_decision("accept")

    steering(page, "Freeze steering")
    assert [False, False, False] == world.runs_after_decision("freeze")

    steering(page, "Unfreeze")
    assert [True, True, True] == world.runs_after_decision("unfreeze")

    decide(page, fallback, "Roll back")
    assert [False, False, False] == world.runs_after_decision("roll_back")

    decide(page, limit, "Reject")
    world.wait_for(lambda: world.audit("reject"))
    assert world.agent.poll() is None, "the agent was never started again"

    decisions = [row for row in world.client.pages("/v1/audit") if row["via"] == "dashboard"]
    assert ["reject", "roll_back", "unfreeze", "freeze", "accept"] == [row["action"] for row in decisions]
    assert {NAME} == {row["actor"] for row in decisions}
    assert fallback["to_value"] == decisions[-1]["to_value"]


def decide(page: Page, recommendation: dict[str, Any], action: str) -> None:
    """Press a button of one recommendation, and wait until the page says what came of it."""
    card = page.locator(f".st-key-rec_{recommendation['recommendation_id']}")
    card.get_by_role("button", name=action, exact=True).click()
    said = page.get_by_test_id("stMainBlockContainer").get_by_test_id("stAlert")
    expect(said.filter(has_text=SAID[action])).to_be_visible()


def steering(page: Page, action: str) -> None:
    """Press the sidebar's button and confirm."""
    page.get_by_test_id("stSidebar").get_by_role("button", name=action, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=action, exact=True).click()
    said = page.get_by_test_id("stMainBlockContainer").get_by_test_id("stAlert")
    expect(said.filter(has_text=SAID[action])).to_be_visible()
