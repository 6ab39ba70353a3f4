"""The page Tuner over a real sidecar that has learned: what it shows, and what a person decides there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from trimtab_dashboard import strings
from trimtab_dashboard.views import words
from trimtab_tuner.client import Client
from trimtab_tuner.sidecar import Sidecar

Page = Callable[..., AppTest]
Said = Callable[[AppTest], str]


@pytest.fixture
def experiment(api: Client) -> Iterator[str]:
    """One that runs, begun by somebody else; it is over when the test is."""
    body = {"seen": api.get("/v1/policy")["version"], "knob": "model", "values": ["gpt-5-nano"], "why": "cheaper?"}
    row = api.post("/v1/tuning", body)
    yield str(row["experiment_id"])
    now = api.get(f"/v1/experiments/{row['experiment_id']}")
    if now["status"] == "running":
        api.post(f"/v1/experiments/{row['experiment_id']}/stop", {"version": now["version"]})


def tried(api: Client, experiment: str) -> dict[str, float]:
    """Weights of an experiment, as published."""
    weights: dict[str, float] = api.get(f"/v1/tuning/{experiment}")["weights"][""]
    return weights


def test_nothing_learned_is_said(page: Page, said: Said, sidecar: Sidecar) -> None:
    """Without an experiment the page says what one would do, and which modes hold."""
    app = page("tuner")
    assert strings.NOTHING_LEARNED in [info.value for info in app.info]
    (modes,) = app.table
    assert "a person decides" in modes.value.to_string()


def test_an_experiment_shows_its_goal_values_and_budget(page: Page, said: Said, experiment: str) -> None:
    """What is wanted, who began it, each value with its share, and what exploring may cost."""
    app = page("tuner")
    shown = said(app)
    assert "Wanted is the least cost, with no less success than the margin allows; margin 2 points" in shown
    assert "by Bo" in shown
    assert "of $" in shown
    rows = app.table[0].value
    assert ["as the code says", "gpt\\-5\\-nano"] == list(rows["Value"])
    assert 100 == sum(int(share.split()[0]) for share in rows["Share now"])


def test_values_are_added_and_taken_out_in_the_persons_name(page: Page, api: Client, experiment: str) -> None:
    """A click changes the running experiment; the audit names who and why."""
    app = page("tuner")
    app.text_input(key=f"add_{experiment}").set_value("gpt-5-mini")
    app.text_input(key=f"why_exp_{experiment}").set_value("just out")
    app.button(key=f"do_add_{experiment}").click().run()
    assert {"incumbent", '"gpt-5-nano"', '"gpt-5-mini"'} == set(tried(api, experiment))
    audited = api.get("/v1/audit?limit=1")["items"][0]
    assert ("add_value", "just out", "dashboard") == (audited["action"], audited["why"], audited["via"])
    app.selectbox(key=f"out_{experiment}").select('"gpt-5-nano"')
    app.button(key=f"do_out_{experiment}").click().run()
    assert '"gpt-5-nano"' not in tried(api, experiment)
    assert words.md(strings.VALUE_REMOVED) in [success.value for success in app.success]


def test_who_decides_on_what_has_changed_is_told(page: Page, api: Client, experiment: str) -> None:
    """Somebody else was quicker: one change, one clear message, the page shows what is now."""
    app = page("tuner")
    api.post(f"/v1/experiments/{experiment}/stop", {"version": 1})
    app.button(key=f"stop_{experiment}").click().run()
    assert ["Bo stopped this experiment"] == [error.value[:26].replace("\\", "") for error in app.error]
    assert "stopped" == api.get(f"/v1/experiments/{experiment}")["status"]


def test_an_experiment_is_begun_on_the_page(page: Page, api: Client, sidecar: Sidecar) -> None:
    """With what was typed, one value a line; it runs and is listed."""
    app = page("tuner")
    app.selectbox(key="begin_knob").select("max_retries")
    app.text_area(key="begin_values").set_value("3\n5\n")
    next(b for b in app.button if b.label == strings.BEGIN_EXPERIMENT).click().run()
    (row,) = [c for c in api.get("/v1/tuning")["campaigns"] if c["status"] == "running"]
    assert ("max_retries", [None, 3, 5]) == (row["knob"], [arm.get("value") for arm in row["arms"]])
    app.button(key=f"stop_{row['experiment_id']}").click().run()
    assert words.md(strings.EXPERIMENT_STOPPED) in [success.value for success in app.success]


def test_a_mode_is_set_on_the_page(page: Page, api: Client, sidecar: Sidecar) -> None:
    """For one knob; the table says who set it."""
    app = page("tuner")
    app.selectbox(key="mode_knob").select("timeout_s")
    app.selectbox(key="mode_is").select("observe")
    next(b for b in app.button if b.label == strings.CHANGE_MODE).click().run()
    modes: list[dict[str, Any]] = api.get("/v1/tuning")["modes"]
    assert ("timeout_s", "observe") in [(row["knob"], row["mode"]) for row in modes]


def test_a_history_tells_weights_and_draws(api: Client, experiment: str) -> None:
    """Weights by version of the policy; nothing was drawn yet."""
    found = api.get(f"/v1/tuning/{experiment}/history")
    (row,) = [row for row in found["shares"] if row["arms"]]
    assert [None, "gpt-5-nano"] == [arm.get("value") for arm in row["arms"]]
    assert [] == found["draws"]
    assert json.dumps("gpt-5-nano") in tried(api, experiment)
