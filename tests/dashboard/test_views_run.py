"""One run and one call in rows."""

from __future__ import annotations

from typing import Any

from trimtab_dashboard.views import run


def decision(knob: str, value: object, source: str = "code", **fields: Any) -> dict[str, Any]:
    """A setting in force."""
    plain = {"knob": knob, "value": value, "source": source, "propensity": 1.0, "policy_version": None, "site_id": "s"}
    return plain | fields


def test_settings_are_grouped_with_the_steered_ones_on_top() -> None:
    """Equal settings are one row with a count; what people or experiments set comes first, with its propensity."""
    rows = [
        decision("timeout_s", 2.0),
        decision("timeout_s", 2.0),
        decision("max_retries", 3, "experiment", propensity=0.5, policy_version=4),
    ]
    site = {"site_id": "s", "file": "a.py", "line": 3, "function": "f"}
    steered, plain = run.decisions(rows, [site])
    assert ("max_retries", "3", "an experiment", "0.5", "version 4", 1) == tuple(steered.values())[:6]
    assert ("timeout_s", "2.0", "the code", "1 (not drawn)", "", 2, "a.py:3, in f") == tuple(plain.values())


def test_errors_quote_provider_and_exception() -> None:
    """What an attempt failed with is said once, and nothing for one that was answered."""
    failed = {
        "number": 1,
        "end": "error",
        "error_type": "APIStatusError",
        "error_message": "529",
        "provider_error_type": "overloaded_error",
        "provider_error_code": None,
        "provider_error_message": "Overloaded",
    }
    assert [("Attempt 1", "APIStatusError\n529\nprovider: overloaded_error Overloaded")] == run.errors(
        [failed, failed | {"end": "complete", "number": 2}]
    )


def test_call_titles_say_what_became_of_it() -> None:
    """Result, reason, attempts, time and cost in one line."""
    call = {
        "model": "gpt-5",
        "api": "openai.chat",
        "status": "error",
        "finish_reason": None,
        "rejected_by_call_id": None,
        "attempts": 3,
        "error_class": "rate_limit",
        "started_ns": 0,
        "ended_ns": 2 * 10**9,
        "cost_musd": None,
    }
    assert "gpt-5: failed (rate limit) after 3 attempts, 2 s, cost not known" == run.call_title(call)
    cut = call | {"status": "ok", "finish_reason": "length", "attempts": 1, "error_class": None, "cost_musd": 100}
    assert "gpt-5: answer cut by the token limit, 2 s, $0.0001" == run.call_title(cut)
    turned_down = cut | {"finish_reason": "stop", "rejected_by_call_id": "x"}
    assert "gpt-5: answered, turned down by the agent, 2 s, $0.0001" == run.call_title(turned_down)


def test_tokens_that_nobody_reported_are_about_so_many() -> None:
    """An attempt's estimated tokens are told from reported ones and from unknown ones."""
    tokens = {"input_tokens": 1_200, "output_tokens": None}
    rows = run.attempts([ATTEMPT | tokens | {"usage_source": source} for source in ("reported", "estimated")])
    assert [("1,200", "not known"), ("about 1,200", "not known")] == [
        (row["Tokens in"], row["Tokens out"]) for row in rows
    ]


ATTEMPT: dict[str, Any] = dict.fromkeys(
    ("http_status", "error_class", "ttft_ns", "retry_after_s", "timeout_s", "response_model", "model", "finish_reason")
) | {"number": 1, "end": "complete", "started_ns": 0, "ended_ns": 1, "stream": False, "cost_musd": 5}


def test_blame_is_a_ranked_set_with_shares() -> None:
    """Each step with its share, what it shows in words, and its place; what is not shown is counted."""
    item = {
        "share": 0.75,
        "call_id": "c2",
        "agent": None,
        "knob": "max_tokens",
        "value": 100,
        "site_id": "s",
        "modes": ["cut"],
        "evidence": {"signals": [{"mode": "cut", "says": "the answer was cut"}], "left_out": 8},
    }
    calls = {"calls": [{"call_id": "c1"}, {"call_id": "c2"}]}
    site = {"site_id": "s", "file": "a.py", "line": 3, "function": "f"}
    (row,) = run.blame([item], calls, [site])
    assert ["75.0 %", "2", "the answer was cut", "max_tokens = 100", "a.py:3, in f"] == list(row.values())
    assert "critic" == run.blame([item | {"agent": "critic"}], calls, [site])[0]["Agent"]
    assert "nothing of its own" == run.blame([item | {"modes": [], "evidence": {}}], calls, [])[0]["Shows"]
    assert "8 steps with less are not shown" in run.blame_note([item])
