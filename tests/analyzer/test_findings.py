from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from trimtab_analyzer.findings import MAX_EVIDENCE, Quote, analyze, finding_id, persist, stored

LIMITED = {"error_class": "rate_limit", "cost_musd": 0}
COLUMNS = "finding_id, status, runs, first_seen_ns, last_seen_ns, updated_ns"


def _stored(shelf: Any) -> list[tuple[Any, ...]]:
    return shelf.con.execute(f"SELECT {COLUMNS} FROM findings ORDER BY finding_id").fetchall()


def test_a_finding_quotes_the_line_that_decided(shelf: Any) -> None:
    """The decision of a client-level knob was made where the client was built, and that line is quoted."""
    shelf.site("constructor", 3, "client = OpenAI(max_retries=0)")
    shelf.call("r1", LIMITED)
    shelf.decide("r1", "max_retries", 0, "c1", site_id="constructor", site_role="constructor")
    (finding,) = analyze(shelf.con)
    assert finding.site == Quote("constructor", "agent.py", "main", 3, "client = OpenAI(max_retries=0)")
    assert finding.advice.startswith("Raise max_retries above 0 at agent.py:3")


def test_a_line_that_is_not_known_is_said_so(shelf: Any) -> None:
    """A site that never arrived in the store costs the quote, not the finding."""
    shelf.call("r1", LIMITED, site_id="lost")
    (finding,) = analyze(shelf.con)
    assert (finding.site_id, finding.site) == ("lost", None)
    assert "at a line that is not known" in finding.advice


def test_values_in_force_are_told_apart(shelf: Any) -> None:
    """The same line under two values is two findings, each counting only its own calls."""
    for value, attempt in ((0, LIMITED), (0, {}), (2, LIMITED), (2, {}), (2, {})):
        shelf.call("r1", attempt, decisions={"max_retries": value})
    found = {f.value: f.evidence["numbers"]["of"] for f in analyze(shelf.con)}
    assert found == {"0": 2, "2": 3}


def test_a_value_that_changes_with_every_call_is_not_blamed(shelf: Any) -> None:
    """Six prompts with the date in them are one finding about the place, not six about prompts."""
    for number in range(6):
        shelf.call(rejected_by="x", decisions={"prompt_version": f"v{number}"})
    shelf.call(decisions={"prompt_version": "v6"})
    (finding,) = analyze(shelf.con)
    assert (finding.value, finding.calls, finding.evidence["numbers"]["of"]) == ("null", 6, 7)


def test_failed_runs_come_first_then_wasted_money(shelf: Any) -> None:
    """A cheap finding in a failed run stands above an expensive one in runs that went well."""
    shelf.run("lost")
    shelf.outcome("lost", False)
    shelf.call("lost", finish_reason="length", cost_musd=1)
    shelf.call(rejected_by="x", cost_musd=5000)
    shelf.call(tools=[{"offered": False}], cost_musd=300)
    assert [f.rule for f in analyze(shelf.con)] == ["truncation", "parser_rejection", "unknown_tool"]
    assert [f.failed_runs for f in analyze(shelf.con)] == [1, 0, 0]


def test_what_ended_runs_comes_first_and_what_lost_nothing_last(shelf: Any) -> None:
    """A rate limit got over in two failed runs stands below a cut answer in one; what ended a run is above both."""
    for run_id in ("a", "b", "c"):
        shelf.run(run_id)
        shelf.outcome(run_id, False)
    shelf.call("a", LIMITED, {}), shelf.call("b", LIMITED, {})
    shelf.call("c", finish_reason="length")
    shelf.call(shelf.run("d", status="error", error_type="Oops"), tools=[{"offered": False}])
    found = analyze(shelf.con)
    assert [f.rule for f in found] == ["unknown_tool", "truncation", "rate_limit"]
    persist(shelf.con, found)
    sql = (resources.files("trimtab_tuner") / "queries" / "findings.sql").read_text()
    asked = dict.fromkeys(("status", "rule", "site", "finding", "ranked_by")) | {"limit": 9, "offset": 0}
    ordered = shelf.con.sql(sql, params=asked).pl()["finding_id"].to_list()
    assert ordered == [f.finding_id for f in found], "the API shows them in another order than the report"


