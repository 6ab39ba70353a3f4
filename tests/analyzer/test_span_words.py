"""The words of a call, in whichever way its span keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.importers.span_words import request_of, response_of
from trimtab_tracer.wire.formats import CHAT

ASKED, SAID = "How many boats?", "Twelve."
PARTS = [{"type": "text", "content": ASKED}]
CONVENTIONS: dict[str, dict[str, Any]] = {
    "GenAI": {
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Count."}]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": PARTS}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": SAID}]}]),
    },
    "OpenInference": {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.text": ASKED,
        "llm.output_messages.0.message.content": SAID,
    },
    "OpenLLMetry": {
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": ASKED,
        "gen_ai.completion.0.content": SAID,
    },
    "AI SDK": {"ai.prompt.messages": json.dumps([{"role": "user", "content": ASKED}]), "ai.response.text": SAID},
    "values": {"input.value": json.dumps({"messages": [{"role": "user", "content": ASKED}]}), "output.value": SAID},
    "plain": {"input.value": ASKED, "output.value": SAID},
}
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2)
NAMES = st.sampled_from(
    [name for convention in CONVENTIONS.values() for name in convention]
    + ["llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "llm.input_messages.x", "llm.prompts"]
)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_says_the_same(convention: str) -> None:
    """Question and answer come out of each, in the shape of a chat completion."""
    request, response = request_of(CONVENTIONS[convention]), response_of(CONVENTIONS[convention])
    assert request is not None
    assert response is not None
    assert {"role": "user", "content": ASKED} == request["messages"][-1]
    assert CHAT.response(response).text == SAID


def test_tool_calls_are_part_of_the_answer() -> None:
    """An answer that only asks for a tool holds its name, arguments and id."""
    prefix = "llm.output_messages.0.message.tool_calls.0.tool_call"
    response = response_of(
        {f"{prefix}.id": "c1", f"{prefix}.function.name": "count", f"{prefix}.function.arguments": "{}"}
    )
    assert response is not None
    (call,) = CHAT.response(response).tool_calls
    assert ("c1", "count", "{}") == (call.provider_id, call.name, call.arguments)


def test_a_span_without_words_has_none() -> None:
    """Where the maker kept no content there is no body, not an empty one."""
    assert (request_of({"llm.model_name": "m"}), response_of({"output.value": ""})) == (None, None)


@given(st.dictionaries(NAMES, VALUES))
def test_anything_can_be_read(attributes: dict[str, Any]) -> None:
    """Values of any type give bodies that are JSON, or none."""
    for body in (request_of(attributes), response_of(attributes)):
        assert body is None or body == json.loads(json.dumps(body))
