from __future__ import annotations

import re

import pytest

from trimtab_tracer.patterns import lazy_pattern


def test_a_lazy_pattern_behaves_like_the_compiled_one() -> None:
    """Every method gives what the compiled pattern's gives, at the first use and after it."""
    lazy, compiled = lazy_pattern(r"(a)b+", re.IGNORECASE), re.compile(r"(a)b+", re.IGNORECASE)
    for _ in range(2):
        assert compiled.sub("-", "xABBy") == lazy.sub("-", "xABBy")
        assert compiled.findall("ab AB") == lazy.findall("ab AB")
        assert (found := lazy.match("abx")) is not None
        assert "ab" == found[0]
    assert compiled.pattern == lazy.pattern


def test_a_lazy_pattern_is_compiled_at_its_first_use() -> None:
    """A pattern that is none is noticed when it is used, not when it is written down."""
    broken = lazy_pattern("(")
    with pytest.raises(re.error):
        broken.search("x")
