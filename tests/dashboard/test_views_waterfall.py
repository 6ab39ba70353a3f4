"""What the waterfall draws: attempts, waits, tools and first tokens, where they were."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab_dashboard.views import waterfall

SECOND = 10**9


def attempt(number: int, from_ns: int, to_ns: int, **fields: Any) -> dict[str, Any]:
    """A request of call ``c``."""
    plain = {
        "call_id": "c",
        "number": number,
        "started_ns": from_ns,
        "ended_ns": to_ns,
        "end": "complete",
        "http_status": 200,
        "error_class": None,
        "stream": False,
        "ttft_ns": None,
        "finish_reason": None,
    }
    return plain | fields


def tool(from_ns: int | None, to_ns: int | None, **fields: Any) -> dict[str, Any]:
    """A tool that call ``c`` asked for."""
    plain = {"call_id": "c", "name": "search", "started_ns": from_ns, "ended_ns": to_ns, "is_upper_bound": True}
    return plain | {"status": "ok"} | fields


def detail(attempts: list[Any], tools: list[Any] | None = None) -> dict[str, Any]:
    """A run of one call."""
    call = {"call_id": "c", "site_id": "s", "model": "gpt-5", "api": "openai.chat"}
    site = {"site_id": "s", "function": "answer", "line": 7}
    return {"calls": [call], "attempts": attempts, "tool_calls": tools or [], "sites": [site]}


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(1, 10**10)), min_size=1, max_size=8))
def test_attempts_and_waits_fill_the_whole_call(steps: list[tuple[int, int]]) -> None:
    """From the first request to the last answer no time is missing and none is counted twice."""
    attempts, now = [], 0
    for number, (pause, took) in enumerate(steps, start=1):
        now += pause if number > 1 else 0
        attempts.append(attempt(number, now, now + took))
        now += took
    (line,) = waterfall.lines(detail(attempts[::-1]))
    assert now == sum(mark.to_ns - mark.from_ns for mark in line.marks)
    assert all(one.to_ns == two.from_ns for one, two in zip(line.marks, line.marks[1:], strict=False))
    assert len(steps) == sum(mark.form == "attempt" for mark in line.marks)


def test_a_retry_shows_its_wait_and_its_reason() -> None:
    """A refused request, the wait after it and the answer are three marks with what happened."""
    refused = attempt(1, 0, SECOND, end="error", http_status=429, error_class="rate_limit")
    (line,) = waterfall.lines(detail([refused, attempt(2, 3 * SECOND, 4 * SECOND)]))
    assert "1  gpt-5 · answer:7" == line.label
    assert [("attempt", "failed"), ("wait", "waited"), ("attempt", "answered")] == [
        (m.form, m.state) for m in line.marks
    ]
    assert "attempt 1 of 2: failed, status 429, rate limit, 1 s" == line.marks[0].tip
    assert "waited 2 s before the next attempt" == line.marks[1].tip


def test_the_first_token_is_marked_on_streams_only() -> None:
    """It stands where it came, counted from the request."""
    both = detail([attempt(1, SECOND, 3 * SECOND, stream=stream, ttft_ns=SECOND // 2) for stream in (True, False)])
    marks = waterfall.lines(both)[0].marks
    assert [SECOND + SECOND // 2, None] == [mark.first_token_ns for mark in marks]


def test_a_tool_that_was_not_seen_running_is_an_upper_bound() -> None:
    """Its mark is hollow and says at most; one that was seen is solid; one without times is not drawn."""
    tools = [tool(2, 5), tool(3, 4, is_upper_bound=False, status="error"), tool(None, None)]
    _, bound, seen = waterfall.lines(detail([attempt(1, 0, 1)], tools))
    assert [("bound", "tool, at most this long"), ("tool", "tool failed")] == [
        (line.marks[0].form, line.marks[0].state) for line in (bound, seen)
    ]
    assert "at most" in bound.marks[0].tip
    assert ["1.1  ↳ search", "1.2  ↳ search"] == [bound.label, seen.label]


def test_the_chart_counts_from_the_start_of_the_run() -> None:
    """Seconds since the run began, in the order of the lines; the chosen call stands out from the others."""
    shown = waterfall.lines(detail([attempt(1, 5 * SECOND, 6 * SECOND)], [tool(6 * SECOND, 8 * SECOND)]))
    spec = waterfall.spec(shown, 5 * SECOND, chosen="c")
    assert [(0.0, 1.0), (1.0, 3.0)] == [(value["from"], value["to"]) for value in spec["data"]["values"]]
    bars = spec["layer"][1]
    assert [line.label for line in shown] == bars["encoding"]["y"]["sort"]
    assert 'datum.call_id === "c"' == bars["encoding"]["opacity"]["condition"]["test"]
    assert "pick" == bars["params"][0]["name"]


def test_signs_say_what_colours_say() -> None:
    """What failed or was left carries a sign beside its colour."""
    marks = [attempt(1, 0, 1, end="error"), attempt(2, 2, 3, end="abandoned"), attempt(3, 4, 5)]
    values = waterfall.spec(waterfall.lines(detail(marks)), 0)["data"]["values"]
    assert ["✕", "", "⊘", "", ""] == [value["sign"] for value in values]


def test_an_agent_within_a_run_has_its_own_bar_and_its_calls_below_it() -> None:
    """Lines of another conversation stand together, indented; one within another's time is a step further in."""
    times = {"a": (0, 90), "b": (10, 80), "c": (20, 30), "d": (40, 50)}
    talks = {"a": "1", "b": "2", "c": "3", "d": "2"}
    run = {
        "calls": [
            {"call_id": c, "site_id": "s", "model": f"m{c}", "api": "x", "conversation_id": talks[c]} for c in times
        ],
        "attempts": [attempt(1, *times[c], call_id=c) for c in times],
        "tool_calls": [],
        "sites": [],
        "agents": {"c": "critic"},
    }
    shown = [line.label.replace(waterfall.INDENT, ">") for line in waterfall.lines(run)]
    assert ["1  ma", "▸ conversation 2", ">2  mb", ">4  md", ">▸ critic", ">>3  mc"] == shown
    drawn = waterfall.spec(waterfall.lines(run), 0)["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert waterfall.AGENT in drawn