def test_no_micro_dollar_is_wasted_twice(shelf: Any) -> None:
    """An answer cut and then turned down is the limit's alone, with its money; the parser could not have taken it."""
    shelf.call(finish_reason="length", rejected_by="c2", cost_musd=70)
    found = {f.rule: (f.cost_musd, f.wasted_musd) for f in analyze(shelf.con)}
    assert found == {"truncation": (70, 70)}


def test_evidence_is_bounded_and_says_so(shelf: Any) -> None:
    """A finding of thousands of calls lists some, counts all and says how many it left out."""
    shelf.call("r1", LIMITED)
    n = MAX_EVIDENCE + 5
    shelf.con.execute(
        "INSERT INTO attempts BY NAME SELECT a.* REPLACE ('d' || i AS attempt_id, 'd' || i AS call_id)"
        f" FROM attempts AS a, range({n - 1}) AS more(i)"
    )
    (finding,) = analyze(shelf.con)
    assert (finding.calls, len(finding.evidence["calls"])) == (n, MAX_EVIDENCE)
    assert finding.evidence["numbers"]["left_out"] == {"calls": 5, "attempts": 5}


def test_runs_beyond_the_listed_evidence_are_explained_too(shelf: Any) -> None:
    """Every exception after a rate limit is accounted for, also of the runs that the finding does not list."""
    shelf.call("r1", LIMITED)
    shelf.con.execute("UPDATE runs SET status = 'error', error_type = 'RateLimitError', error_site_id = 'site'")
    for table, ids in (("runs", ["run_id"]), ("calls", ["call_id", "run_id"])):
        shelf.again(table, ids, ["r1"], MAX_EVIDENCE)
    shelf.again("attempts", ["attempt_id", "call_id", "run_id"], ["r1"], MAX_EVIDENCE)
    (finding,) = analyze(shelf.con)
    assert (finding.rule, finding.evidence["numbers"]["left_out"]["ended_runs"]) == ("rate_limit", 1)


def test_only_the_asked_runs_are_analysed(shelf: Any) -> None:
    """A finding of another run is not this run's."""
    shelf.run("r2")
    shelf.call("r2", LIMITED)
    assert (len(analyze(shelf.con, ["r2"])), len(analyze(shelf.con, ["r1"])), len(analyze(shelf.con, []))) == (1, 0, 0)


def test_the_id_depends_on_what_the_finding_is_about(shelf: Any, stories: Any) -> None:
    """More of the same keeps the id; another rule, subject, knob, value or line is another finding."""
    ids = set()
    for _ in range(2):
        stories["rate_limit"](shelf)
        ids |= {f.finding_id for f in analyze(shelf.con)}
    assert ids == {finding_id("rate_limit", "m1", "max_retries", "0", "site")}
    about = ("rule", "subject", "knob", "1", "site")
    changed = {finding_id(*about[:i], "other", *about[i + 1 :]) for i in range(5)}
    assert len(changed | {finding_id(*about)}) == 6


