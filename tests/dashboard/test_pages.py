"""Every page over a real sidecar: it draws, it shows the numbers, and what a person clicks is decided in their name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from trimtab_dashboard import connection, data, strings
from trimtab_dashboard.blocks import frame
from trimtab_tuner.client import Client

Page = Callable[..., AppTest]
Said = Callable[[AppTest], str]
SCREENS = Path(data.__file__).parent / "screens"
NAMES = sorted(path.stem for path in SCREENS.glob("[a-z]*.py"))


def only(api: Client, **wanted: object) -> dict[str, object]:
    """The first recommendation with these values."""
    items = api.get("/v1/recommendations")["items"]
    found: dict[str, object] = next(r for r in items if all(r[k] == v for k, v in wanted.items()))
    return found


def test_every_page_is_layout_only() -> None:
    """No page has more than 60 lines."""
    assert {} == {p.name: n for p in SCREENS.glob("*.py") if (n := len(p.read_text().splitlines())) > 60}


def test_walking_through_all_pages_draws_each(page: Page) -> None:
    """From one page to the next and back: each has its title, and none fails."""
    app = page()
    for name in [*NAMES, *reversed(NAMES)]:
        app.switch_page(f"screens/{name}.py").run()
        assert [] == [e.value for e in app.exception]
        assert [getattr(strings, name.upper())] == [t.value for t in app.title]


def test_overview_says_what_is_wrong_and_how_sure_that_is(page: Page, said: Said) -> None:
    """Failed runs with interval and n, unknown cost, the loss, the line to mend and the change that waits."""
    app = page()
    shown = said(app)
    assert {"Runs that failed": "6 of 12", "Success": "50.0 %"}.items() <= {
        m.label: m.value for m in app.metric
    }.items()
    assert "95 % interval 25–75 %, n = 12; 1 of them inferred" in shown
    assert "3 records could not be kept: 3 of kind content (spool full)" in shown
    assert "shop.py:7" in shown
    assert "12 runs of shop, 2026-11-18 11:06 to 11:17 UTC" in shown
    assert strings.NOTHING_STEERED in shown


def test_overview_shows_a_ledger_that_adds_up(page: Page, api: Client) -> None:
    """The classes of the ledger are there, and its last row is their total."""
    rows = page().dataframe[0].value
    totals = api.get("/v1/report")["totals"]
    assert ["Useful work", "Total"] == [rows["What it paid for"].iloc[i] for i in (0, -1)]
    assert totals["attempts"] == rows["Requests"].iloc[:-1].sum() == rows["Requests"].iloc[-1]


def test_runs_are_filtered_and_counted(page: Page, said: Said) -> None:
    """Of all runs those that failed by an outcome, said or inferred, each in its own words; and how many they are."""
    app = page("runs")
    assert 12 == len(app.dataframe[0].value)
    assert "Runs 1 to 12 of 12, newest first" in said(app)
    app.selectbox(key="outcome").select("Failed").run()
    results = {"✕ failed", "✕ failed, inferred", "✕ ended in an error: RateLimitError"}
    assert results == set(app.dataframe[0].value["Result"])
    assert "Runs 1 to 6 of 6, newest first" in said(app)


def test_runs_behind_a_finding_are_one_address(page: Page, api: Client, said: Said) -> None:
    """``/runs?finding=…`` shows exactly the runs in the finding's evidence."""
    finding = api.get("/v1/findings")["items"][0]
    app = page("runs", finding=finding["finding_id"])
    assert len(finding["evidence"]["runs"]) == len(app.dataframe[0].value)
    assert finding["title"] in said(app)


def test_runs_are_searched_and_chosen_by_address(page: Page, said: Said) -> None:
    """Text, cost, model and line are filters of the address; a search says how far it looked."""
    app = page("runs", text="SELL 7")
    assert ["order r07"] == list(app.dataframe[0].value["Run"])
    assert "kept texts of 12 runs; there are no older ones" in said(app)
    app = page("runs", text="evil", model="gpt-4o-mini", cost_from="0.0001", site="shop.py:21, in answer")
    assert "12 runs with this text on this page" in said(app)
    assert "No run fits" in said(page("runs", cost_from="1000"))


def test_a_lost_run_says_where_it_may_have_been_lost(page: Page, said: Said) -> None:
    """The steps of a failed run are a ranked set; another run can stand beside it, and where they part is said."""
    app = page("run", run="r00")
    blamed = app.table[0].value
    assert 100 == pytest.approx(
        sum(float(share.strip("\\% ").replace("\\", "")) for share in blamed["Share of the blame"]), abs=0.2
    )
    assert "2" == blamed["Call"].iloc[0]
    assert "they do not promise" in said(app)
    app = page("run", run="r00", **{"with": "r01"})
    assert "They part at step 2: gpt-4o-mini at shop.py:21, in answer failed, then answered." in said(app)
    assert ["=", "≠"] == list(app.dataframe[0].value[""])


