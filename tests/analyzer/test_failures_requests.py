from __future__ import annotations

from typing import Any

from trimtab_analyzer.findings import Finding, analyze

LIMITED = {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}
REFUSED = {"error_class": "bad_request", "http_status": 400, "body_digest": "b", "cost_musd": 0}
HANGS = {"error_class": "timeout", "end": "error", "timeout_s": 2.0, "duration_s": 2, "cost_musd": None}


def _found(shelf: Any, rule: str) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == rule]


def test_rate_limit_names_the_retries_in_force(shelf: Any) -> None:
    """A lost call at max_retries = 0 is pinned to that value at that line, next to the calls that got through."""
    shelf.call(decisions={"max_retries": 0})
    shelf.call("r1", LIMITED | {"retry_after_s": 2.5}, decisions={"max_retries": 0})
    (finding,) = _found(shelf, "rate_limit")
    assert finding.title == "1 of 2 calls to m1 met a rate limit; 1 got no answer"
    assert finding.advice == "Raise max_retries above 0 at agent.py:14, and honour Retry-After (up to 2.5 s here)."
    assert (finding.knob, finding.value, finding.subject) == ("max_retries", "0", "m1")
    assert (finding.evidence["calls"], finding.evidence["attempts"]) == (["c2"], ["c2.1"])
    assert finding.evidence["numbers"]["of"] == 2


def test_rate_limit_that_a_retry_saved_is_waiting_not_loss(shelf: Any) -> None:
    """A 429 and then a 200 in one call: nothing lost, so not the retries are named but the line that sends so many."""
    shelf.call("r1", LIMITED, {})
    shelf.decide("r1", "max_retries", 2, "c1", site_id="constructor")
    shelf.con.execute("UPDATE calls SET wait_ns = 1500000000")
    (finding,) = _found(shelf, "rate_limit")
    assert finding.title == "1 of 1 call to m1 met a rate limit; it got an answer later"
    assert (finding.knob, finding.value, finding.site_id) == ("parallelism", "null", "site")
    assert "fewer calls at once from agent.py:14" in finding.advice
    assert "1.5 s of waiting" in finding.advice


def test_provider_errors_without_loss_name_no_retries(shelf: Any) -> None:
    """Two calls answered after a 529 are no fault of max_retries; a lost one under another value still is."""
    overloaded = {"error_class": "overloaded", "http_status": 529}
    for _ in range(2):
        shelf.call("r1", overloaded, {}, decisions={"max_retries": 2})
    shelf.call("r1", overloaded, decisions={"max_retries": 0})
    lost, calm = _found(shelf, "provider_error")
    assert (lost.knob, lost.value, calm.knob, calm.value) == ("max_retries", "0", "parallelism", "null")
    assert calm.title == "2 of 2 calls failed at llm (2 overloaded); all got an answer later"


def test_rate_limit_beyond_the_retries_asks_for_longer_waits(shelf: Any) -> None:
    """Where retries were in force and did not do, raising them blindly is not the advice."""
    shelf.call("r1", LIMITED, LIMITED, LIMITED, decisions={"max_retries": 2})
    (finding,) = _found(shelf, "rate_limit")
    assert "(max_retries = 2 did not do)" in finding.advice
    assert finding.evidence["attempts"] == ["c1.1", "c1.2", "c1.3"]


def test_rate_limit_is_silent_on_a_used_up_quota(shelf: Any) -> None:
    """A 429 that says insufficient_quota does not pass by waiting, so it is no rate limit."""
    shelf.call("r1", LIMITED | {"error_class": "quota"})
    assert _found(shelf, "rate_limit") == []


def test_rate_limit_is_silent_on_good_calls(shelf: Any) -> None:
    """No 429, no finding."""
    shelf.call()
    assert _found(shelf, "rate_limit") == []


