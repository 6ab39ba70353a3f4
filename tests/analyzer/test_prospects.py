from __future__ import annotations

from typing import Any

from trimtab_analyzer import prospects

BUSY = {"error_class": "overloaded", "http_status": 529, "cost_musd": 0}
LIMITED = {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}


def test_retries_are_counted_by_what_went_wrong_first(shelf: Any) -> None:
    """Answered after one and after two more requests, given up, asked of another model, not asked again at all."""
    shelf.call("r1", BUSY, {})
    shelf.call("r1", BUSY, LIMITED, {})
    shelf.call("r1", BUSY, BUSY)
    shelf.call("r1", BUSY, {"model": "m2"})
    shelf.call("r1", BUSY)
    shelf.call("r1", LIMITED, {"duration_s": 4})
    assert [("llm", "overloaded", 3, 2, 1.5), ("llm", "rate_limit", 1, 1, 4.0)] == (
        prospects.retry_fates(shelf.con).rows()
    )


def test_models_are_counted_by_host_and_format(shelf: Any) -> None:
    """Answers with a reason to have finished, their mean known cost, and what they called the model."""
    shelf.call(response_model="m1-2026", cost_musd=100)
    shelf.call(response_model="m1-2026", cost_musd=300)
    shelf.call(response_model="m1-2026", cost_musd=None)
    shelf.call("r1", BUSY)
    shelf.call("r1", {"error_class": "cancelled", "end": "error"})
    shelf.call(model="e1", api="openai.embeddings", finish_reason=None)
    expected = [
        ("llm", "openai.chat", "m1", 4, 3, 200.0, 2, ["m1-2026"]),
        ("llm", "openai.embeddings", "e1", 1, 0, None, 0, []),
    ]
    assert expected == prospects.models_seen(shelf.con).rows()


def test_the_last_calls_of_a_place_are_those_it_made_or_decided(shelf: Any) -> None:
    """Two of each model at the line of the call, the same calls at the line of the client; none without decisions."""
    for model in ("m1", "m1", "m1", "m2"):
        call_id = shelf.call(model=model)
        shelf.decide("r1", "max_retries", 2, call_id, site_id="client")
    shelf.call("r1", {"model": "m1"}, {"model": "m2"}, decisions={"max_retries": 2})
    shelf.call()
    found = prospects.latest_calls(shelf.con, ["max_retries"], 2)
    rows = found.select("site_id", "model", "call_id").rows()
    client = [("client", "m2", "c4"), ("client", "m1", "c3"), ("client", "m1", "c2")]
    assert [*client, ("site", "m1", "c5"), ("site", "m2", "c4"), ("site", "m1", "c3")] == rows
    assert prospects.latest_calls(shelf.con, ["fallback"], 2).is_empty()


def test_a_call_is_told_by_its_first_request(shelf: Any) -> None:
    """Which model was asked for, how often, whether it was lost, and whether vectors were wanted."""
    shelf.call("r1", BUSY, {"model": "m2", "response_model": "m2-2026"})
    shelf.call("r1", BUSY, path="/v1/embeddings")
    shelf.call()
    columns = ("call_id", "service", "attempts", "is_lost", "is_embedding", "model", "response_models")
    expected = [("c1", "shop", 2, False, False, "m1", ["m2-2026"]), ("c2", "shop", 1, True, True, "m1", [])]
    assert expected == prospects.calls_asked(shelf.con, ["c1", "c2"]).select(columns).rows()
