"""Kept texts as conversations."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_dashboard.views import conversation

CHAT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": "x"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "t1", "content": "42"},
    ]
}


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (
            CHAT,
            [
                ("system", "Be kind."),
                ("user", 'Hi\n{"type": "image_url", "image_url": "x"}'),
                ("assistant", "→ f({})"),
                ("tool (answer to t1)", "42"),
            ],
        ),
        ({"choices": [{"message": {"role": "assistant", "content": "Yes."}}]}, [("assistant", "Yes.")]),
        ({"system": "S", "messages": [{"role": "user", "content": "U"}]}, [("system", "S"), ("user", "U")]),
        ({"role": "assistant", "content": [{"type": "text", "text": "A"}]}, [("assistant", "A")]),
        ({"instructions": "I", "input": "Q"}, [("system", "I"), ("user", "Q")]),
        ({"output": [{"type": "message", "role": "assistant", "content": "O"}]}, [("assistant", "O")]),
        (
            {"messages": "no list", "choices": [1, {}]},
            [("json", json.dumps({"messages": "no list", "choices": [1, {}]}, indent=2))],
        ),
    ],
)
def test_bodies_read_as_conversations(body: object, messages: list[tuple[str, str]]) -> None:
    """The common formats become roles and texts; anything else is shown as the JSON that it is."""
    assert messages == [(m.role, m.text) for m in conversation.conversation(json.dumps(body))]


KEYS = st.sampled_from(["role", "content", "messages", "choices", "message", "input", "output", "system", "tool_calls"])


@given(
    st.dictionaries(
        KEYS,
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_no_body_breaks_the_page(body: dict[str, object]) -> None:
    """Whatever a provider answers or an agent sends, there is something to show."""
    assert conversation.conversation(json.dumps(body))


def test_a_body_that_is_no_json_is_shown_as_it_is() -> None:
    """A stream's text, or half a body, is one text."""
    assert [("text", "data: {half")] == [(m.role, m.text) for m in conversation.conversation("data: {half")]


def test_long_conversations_are_bounded() -> None:
    """The last messages are shown, each cut at a limit, and what is left out is said."""
    body = {"messages": [{"role": "user", "content": f"{n}" * 10_000} for n in range(45)]}
    shown = conversation.conversation(json.dumps(body))
    assert "5 earlier messages are left out here" == shown[0].text
    assert conversation.MESSAGES + 1 == len(shown)
    assert all(len(message.text) < conversation.TEXT_LIMIT + 50 for message in shown)
