"""Where the time of a run went: what counts when several things are under way, and that the parts make the whole."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_analyzer.cost import ledger
from trimtab_analyzer.seconds import STATES, Span, seconds, sweep

SECOND = 10**9


def _time(shelf: Any, *columns: str, run_ids: Any = None) -> list[Any]:
    parts = seconds(shelf.con, ledger(shelf.con), run_ids).parts
    names = columns or ("state",)
    return parts.group_by(names, maintain_order=True).agg(pl.col("ns").sum() // SECOND).rows()


def _end(shelf: Any, run_id: str = "r1", at_s: int | None = None) -> None:
    ended_ns = shelf.now if at_s is None else at_s * SECOND
    shelf.con.execute("UPDATE runs SET ended_ns = ? WHERE run_id = ?", [ended_ns, run_id])


def test_a_run_is_waiting_for_models_for_tools_for_retries_or_idle(shelf: Any) -> None:
    """Two attempts with a pause, a tool of three seconds, and two seconds in which nothing was seen."""
    shelf.call("r1", {"error_class": "server", "duration_s": 2}, decisions={"max_retries": 1})
    shelf.con.execute("UPDATE attempts SET call_id = 'c9'")
    shelf.now += 4 * SECOND
    shelf.call("r1", {"duration_s": 5, "number": 2})
    shelf.con.execute("UPDATE attempts SET call_id = 'c2'")
    shelf.decide("r1", "max_retries", 3, "c2", site_id="client")
    began = shelf.now
    shelf.now += 3 * SECOND
    shelf.tool("r1", "c2", started_ns=began, ended_ns=shelf.now)
    shelf.now += 2 * SECOND
    _end(shelf)
    expected = [
        ("model", "failed_attempt", "max_retries", "3", "client", 2),
        ("model", "useful", None, None, "site", 5),
        ("tool", "useful", None, None, "site", 3),
        ("retry_wait", "retry_wait", "max_retries", "3", "client", 4),
        ("idle", "idle", None, None, None, 2),
    ]
    assert expected == _time(shelf, "state", "cls", "knob", "value", "site_id")


def test_of_several_things_at_once_the_model_counts(shelf: Any) -> None:
    """A tool of ten seconds beside a call of one takes nine; of two calls the one that began first has the time."""
    shelf.tool("r1", None, started_ns=0, ended_ns=10 * SECOND, origin="observed", tool_id="t")
    shelf.now = 2 * SECOND
    first = shelf.call("r1", {"duration_s": 3})
    shelf.now = 4 * SECOND
    second = shelf.call("r1", {"duration_s": 4})
    _end(shelf, at_s=12)
    expected = [("model", first, 3), ("model", second, 3), ("tool", None, 4), ("idle", None, 2)]
    assert expected == _time(shelf, "state", "call_id")


def test_the_time_of_an_answer_is_divided_among_its_tools(shelf: Any) -> None:
    """As its cost is; the tool's own time has the class of the tool call."""
    shelf.call("r1", {"duration_s": 2}, tools=[{}, {"offered": False}])
    _end(shelf)
    assert [("useful", 1), ("unknown_tool", 1)] == _time(shelf, "cls")


def test_a_carried_result_takes_no_time_of_its_own(shelf: Any) -> None:
    """What is taken out of a part has a price and no duration."""
    for messages, tokens in ((1, 12_000), (3, 12_500), (5, 13_000)):
        call_id = shelf.call(message_count=messages, input_tokens=tokens, tools=[{}] * 2, model="gpt-4o")
        result = {"tool_id": "big", "attempt_id": f"{call_id}.1", "seen_ns": shelf.now, "status": "ok"}
        shelf.insert("tool_results", result | {"result_chars": 40_000})
    _end(shelf)
    assert "oversized_result" in ledger(shelf.con)["cls"]
    assert [("useful", 3)] == _time(shelf, "cls")


