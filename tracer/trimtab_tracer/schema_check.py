"""Whether tool arguments fit the JSON Schema that the request offered for the tool.

In: the tools of a request as sent, a tool's name, the arguments as JSON value. Out: the first thing that is wrong with
them, or None. A module of its own, and small, because the agent's process must not import a validator and because a
false alarm here blames a sound tool: what this does not understand (references, alternatives, formats, ranges) it
takes as met. It names keys and types, never a value that a model wrote.
"""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 8
"""Levels of nesting that are looked at."""
MAX_ITEMS: Final = 50
"""Items of an array that are looked at."""
MAX_KEY: Final = 64
"""Characters of a key that are named."""

_UNDERSTOOD_BY_NONE: Final = frozenset(
    {"$ref", "$dynamicRef", "anyOf", "oneOf", "allOf", "not", "if", "any_of", "one_of", "all_of"}
)
"""Keywords that may widen what the others say: a schema with one of them is not judged at this level."""


def schema_error(tools: Any, name: str, arguments: Any) -> str | None:
    """What is wrong with ``arguments`` by the schema of the tool ``name``; None where nothing is, or none is offered.

    Args:
        tools: ``tools`` or ``functions`` of a request, of any provider.
        name: The tool that was called.
        arguments: The arguments as JSON value.

    Returns:
        For example ``missing: city``, ``unexpected: town``, ``limit: string, not integer``, ``unit: not in enum``.
    """
    schema = _schema_of(tools, name)
    return None if schema is None else _error(schema, arguments, "", 0)


def value_error(schema: dict[str, Any], value: Any) -> str | None:
    """What is wrong with ``value`` by ``schema``; None where nothing is, as far as this understands it."""
    return _error(schema, value, "", 0)


def _schema_of(tools: Any, name: str) -> dict[str, Any] | None:
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        inner = tool.get("function")
        known = inner if isinstance(inner, dict) else tool
        if known.get("name") == name:
            for key in ("parameters", "input_schema", "parametersJsonSchema", "inputSchema"):
                if isinstance(schema := known.get(key), dict):
                    return schema
            return None
        for key in ("functionDeclarations", "function_declarations"):  # Gemini
            if key in tool and (schema := _schema_of(tool[key], name)) is not None:
                return schema
    return None


def _error(schema: dict[str, Any], value: Any, path: str, depth: int) -> str | None:
    if depth > MAX_DEPTH or not _UNDERSTOOD_BY_NONE.isdisjoint(schema):
        return None
    if value is None and schema.get("nullable") is True:
        return None
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(kinds, list) and kinds and not any(_is_a(value, kind) for kind in kinds):
        return (
            f"{path or 'arguments'}: {_kind(value)}, not {' or '.join(str(kind).lower() for kind in kinds)[:MAX_KEY]}"
        )
    allowed = schema.get("enum")
    if isinstance(allowed, list) and allowed and not any(_equal(value, one) for one in allowed):
        return f"{path or 'arguments'}: not in enum"
    if isinstance(value, dict):
        return _object_error(schema, value, path, depth)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict) and "prefixItems" not in schema:
        for item in value[:MAX_ITEMS]:
            if (found := _error(items, item, f"{path}[]", depth + 1)) is not None:
                return found
    return None


def _object_error(schema: dict[str, Any], value: dict[str, Any], path: str, depth: int) -> str | None:
    required = schema.get("required")
    for key in required if isinstance(required, list) else ():
        if isinstance(key, str) and key not in value:
            return f"missing: {_join(path, key)}"
    known = schema.get("properties")
    known = known if isinstance(known, dict) else {}
    if schema.get("additionalProperties") is False and "patternProperties" not in schema:
        for key in value:
            if key not in known:
                return f"unexpected: {_join(path, key)}"
    for key, inner in known.items():
        if key in value and isinstance(inner, dict):
            found = _error(inner, value[key], _join(path, key), depth + 1)
            if found is not None:
                return found
    return None


def _join(path: str, key: str) -> str:
    return (f"{path}.{key}" if path else key)[-MAX_KEY:]


def _equal(value: Any, one: Any) -> bool:
    """JSON's equality: true is not 1, 1 is 1.0."""
    return isinstance(value, bool) is isinstance(one, bool) and bool(value == one)


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value has a type of JSON Schema; an unknown type has every value (Gemini writes them in capitals)."""
    match kind.lower() if isinstance(kind, str) else None:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "integer":
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return is_number and (isinstance(value, int) or value.is_integer())
        case _:
            return True


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number"}
    return names.get(type(value), "value")
