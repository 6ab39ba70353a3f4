from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.digests import canonical, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_digest_is_frozen() -> None:
    """Digests join records of different versions, so their values never change."""
    assert [digest(""), digest("hello")] == ["e3b0c44298fc1c14", "2cf24dba5fb0a30e"]
    assert digest("é") == digest("é".encode())


def test_canonical_is_frozen() -> None:
    """Keys are sorted, spaces left out, other alphabets kept: the text is part of every arguments digest."""
    assert canonical({"b": "é", "a": [1, 1.0, None, True]}) == '{"a":[1,1.0,null,true],"b":"é"}'


@given(value=JSON)
def test_canonical_keeps_the_value(value: object) -> None:
    """Canonical text reads back as the value it names, and always encodes as UTF-8."""
    text = canonical(value)
    assert value == json.loads(text)
    assert text.encode()


def test_canonical_survives_what_is_no_json() -> None:
    """Objects, cycles and endless nesting yield some text instead of an exception."""
    cycle: list[object] = []
    cycle.append(cycle)
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert all(isinstance(canonical(v), str) for v in (cycle, deep, {"x": object()}, {1, 2}, "\ud800"))
