"""Bodies as they came: every compression an agent may have asked for is undone, behind the queue."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.caught import Caught, decode
from trimtab_tracer.records import Attempt
from trimtab_tracer.sites import UNKNOWN
from trimtab_tracer.wire import formats

TEXT = b'{"answer": "' + b"word " * 500 + b'"}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[2:-4]),
        ("zstd", zstandard.compress(TEXT)),
        ("gzip, zstd", zstandard.compress(gzip.compress(TEXT, mtime=0))),
    ],
)
def test_undoes_encodings(encoding: str, body: bytes) -> None:
    """What the provider packed is what comes out, also packed twice."""
    assert TEXT == decode(body, encoding)


@pytest.mark.parametrize(("encoding", "stays"), [("gzip", True), ("", True), ("zstd", False), ("gzip, zstd", False)])
def test_what_others_can_not_unpack_is_unpacked_before_it_leaves(encoding: str, stays: bool) -> None:
    """Another process may have no decoder for what this one asked for; what every Python undoes stays packed."""
    body = gzip.compress(TEXT, mtime=0) if "gzip" in encoding else TEXT
    body = zstandard.compress(body) if "zstd" in encoding else body
    attempt = Attempt("a", "c", "r", "p", 1, 1, 1, "openai.chat", "POST", "h", "/", "s", "complete")
    caught = Caught(attempt, formats.CHAT, b"{}", body, "application/json", encoding, UNKNOWN, None)
    portable = caught.portable()
    assert stays == (portable is caught)
    assert TEXT == decode(portable.response_body or b"", portable.content_encoding)


@given(cut=st.integers(min_value=20))
def test_cut_stream_decodes_to_what_arrived(cut: int) -> None:
    """A stream left early gives a beginning of the text."""
    packed = gzip.compress(TEXT)
    decoded = decode(packed[: cut % len(packed)], "gzip")
    assert decoded is None or TEXT.startswith(decoded)


@given(body=st.binary(), encoding=st.sampled_from(["gzip", "deflate", "br", "zstd", "rot13", "gzip, gzip"]))
def test_nonsense_is_none_and_never_an_exception(body: bytes, encoding: str) -> None:
    """Bytes that are not what the header says decode to nothing or to bytes."""
    assert isinstance(decode(body, encoding), bytes | None)