def test_provider_error_counts_each_kind_by_host(shelf: Any) -> None:
    """5xx, overload and dropped connections of one host are one finding that says how many of which."""
    for kind in ("server", "server", "overloaded", "connection", "stream_broken"):
        shelf.call("r1", {"error_class": kind}, decisions={"max_retries": 0})
    (finding,) = _found(shelf, "provider_error")
    assert finding.title.startswith(
        "5 of 5 calls failed at llm (2 server, 1 stream_broken, 1 overloaded, 1 connection)"
    )
    assert finding.advice == "Raise max_retries above 0 at agent.py:14, or name a fallback model."


def test_provider_error_takes_a_timeout_far_below_the_limit(shelf: Any) -> None:
    """A connection not made within 5 s under a limit of 600 s is the way to the provider, not the limit."""
    shelf.call("r1", HANGS | {"timeout_s": 600.0, "duration_s": 5})
    assert [f.rule for f in analyze(shelf.con)] == ["provider_error"]


def test_provider_error_is_silent_on_the_agents_own_mistakes(shelf: Any) -> None:
    """A request that is refused, an answer nobody waited for and a good call are not the provider's errors."""
    shelf.call("r1", REFUSED)
    shelf.call("r1", {"error_class": "cancelled", "end": "error"})
    shelf.call()
    assert _found(shelf, "provider_error") == []


def test_futile_retry_within_a_call_names_the_second_attempt(shelf: Any) -> None:
    """Of three refused attempts of one call two were futile, and the first was merely wrong."""
    shelf.call("r1", REFUSED | {"error_message": "no such parameter"}, REFUSED, REFUSED)
    (finding,) = _found(shelf, "futile_retry")
    assert finding.evidence["attempts"] == ["c1.2", "c1.3"]
    assert finding.title == (
        "2 requests were sent again by the retries after a bad_request error (HTTP 400) and met it again"
    )
    assert finding.advice.startswith("Do not retry a bad_request error (HTTP 400) at agent.py:14")


def test_futile_retry_sees_a_loop_around_the_call(shelf: Any) -> None:
    """The same body in a later call of the run, refused again, was sent again by the agent's own loop."""
    shelf.call("r1", REFUSED)
    shelf.call()
    shelf.call("r1", REFUSED)
    (finding,) = _found(shelf, "futile_retry")
    assert finding.evidence["attempts"] == ["c3.1"]
    assert "by a loop around the call within 60 s after a bad_request error (HTTP 400)" in finding.title


def test_futile_retry_is_silent_on_a_request_tried_again_much_later(shelf: Any) -> None:
    """A key refused once an hour in a process that runs for days is no loop; within the minute it is one."""
    refused = REFUSED | {"error_class": "auth", "http_status": 401}
    shelf.call("r1", refused)
    shelf.now += 3600 * 10**9
    shelf.call("r1", refused)
    assert _found(shelf, "futile_retry") == []
    shelf.now += 59 * 10**9
    shelf.call("r1", refused)
    (finding,) = _found(shelf, "futile_retry")
    assert finding.title == (
        "1 request was sent again by a loop around the call within 60 s after an auth error (HTTP 401) and met it again"
    )


def test_futile_retry_is_silent_where_sending_again_may_help(shelf: Any) -> None:
    """Retried rate limits, a changed body, another run, another host and a second try that worked are all sensible."""
    shelf.run("r2")
    shelf.call("r1", LIMITED | {"body_digest": "x"}, LIMITED | {"body_digest": "x"})
    shelf.call("r1", REFUSED)
    shelf.call("r1", REFUSED | {"body_digest": "other"})
    shelf.call("r2", REFUSED)
    shelf.call("r1", REFUSED | {"host": "elsewhere"})
    shelf.call("r1", {"body_digest": "b"})
    shelf.call("r1", REFUSED | {"body_digest": None}), shelf.call("r1", REFUSED | {"body_digest": None})
    assert _found(shelf, "futile_retry") == []


def test_futile_retry_counts_only_what_was_sent_again(shelf: Any) -> None:
    """Its money is that of the futile requests, not of the call's first one."""
    shelf.call("r1", REFUSED | {"cost_musd": 5}, REFUSED | {"cost_musd": 7})
    (finding,) = _found(shelf, "futile_retry")
    assert (finding.cost_musd, finding.wasted_musd) == (12, 7)
