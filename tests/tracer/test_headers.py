from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

from trimtab_tracer.headers import picked

WANTED = frozenset((b"x-request-id", b"retry-after"))


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_headers_are_picked_as_the_library_reads_them(library: Any) -> None:
    """In any case, joined where one repeats, and nothing but what was asked for."""
    headers = library.Headers([("X-Request-Id", "a"), ("Cookie", "s"), ("x-request-id", "b"), ("Retry-After", "3")])
    assert {name: headers[name] for name in ("x-request-id", "retry-after")} == picked(headers, WANTED)


def test_bytes_that_are_no_text_are_replaced() -> None:
    """A header in another encoding is read as far as it goes."""
    assert {"x-request-id": "caf\ufffd"} == picked(httpx2.Headers([(b"X-Request-Id", b"caf\xe9")]), WANTED)


@pytest.mark.parametrize(
    ("headers", "expected"), [({"Retry-After": 3, "Cookie": "s"}, {"retry-after": "3"}), (None, {})]
)
def test_other_libraries_headers_are_read_too(headers: Any, expected: dict[str, str]) -> None:
    """An error that a user's hook raises may carry a mapping, or nothing at all."""
    assert expected == picked(headers, WANTED)
