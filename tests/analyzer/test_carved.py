"""Cache misses and carried results: which part of an input's price they take, and when they take none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.carved import carried, carved
from trimtab_analyzer.cost import ledger
from trimtab_tracer.prices import PriceList
from trimtab_tracer.setting_values import PriceOverride

PRICES = PriceList([PriceOverride("m1", input=2.0, output=10.0, cache_read=0.5)])
"""Micro-USD per token."""


def _call(shelf: Any, messages: int, input_tokens: int, read: int | None = 0, **facts: Any) -> str:
    """A call priced by :data:`PRICES`."""
    cost = (input_tokens - (read or 0)) * 2 + (read or 0) // 2 + 5 * 10
    facts = {"prompt_digest": "p", "cost_musd": cost, "cache_read_tokens": read} | facts
    call_id: str = shelf.call("r1", message_count=messages, input_tokens=input_tokens, **facts)
    return call_id


def _result(shelf: Any, tool_id: str, carried_by: str, chars: int) -> None:
    row = {"tool_id": tool_id, "attempt_id": f"{carried_by}.1", "seen_ns": shelf.now, "status": "ok"}
    shelf.insert("tool_results", row | {"result_chars": chars})


def _parts(shelf: Any, cls: str) -> list[Any]:
    columns = ("call_id", "cost_musd", "input_tokens", "knob")
    return [row[1:] for row in ledger(shelf.con, prices=PRICES).select("cls", *columns).rows() if row[0] == cls]


def test_a_changed_prompt_pays_the_full_price_again(shelf: Any) -> None:
    """What stood in the cache and was not read for a new system prompt costs 1.5 per token more, and only that."""
    _call(shelf, 1, 2000)
    _call(shelf, 3, 3000, read=1920)
    _call(shelf, 5, 4000, read=0, prompt_digest="q", decisions={"prompt_version": "v2"})
    assert [("c3", 2944 * 2 - 2944 // 2, 0, "prompt_version")] == _parts(shelf, "cache_miss")
    assert 4000 == ledger(shelf.con, prices=PRICES).filter(call_id="c3")["input_tokens"].sum()


def test_changed_tools_are_pinned_to_the_tools(shelf: Any) -> None:
    """The set of tools stands before the prompt; where it alone changed, it is the decision."""
    _call(shelf, 1, 2000, read=1280)
    _call(shelf, 3, 3000, read=0, tools_digest="t2")
    assert [("c2", "tools")] == [(row[0], row[3]) for row in _parts(shelf, "cache_miss")]


def test_where_writes_are_counted_what_was_written_could_be_read(shelf: Any) -> None:
    """A provider that counts cache writes says itself how much stood in the cache."""
    _call(shelf, 1, 2000, read=0, cache_write_tokens=500)
    _call(shelf, 3, 3000, read=400, prompt_digest="q")
    shelf.con.execute("UPDATE attempts SET cache_write_tokens = 0 WHERE call_id = 'c2'")
    assert [("c2", 150, 0, "prompt_version")] == _parts(shelf, "cache_miss")


@pytest.mark.parametrize(
    "second",
    [
        {"prompt_digest": "p"},  # nothing changed: the provider forgot
        {"prompt_digest": "q", "messages": 1},  # a new conversation
        {"prompt_digest": "q", "pause_s": 301},  # kept no longer
        {"prompt_digest": "q", "model": "m2"},  # another model's cache
        {"prompt_digest": "q", "read": None},  # the provider does not say
        {"prompt_digest": "q", "read": 1920},  # it was read all the same
        {"prompt_digest": "q", "cost_musd": None},
        {"prompt_digest": "q", "error_class": "server"},
    ],
)
def test_what_is_no_cache_miss(shelf: Any, second: dict[str, Any]) -> None:
    """Only a conversation that grew, soon, at the same model, and under a changed beginning can have missed."""
    _call(shelf, 1, 2000, read=1024)
    shelf.now += second.pop("pause_s", 0) * 10**9
    _call(shelf, second.pop("messages", 3), 3000, **({"read": 0} | second))
    assert [] == _parts(shelf, "cache_miss")


def test_a_host_that_never_read_from_a_cache_can_miss_none(shelf: Any) -> None:
    """Without one answer that was read from a cache nothing says that there is one; short prompts are not kept."""
    _call(shelf, 1, 2000, model="m3")
    _call(shelf, 3, 3000, model="m3", prompt_digest="q")
    assert [] == _parts(shelf, "cache_miss")
    _call(shelf, 1, 1023, read=1)
    _call(shelf, 3, 3000, prompt_digest="r")
    assert [] == _parts(shelf, "cache_miss")


def test_a_price_that_is_not_known_is_not_taken_apart(shelf: Any) -> None:
    """A reported cost without a price in the list stays whole; one with a price is taken apart as the list's."""
    _call(shelf, 1, 2000, read=1024)
    _call(shelf, 3, 2000, prompt_digest="q", cost_musd=8100, cost_reported_musd=8100)
    assert carved(shelf.con).is_empty()
    assert [("c2", 2 * (1920 * 3 // 2), 0, "prompt_version")] == _parts(shelf, "cache_miss")


def test_an_oversized_result_is_paid_again_by_each_later_call(shelf: Any) -> None:
    """40,000 characters are 10,000 tokens: useful in the call that brings them, carried in the two after it."""
    _call(shelf, 1, 1000, tools=[{"site_id": "tool", "origin": "observed"}], decisions={"tools": "t"})
    _result(shelf, "c1:0", _call(shelf, 3, 11_500), 40_000)
    _call(shelf, 5, 12_000, decisions={"tools": "t"})
    _call(shelf, 7, 12_500)
    expected = [("c3", 20_000, 10_000, "tools"), ("c4", 20_000, 10_000, "tools")]
    assert expected == _parts(shelf, "oversized_result")
    assert ["tool"] * 2 == ledger(shelf.con, prices=PRICES).filter(cls="oversized_result")["site_id"].to_list()


def test_a_result_that_was_cut_on_the_way_weighs_what_the_prompt_grew_by(shelf: Any) -> None:
    """A harness that passes on a part of a megabyte carries the part, and a page of it is not oversized."""
    _call(shelf, 1, 1000, tools=[{}] * 2)
    _result(shelf, "c1:0", _call(shelf, 3, 7005), 4_000_000)
    _result(shelf, "c1:1", _call(shelf, 5, 12_010), 4_000_000)
    _call(shelf, 7, 20_000)
    expected = [("c3", 12_000, 6000, "tools"), ("c4", 12_000, 6000, "tools")]
    assert expected == _parts(shelf, "oversized_result"), "5 of what it grew by were the answer before it"


def test_a_result_of_the_limit_is_not_oversized(shelf: Any) -> None:
    """The limit itself is fine; seen again in a later request it is no new result."""
    _call(shelf, 1, 1000, tools=[{}])
    for messages in (3, 5, 7):
        _result(shelf, "c1:0", _call(shelf, messages, 9000 + messages), 20_000)
    assert [] == _parts(shelf, "oversized_result")


def test_a_result_dropped_from_the_prompt_is_carried_no_more(shelf: Any) -> None:
    """A prompt that shrank may have lost it, and does not get it back by growing; so with fewer messages."""
    _call(shelf, 1, 1000, tools=[{}])
    _result(shelf, "c1:0", _call(shelf, 3, 11_500), 40_000)
    _call(shelf, 5, 11_400)
    _call(shelf, 7, 15_000)
    _result(shelf, "c1:1", _call(shelf, 9, 30_000), 40_000)
    _call(shelf, 8, 31_000)
    assert [] == _parts(shelf, "oversized_result")


def test_tokens_of_unknown_cost_are_carried_too(shelf: Any) -> None:
    """Money that nobody knows is not split, the tokens are."""
    _call(shelf, 1, 1000, tools=[{}])
    _result(shelf, "c1:0", _call(shelf, 3, 11_500), 40_000)
    _call(shelf, 5, 12_000, cost_musd=None)
    assert [("c3", 0, 10_000, "tools")] == _parts(shelf, "oversized_result")
    assert [("c3", 0, 2000, None)] == _parts(shelf, "unknown")


def test_a_call_with_a_miss_and_a_carried_result_is_split_in_three(shelf: Any) -> None:
    """Extra first, then the result's share of what is left of the input; the parts of two tools add up to the call."""
    _call(shelf, 1, 2000, tools=[{}])
    _result(shelf, "c1:0", _call(shelf, 3, 12_005, read=1920), 40_000)
    _call(shelf, 5, 12_501, prompt_digest="q", tools=[{}, {"args_valid": False}])
    parts = ledger(shelf.con, prices=PRICES).filter(call_id="c3")
    assert ["useful", "cache_miss", "oversized_result", "malformed_tool_args"] == parts["cls"].to_list()
    assert (12_501 * 2 + 50, 12_501, 5) == tuple(
        parts.select("cost_musd", "input_tokens", "output_tokens").sum().row(0)
    )
    extra = 11_904 * 3 // 2
    carried = (25_002 - extra) * 10_000 // 12_501
    assert [-(-extra // 2), -(-carried // 2)] == parts["cost_musd"].to_list()[1:3]


call = st.fixed_dictionaries(
    {
        "conversation": st.sampled_from("ab"),
        "message_count": st.one_of(st.none(), st.integers(0, 9)),
        "input_tokens": st.integers(0, 50_000),
        "output_tokens": st.integers(0, 5_000),
        "is_answer": st.booleans(),
        "came_chars": st.sampled_from([0, 0, 0, 25_000, 10**6]),
        "tool_site_id": st.sampled_from([None, "tool"]),
    }
)


@given(st.lists(call, max_size=30))
def test_no_prompt_carries_more_than_it_holds(calls: list[dict[str, Any]]) -> None:
    """Whatever grows, shrinks or fails, what is carried fits in the prompt and came in before."""
    rows = [row | {"attempt_id": n} for n, row in enumerate(sorted(calls, key=lambda row: row["conversation"]))]
    for attempt_id, tokens, _ in carried(rows):
        row = rows[int(attempt_id)]
        came = sum(r["came_chars"] for r in rows[: int(attempt_id)] if r["conversation"] == row["conversation"])
        assert 0 < tokens <= min(row["input_tokens"], came // 4)
        assert row["is_answer"]
