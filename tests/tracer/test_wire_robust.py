from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.wire.facts import RequestFacts, ResponseFacts
from trimtab_tracer.wire.formats import WireFormat, by_api
from trimtab_tracer.wire.sse import ServerSentEvent

APIS = ["openai.chat", "openai.responses", "anthropic.messages", "openai.embeddings", "gemini", "ollama"]
KEYS = re.findall(
    r"\S+",
    """model messages role content tool_calls function name arguments id index delta choices message finish_reason usage
    error type code input output item item_id output_index content_index call_id response status instructions tools
    reasoning text format system tool_choice thinking thread stop_reason content_block partial_json candidates parts
    functionCall args functionResponse generationConfig finishReason systemInstruction options done iterations""",
)
WORDS = re.findall(
    r"\S+",
    """assistant user tool system message function_call function_call_output tool_use tool_result text refusal
    message_start content_block_start content_block_delta message_delta error response.completed
    response.output_item.added response.output_text.delta response.function_call_arguments.delta input_json_delta
    text_delta completed STOP""",
)
SCALAR = (
    st.none() | st.booleans() | st.integers(-3, 10**25) | st.floats() | st.text(max_size=6) | st.sampled_from(WORDS)
)
JSON = st.recursive(
    SCALAR,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), v, max_size=5),
    max_leaves=20,
)
BODY = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6)


def format_of(api: str) -> WireFormat:
    """The format of that name."""
    found = by_api(api)
    assert found is not None
    return found


@pytest.mark.parametrize("api", APIS)
@given(body=BODY, path=st.text(max_size=30))
def test_parsers_never_raise(api: str, body: dict[str, Any], path: str) -> None:
    """Bodies of any shape, with the providers' own words in the wrong places, read as facts."""
    asked, said = format_of(api).request(body, path), format_of(api).response(body)
    assert isinstance(asked, RequestFacts)
    assert isinstance(said, ResponseFacts)
    assert json.dumps(asked.params, allow_nan=False)


@pytest.mark.parametrize("api", APIS)
@given(
    values=st.lists(BODY | JSON, max_size=5), kinds=st.lists(st.none() | st.sampled_from(WORDS), min_size=5, max_size=5)
)
def test_folding_never_raises(api: str, values: list[Any], kinds: list[str | None]) -> None:
    """Any events fold to a body that reads as facts; so do events that are no JSON."""
    events = [ServerSentEvent(k, json.dumps(v)) for k, v in zip(kinds, values, strict=False)]
    body = format_of(api).fold([*events, ServerSentEvent(None, '{"cut'), ServerSentEvent("x", "[" * 100_000)])
    assert isinstance(format_of(api).response(body), ResponseFacts)


@pytest.mark.parametrize("api", APIS)
def test_lone_surrogates_become_storable(api: str) -> None:
    """Text that JSON allows and files do not is made storable where facts are read."""
    bad = "\ud800x"
    body = {
        "model": bad,
        "id": bad,
        "choices": [{"message": {"content": bad}}],
        "stop": [bad],
        "error": {"message": bad},
    }
    asked, said = format_of(api).request(body, ""), format_of(api).response(body)
    assert repr((asked, said)).encode()
    assert json.dumps([asked.params, said.text, said.error_message], ensure_ascii=False).encode()
