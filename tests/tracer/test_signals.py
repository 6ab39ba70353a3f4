from __future__ import annotations

import json
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.exchange import Captured, ExchangeBuilder
from trimtab_tracer.records import Attempt, Exchange, from_dict, to_dict
from trimtab_tracer.signals import signals
from trimtab_tracer.wire.facts import ToolAnswer
from trimtab_tracer.wire.formats import CHAT

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "required": ["q"]}}}
    for name in ("search", "buy")
]
USER = {"role": "user", "content": "Which order is it?"}


def _signals(
    messages: list[Any],
    message: dict[str, Any],
    finish: str = "stop",
    answers: dict[str, str] | None = None,
    **body: Any,
) -> dict[str, Any]:
    body = {"messages": messages} | body
    asked = CHAT.request(body, "/v1/chat/completions")
    said = CHAT.response({"choices": [{"message": message, "finish_reason": finish}]})
    answered = [(tool_id, ToolAnswer(None, None, text)) for tool_id, text in (answers or {}).items()]
    return signals(body, json.dumps(body).encode(), asked, said, answered, str.upper)


def _call(name: str, text: str | None = None, **arguments: Any) -> dict[str, Any]:
    return {
        "content": text,
        "tool_calls": [{"id": "a", "function": {"name": name, "arguments": json.dumps(arguments)}}],
    }


def test_a_plain_exchange_says_next_to_nothing() -> None:
    """Without tools, stops and numbers all that is kept is which conversation it belongs to."""
    assert _signals([USER], {"content": "Paris."}) == {"opening": crc32(b"Which order is it?")}


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("HTTP error 403: Forbidden", "denied"),
        ("bash: /etc/shadow: Permission denied", "denied"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'x'", "absent"),
        ("Error 404: page not found", "absent"),
        ("bash: line 1: rg: command not found\n", "missing"),
        ("ModuleNotFoundError: No module named 'yaml'", "missing"),
        ("Failed to reach the server", "soft"),
        ("[]", "empty"),
        ("<shop.Quote object at 0x7f1122334455>", "object"),
        ("<coroutine object quote at 0x7f1122334455>", "object"),
        ("[object Object]", "object"),
        ("It printed <shop.Quote object at 0x7f1122334455>.", None),
        ("None", "empty"),
        ("Order 403 of 404 items was found", None),
        ("The author authored 12 books", None),
        ("The item was not found in 3 of 4 shops", None),
        ("0", None),
    ],
)
def test_tool_answers_look_like_what_they_are(text: str, look: str | None) -> None:
    """Refused, not there, not installed, failing without saying so, empty; or like a result."""
    assert _signals([USER], {"content": "ok"}, answers={"c:0": text}).get("answers") == (
        {"c:0": look} if look else None
    )


def test_missing_commands_are_named_as_the_caller_shows_them() -> None:
    """The name passes through what redacts it."""
    found = _signals(
        [USER], {"content": "ok"}, answers={"c:0": "zsh: command not found: rg", "c:1": "sh: 1: jq: not found"}
    )
    assert found["missing"] == ["RG", "JQ"]


@pytest.mark.parametrize(
    ("text", "tool", "found"),
    [
        ("I will call the search tool now.", "buy", ["SEARCH", "BUY"]),
        ("Action: `search`", "buy", ["SEARCH", "BUY"]),
        ("Let me use search, then buy.", "search", None),
        ("The search was fine, so I will now call buy.", "buy", None),
        ("I could call research first.", "buy", None),
    ],
)
def test_a_tool_named_and_another_called(text: str, tool: str, found: list[str] | None) -> None:
    """Only an announcement of a tool that was offered, none of those named being called, is a mismatch."""
    assert _signals([USER], _call(tool, text, q=1), "tool_calls", tools=TOOLS).get("mismatch") == found


def test_numbers_of_a_final_answer_are_looked_for_in_what_was_sent() -> None:
    """Two of three are in the messages, one as 1,204 for 1204."""
    messages = [USER, {"role": "tool", "tool_call_id": "a", "content": "rows: 1204, 17"}]
    assert _signals(messages, {"content": "1,204 rows, 17 of them new, 99 old"}, tools=TOOLS)["numbers"] == [3, 1]
    assert "numbers" not in _signals([USER], {"content": "1,204 rows"}), "without tools there is no evidence to compare"