def test_persist_keeps_the_life_of_a_finding(shelf: Any) -> None:
    """Opened, said again without a write, grown, gone and back: one row with its first sight."""
    shelf.call("r1", LIMITED)
    first = analyze(shelf.con)
    (found,) = [f.finding_id for f in first]
    assert persist(shelf.con, first, 10) == ([found], [], [])
    assert persist(shelf.con, first, 20) == ([], [], [])
    assert _stored(shelf) == [(found, "open", 1, 1_000_000_000, 1_000_000_000, 10)]
    shelf.run("r2")
    shelf.call("r2", LIMITED)
    assert persist(shelf.con, analyze(shelf.con), 30) == ([], [], [])
    assert persist(shelf.con, [], 40) == ([], [], [found])
    assert persist(shelf.con, [], 50) == ([], [], [])
    assert _stored(shelf) == [(found, "resolved", 2, 1_000_000_000, 2_000_000_000, 40)]
    assert persist(shelf.con, analyze(shelf.con, ["r2"]), 60) == ([], [found], [])
    told = shelf.con.execute("SELECT at_ns, event FROM finding_events ORDER BY at_ns").fetchall()
    assert told == [(10, "opened"), (40, "resolved"), (60, "reopened")]
    sql = (resources.files("trimtab_tuner") / "queries" / "findings.sql").read_text()
    asked = dict.fromkeys(("rule", "site", "finding", "ranked_by")) | {"limit": 9, "offset": 0, "status": "reopened"}
    assert [(found, True)] == shelf.con.sql(sql, params=asked).select("finding_id, is_reopened").fetchall()
    assert [f.finding_id for f in stored(shelf.con)] == [found]
    assert _stored(shelf) == [(found, "open", 1, 1_000_000_000, 2_000_000_000, 60)]


def test_persist_writes_what_analyze_said(shelf: Any, stories: Any) -> None:
    """Every field of a finding is in its row, value and evidence as JSON."""
    stories["unknown_tool"](shelf)
    (finding,) = analyze(shelf.con)
    persist(shelf.con, [finding])
    row = shelf.con.sql("SELECT * FROM findings").pl().row(0, named=True)
    assert json.loads(row.pop("evidence")) == finding.evidence
    assert {"status": "open"} | {k: getattr(finding, k) for k in row if k not in ("status", "updated_ns")} == {
        k: v for k, v in row.items() if k != "updated_ns"
    }


def test_persist_works_inside_the_callers_transaction(shelf: Any, stories: Any) -> None:
    """The sidecar writes under its own transaction; what it rolls back was not persisted."""
    stories["rate_limit"](shelf)
    shelf.con.begin()
    persist(shelf.con, analyze(shelf.con))
    shelf.con.rollback()
    assert _stored(shelf) == []


def test_every_finding_survives_the_store(shelf: Any, stories: Any) -> None:
    """The findings of all stories together can be written, read back and written again unchanged."""
    for tell in stories.values():
        tell(shelf)
    found = analyze(shelf.con)
    assert len({f.rule for f in found}) > len(stories) / 2  # told into one run, some stories spoil others
    current = {f.finding_id for f in found if f.is_current}
    assert {f.is_current for f in found} == {True, False}  # many stories are over by the time that the long one ends
    assert current == set(persist(shelf.con, found, 1).opened)
    assert {f.finding_id: "open" if f.is_current else "resolved" for f in found} == dict(
        row[:2] for row in _stored(shelf)
    )
    persist(shelf.con, analyze(shelf.con), 2)
    assert {row[-1] for row in _stored(shelf)} == {1}


def test_the_real_parser_is_found_with_its_cost(shelf: Any, real_data: Path) -> None:
    """Both names of the model in mini-SWE-agent's files: 684 answers turned down for USD 15.80, one, for 0.81, cut."""
    shelf.load_mini_swe(real_data / "mini_swe_agent")
    found = analyze(shelf.con)
    rejected = [f for f in found if f.rule == "parser_rejection"]
    (cut,) = [f for f in found if f.rule == "truncation"]
    assert [f.subject for f in rejected] == ["google/gemini-3-pro-preview", "gemini-3-pro-preview"]
    assert sum(f.calls for f in (*rejected, cut)) == 684
    assert round(sum(f.wasted_musd for f in (*rejected, cut)) / 1e6, 2) == 15.80
    assert rejected[0].title.startswith("660 of 19,584 answers of google/gemini-3-pro-preview were turned down")
    assert 0 < rejected[0].failed_runs < rejected[0].runs
    assert (cut.calls, cut.cost_musd, cut.wasted_musd) == (1, 808_718, 808_718)
