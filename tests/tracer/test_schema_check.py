from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.schema_check import schema_error

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["C", "F", 1]},
        "where": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["lat"],
            "additionalProperties": False,
        },
        "maybe": {"type": ["string", "null"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def _chat(schema: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "weather", "parameters": schema}}]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "missing: city"),
        ({"city": "x", "town": "y"}, "unexpected: town"),
        ({"city": 3}, "city: integer, not string"),
        ({"city": "x", "days": "3"}, "days: string, not integer"),
        ({"city": "x", "days": 2.5}, "days: number, not integer"),
        ({"city": "x", "days": True}, "days: boolean, not integer"),
        ({"city": "x", "unit": "K"}, "unit: not in enum"),
        ({"city": "x", "unit": True}, "unit: not in enum"),
        ({"city": "x", "where": {}}, "missing: where.lat"),
        ({"city": "x", "where": {"lat": 1, "lon": 2}}, "unexpected: where.lon"),
        ({"city": "x", "where": {"lat": 1, "tags": ["a", 2]}}, "where.tags[]: integer, not string"),
        ({"city": "x", "maybe": 1}, "maybe: integer, not string or null"),
        (["x"], "arguments: array, not object"),
    ],
)
def test_arguments_that_break_their_schema_are_named(arguments: Any, error: str) -> None:
    """The first thing that is wrong is said by key and type, never by value."""
    assert schema_error(_chat(SCHEMA), "weather", arguments) == error


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "x"},
        {"city": "x", "days": 3.0, "unit": 1.0, "maybe": None},
        {"city": "", "where": {"lat": 1, "tags": []}},
    ],
)
def test_arguments_that_fit_bring_no_error(arguments: Any) -> None:
    """3.0 is an integer, 1.0 is the 1 of an enum, a null that is allowed is one."""
    assert schema_error(_chat(SCHEMA), "weather", arguments) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}], "type": "string"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a", "type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}, "allOf": [{"required": ["b"]}]},
        {"type": "object", "patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "date"}}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"minimum": 5, "format": "email", "pattern": "x"}}},
        {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}},
        {"properties": "odd", "required": 7, "enum": [], "type": []},
        {},
    ],
)
def test_what_is_not_understood_counts_as_met(schema: Any) -> None:
    """References, alternatives, formats, unknown types and broken schemas raise no false alarm."""
    assert schema_error(_chat(schema), "weather", {"a": 3}) is None


@pytest.mark.parametrize(
    "tools",
    [
        [{"name": "weather", "input_schema": SCHEMA}],
        [{"type": "function", "name": "weather", "parameters": SCHEMA}],
        [{"functionDeclarations": [{"name": "other"}, {"name": "weather", "parameters": SCHEMA}]}],
        [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}],
        [{"name": "weather", "parameters": SCHEMA}],
    ],
    ids=["messages", "responses", "gemini", "gemini json schema", "functions"],
)
def test_every_providers_tools_are_read(tools: Any) -> None:
    """Each wire format keeps its schemas elsewhere."""
    assert schema_error(tools, "weather", {}) == "missing: city"


@pytest.mark.parametrize(
    "tools", [None, [], "x", [3], [{"name": "weather"}], [{"name": "other", "parameters": SCHEMA}]]
)
def test_without_a_schema_nothing_is_wrong(tools: Any) -> None:
    """No tools, odd tools and tools without a schema allow all arguments."""
    assert schema_error(tools, "weather", {}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(schema=JSON, arguments=JSON)
def test_no_schema_and_no_arguments_raise(schema: Any, arguments: Any) -> None:
    """Whatever JSON the two are, the answer is a short text or none."""
    found = schema_error(_chat(schema), "weather", arguments)
    assert found is None or 0 < len(found) < 200