def test_time_of_nested_runs_is_time_of_the_run_around_them(shelf: Any) -> None:
    """A child's call is in both; only the outermost is to be added up. Parents in a circle end the search."""
    shelf.run("child", parent_run_id="r1")
    shelf.call("child", {"duration_s": 3})
    _end(shelf, "child")
    _end(shelf, at_s=5)
    expected = [("child", False, "model", 3), ("r1", True, "model", 3), ("r1", True, "idle", 2)]
    assert expected == _time(shelf, "run_id", "is_outermost", "state")
    assert [("r1", "model", 3), ("r1", "idle", 2)] == _time(shelf, "run_id", "state", run_ids=["r1"])
    shelf.con.execute("UPDATE runs SET parent_run_id = 'child' WHERE run_id = 'r1'")
    assert 2 == len(_time(shelf, "run_id"))


def test_a_run_that_goes_on_ends_with_the_last_thing_known(shelf: Any) -> None:
    """And what lies outside of a run's own start and end is not its time."""
    shelf.call("r1", {"duration_s": 3})
    assert [("model", 3)] == _time(shelf)
    _end(shelf, at_s=2)
    assert [("model", 2)] == _time(shelf)


def test_runs_whose_time_can_not_be_split_are_named(shelf: Any) -> None:
    """One that ends before it starts, one from a file without durations; one without calls is idle, or of no length."""
    shelf.now = 5 * SECOND
    shelf.run("backwards", ended_ns=0)
    shelf.run("file", ended_ns=9 * SECOND)
    shelf.call("file", {"duration_s": 0})
    shelf.run("quiet", ended_ns=6 * SECOND)
    found = seconds(shelf.con, ledger(shelf.con))
    assert {
        "ends before it begins": ["backwards"],
        "its records do not say how long a request took": ["file"],
    } == found.left_out
    assert [("quiet", "idle", SECOND)] == found.parts.select("run_id", "state", "ns").rows()


span = st.tuples(st.integers(-5, 40), st.integers(0, 20), st.integers(0, 2))


@given(st.lists(span, max_size=12), st.integers(0, 30))
def test_each_instant_is_in_the_first_state_under_way(spans: list[tuple[int, int, int]], length: int) -> None:
    """The sweep gives what a look at every single nanosecond gives, to the owner."""
    given = [Span(start, start + took, rank, row) for row, (start, took, rank) in enumerate(spans)]
    expected: dict[int, int] = {}
    for now in range(length):
        active = [s for s in given if s.started_ns <= now < s.ended_ns]
        owner = min(active, key=lambda s: (s.rank, s.started_ns, s.row)).row if active else -1
        expected[owner] = expected.get(owner, 0) + 1
    assert expected == sweep(0, length, given)


event = st.tuples(
    st.sampled_from(["r1", "r2", "child"]),
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from([None, "server", "cancelled"]), st.integers(0, 4)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(-2, 9), st.sampled_from(["inferred", "observed", "requested"])), max_size=3),
)


@given(st.lists(event, max_size=6), st.integers(0, 40))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_parts_of_a_run_make_its_duration(shelf: Any, events: list[Any], length: int) -> None:
    """Whatever overlaps, fails or runs backwards, each run's parts sum to its length, to the nanosecond."""
    for table in ("attempts", "calls", "tool_calls", "runs"):
        shelf.con.execute(f"DELETE FROM {table}")
    shelf.now = 0
    for run_id, parent in (("r1", None), ("r2", None), ("child", "r1")):
        shelf.run(run_id, parent_run_id=parent, ended_ns=length * SECOND + 7)
    for run_id, at, attempts, tools in events:
        shelf.now = at * SECOND
        call_id = shelf.call(run_id, *({"error_class": error, "duration_s": took} for error, took in attempts))
        for index, (took, origin) in enumerate(tools):
            shelf.tool(run_id, call_id, index, origin=origin, ended_ns=shelf.now + took * SECOND)
    found = seconds(shelf.con, ledger(shelf.con))
    left_out = {run_id for ids in found.left_out.values() for run_id in ids}
    sums = dict(found.parts.group_by("run_id").agg(pl.col("ns").sum()).rows())
    assert dict.fromkeys({"r1", "r2", "child"} - left_out, length * SECOND + 7) == sums
    assert set(found.parts["state"]) <= set(STATES)