def test_pages_of_runs_are_turned(page: Page, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older and newer lead through the list without a gap."""
    monkeypatch.setattr(data, "PAGE", 5)
    app = page("runs")
    seen = list(app.dataframe[0].value["Run"])
    for expected in ("Runs 6 to 10 of 12", "Runs 11 to 12 of 12"):
        next(b for b in app.button if b.label == "Older").click().run()
        assert expected in said(app)
        seen += list(app.dataframe[0].value["Run"])
    assert 12 == len(set(seen))
    next(b for b in app.button if b.label == "Newer").click().run()
    assert "Runs 6 to 10 of 12" in said(app)


def test_a_run_has_an_address_and_a_call_in_it_too(page: Page, said: Said) -> None:
    """``/run?run=…&call=…`` shows the run, the chosen call, its attempts, and its texts as text and not as Markdown."""
    app = page("run", run="r11", call="r11.3")
    shown = said(app)
    assert "answered after 2 attempts" in shown
    assert "shop.py:21, in answer" in shown
    attempts = app.dataframe[0].value
    assert ["✕ failed", "✓ answered"] == list(attempts["Result"])
    assert ["", "250 ms"] == list(attempts["First token"])
    assert "![x](http://evil/)" in [code.value for code in app.code]
    assert "evil" not in shown


def test_settings_of_a_run_say_who_set_them(page: Page) -> None:
    """Each setting in force with its value, source, propensity and line."""
    settings = page("run", run="r00").dataframe[-1].value
    row = settings[settings["Setting"] == "max_retries"].iloc[0]
    assert ("0", "the code", "1 (not drawn)", "shop.py:7") == (
        row["Value"],
        row["Set by"],
        row["Propensity"],
        row["Where"],
    )


def test_a_run_that_is_not_there_is_one_sentence(page: Page) -> None:
    """An address of an unknown run shows the sidecar's sentence and no traceback."""
    app = page("run", run="nobody")
    assert [] == list(app.exception)
    assert "There is no run" in app.error[0].value.replace("\\", "")


def test_findings_come_in_the_order_of_the_api(page: Page, api: Client, said: Said) -> None:
    """Each finding with its quoted line, what to try and its interval, and that it is an association."""
    shown = said(page("findings"))
    found = [f["title"] for f in api.get("/v1/findings", status="open")["items"]]
    places = [shown.index(title) for title in found]
    assert places == sorted(places)
    assert strings.ASSOCIATION in shown
    assert all(word in shown for word in ("Try:", "Seen in"))


def test_findings_are_ranked_and_asked_to_be_recommendations(page: Page, api: Client, said: Said) -> None:
    """By money what wasted most stands first; a rejected change can be asked for on its finding."""
    app = page("findings", by="Money lost")
    titles = [f["title"] for f in api.get("/v1/findings", status="open", ranked_by="money")["items"]]
    shown = said(app)
    assert sorted(titles, key=shown.index) == titles
    row = api.get("/v1/recommendations", status="proposed")["items"][0]
    key = f"ask_{row['finding_id']}"
    assert key not in [button.key for button in app.button]
    api.post(f"/v1/recommendations/{row['recommendation_id']}/reject", {"version": row["version"]})
    data.forget()
    app = page("findings")
    app.button(key=key).click().run()
    assert "It is proposed now" in said(app)
    assert "proposed" == api.get(f"/v1/recommendations/{row['recommendation_id']}")["status"]
    assert "No finding that was resolved has come back" in said(page("findings", status="Reopened"))


def test_accept_conflict_and_audit(page: Page, api: Client, said: Said) -> None:
    """A person accepts with a reason and a value of their own; what another undid meanwhile is one clear sentence."""
    row = only(api, knob="max_retries", status="proposed")
    key = row["recommendation_id"]
    app = page("recommendations")
    app.text_input(key=f"why_{key}").input("429s cost us runs")
    app.text_input(key=f"value_{key}").input("2")
    app.button(key=f"accept_{key}").click().run()
    assert strings.decided("accept") in said(app)
    assert "Accepted by Ida Lund through the dashboard" in said(app)
    assert [2] == [rule["value"] for rule in api.get("/v1/policy")["rules"]]
    assert "`max_retries`: `0` → **`2`**" in said(app)
    assert "" == app.text_input(key=f"why_{key}").value

    api.post(f"/v1/recommendations/{key}/rollback", {"version": 2, "why": "not today"})
    app.button(key=f"rollback_{key}").click().run()
    assert "Bo rolled back this recommendation" in said(app)
    assert [] == [b.key for b in app.button if b.key == f"rollback_{key}"]
    assert [] == api.get("/v1/policy")["rules"]

    audit = page("changes").table[-1].value.iloc[:2].map(lambda cell: cell.replace("\\", ""))
    assert ["max_retries at shop.py:7"] * 2 == list(audit["Of"])
    assert [("Bo (cli)", "not today"), ("Ida Lund (dashboard)", "429s cost us runs")] == list(
        zip(audit["Who"], audit["Why"], strict=True)
    )


def test_values_that_can_not_be_are_refused_and_nothing_changes(page: Page, api: Client, said: Said) -> None:
    """No JSON is said here; a value that no agent would obey is said by the sidecar."""
    row = only(api, knob="max_tokens", status="proposed")
    key = row["recommendation_id"]
    app = page("recommendations")
    for typed, sentence in (("1.5 tokens", "The value is no JSON"), ('"many"', '"many"')):
        app.text_input(key=f"value_{key}").input(typed)
        app.button(key=f"accept_{key}").click().run()
        assert sentence in said(app)
        assert row == only(api, recommendation_id=key)


def test_reject(page: Page, api: Client, said: Said) -> None:
    """A rejected recommendation names who rejected it, and offers nothing more."""
    key = only(api, knob="max_tokens", status="proposed")["recommendation_id"]
    app = page("recommendations")
    app.button(key=f"reject_{key}").click().run()
    assert strings.decided("reject") in said(app)
    assert "Rejected by Ida Lund through the dashboard" in said(app)
    assert "rejected" == api.get(f"/v1/recommendations/{key}")["status"]
    assert [] == [b.key for b in app.button if str(b.key).endswith(str(key))]


def test_what_was_said_does_not_follow_to_other_pages(page: Page, said: Said) -> None:
    """What came of a decision stays on its page when that is drawn again, and is gone on the next one."""
    app = page("recommendations")
    app.session_state["said"] = frame.Said("Well done.", is_good=True, until_s=float("inf"))
    for _ in range(2):
        assert "Well done." in said(app.run())
    app.switch_page("screens/changes.py").run()
    assert "Well done." not in said(app)


def test_freeze_and_unfreeze_ask_first(page: Page, api: Client, said: Said) -> None:
    """The button only asks; confirmed, everything is frozen in the person's name, and every page says so."""
    app = page("changes")
    app.button(key="ask_freeze").click().run()
    assert not api.get("/v1/freeze")["frozen"]
    app.text_input(key="why_freeze").input("costs run away")
    app.button(key="confirm_freeze").click().run()
    state = api.get("/v1/freeze")
    assert (True, "Ida Lund", "dashboard", "costs run away") == tuple(
        state[k] for k in ("frozen", "actor", "via", "why")
    )
    assert "Steering is frozen** by Ida Lund just now: costs run away" in said(page("runs"))
    app = page("changes")
    app.button(key="ask_freeze").click().run()
    app.button(key="confirm_unfreeze").click().run()
    assert not api.get("/v1/freeze")["frozen"]


def test_an_empty_store_is_one_sentence_a_page(empty: None, page: Page, said: Said) -> None:
    """Where nothing was recorded, each page says what would appear, and none fails."""
    expected = {
        "overview": strings.EMPTY,
        "runs": strings.EMPTY,
        "run": strings.NO_RUN_CHOSEN,
        "findings": strings.NO_FINDINGS,
        "recommendations": strings.NO_RECOMMENDATIONS,
        "harness": strings.EMPTY,
        "compare": strings.EMPTY,
        "tuner": strings.NOTHING_LEARNED,
        "changes": strings.NO_AUDIT,
        "setup": strings.EMPTY,
    }
    for name in NAMES:
        app = page(name)
        assert [] == [e.value for e in app.exception]
        assert expected[name] in said(app)


def test_a_sidecar_that_is_gone_is_one_sentence(page: Page, said: Said) -> None:
    """Pages and sidebar say that the sidecar does not answer; none shows a traceback."""
    connection.use("http://127.0.0.1:9", "t")
    for name in ("overview", "findings", "recommendations", "tuner", "changes", "setup", "runs"):
        app = page(name)
        assert [] == [e.value for e in app.exception]
        assert 2 == len(app.error)
        assert "does not answer" in said(app)