def test_values_are_followed_in_and_out() -> None:
    """An identifier keeps its digest from the answer of one agent to the request of the next."""
    out = _signals([USER], {"content": "The order is A-77120."})["values_out"]
    into = _signals([{"role": "user", "content": "handle order A-77120"}], {"content": "ok"})["values_in"]
    assert out == into == [crc32(b"77120")]


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot assist with this request.", True),
        ("I can't find order 7, so I looked it up elsewhere.", False),
        ('He wrote: "I cannot assist with this request."', False),
    ],
)
def test_refusals_are_told_by_how_they_open(text: str, is_refusal: bool) -> None:
    """What comes later in the answer, or is quoted, is none."""
    assert _signals([USER], {"content": text}).get("refused", False) is is_refusal


def test_flags_of_requests_and_calls() -> None:
    """A summary at the head, a claim of a check, an idempotency key, what was searched for."""
    summary = {"role": "user", "content": "Summary of the conversation: much was said."}
    assert _signals([summary, USER], {"content": "ok"})["compacted"]
    assert "compacted" not in _signals([USER, {"role": "user", "content": "Write a summary."}], {"content": "ok"})
    assert _signals([USER], {"content": "I have verified that it works."}, tools=TOOLS)["verified"]
    found = _signals([USER], _call("search", q="red shoes", idempotency_key="x"), "tool_calls", tools=TOOLS)
    assert found["keyed"] == [0]
    assert {crc32(b"red"), crc32(b"shoes")} <= set(found["queries"]["0"])


@pytest.mark.parametrize("mode", ["off", "redacted"])
def test_the_exchange_keeps_no_text_of_a_person(mode: str) -> None:
    """Signals and schema error survive the wire and hold words alone; with content off not even those."""
    body = {
        "messages": [{"role": "system", "content": "You must end with <<END>>."}, USER],
        "tools": TOOLS,
        "stop": ["<<END>>"],
    }
    reply = {"choices": [{"message": _call("buy"), "finish_reason": "tool_calls"}]}
    final = {"choices": [{"message": {"content": "secret words"}, "finish_reason": "stop"}]}
    builder = ExchangeBuilder(mode)
    made = []
    for number, answer in enumerate((reply, final)):
        attempt = Attempt(f"a{number}", "c", "r", "p", 1, 0, 1, "openai.chat", "POST", "h", "/v1", "s", "complete")
        captured = Captured(attempt, CHAT, json.dumps(body).encode(), json.dumps(answer).encode(), False)
        made.append(next(r for r in builder.build(captured) if isinstance(r, Exchange)))
    assert made[0].tool_requests[0].schema_error == "missing: q"
    assert [from_dict(json.loads(json.dumps(to_dict(e)))).signals["opening"] for e in made] == [
        crc32(b"Which order is it?")
    ] * 2
    (stop,) = made[1].signals["stops"]
    assert stop.startswith("digest:") if mode == "off" else stop == "<<END>>"
    assert "secret" not in json.dumps(made[1].signals)


@given(text=st.text(max_size=200), answer=st.text(max_size=200), prompt=st.text(max_size=100))
def test_no_text_raises(text: str, answer: str, prompt: str) -> None:
    """Whatever is said, the signals are JSON."""
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": text}]
    json.dumps(_signals(messages, {"content": answer}, answers={"c:0": text}, tools=TOOLS, stop=[answer[:5] or "x"]))


def test_words_of_short_messages_are_kept_where_agents_have_prompts() -> None:
    """What one agent hands over and what the next is told first: tool arguments, short answers, first messages."""
    system = {"role": "system", "content": "You find orders."}
    words = [crc32(word.encode()) for word in ("oslo", "express")]
    asked = _signals([system, USER | {"content": "Oslo express"}], _call("search", found="Oslo express"), "tool_calls")
    assert (asked["words_in"], asked["words_out"]) == (words, words)
    assert _signals([system, USER], {"content": "Oslo, express."})["words_out"] == words
    long = _signals([system, USER | {"content": "word " * 99}], {"content": "word " * 99})
    assert not {"words_in", "words_out"} & set(long)
    later = _signals([system, USER, {"role": "assistant", "content": "No."}, USER], {"content": "Oslo"})
    assert "words_in" not in later
