from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from trimtab_tracer import content
from trimtab_tracer.content import Chosen
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, Content, RunStart
from trimtab_tracer.store import Store

WIRE = ("openai.chat", "POST", "h", "/v1/chat/completions", "site", "complete")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "trimtab.duckdb") as store:
        yield store


def texts(store: Store, call_id: str) -> list[tuple[str, str, int]]:
    """Role, text and attempt number of what was exchanged in a call."""
    return [(t["role"], t["body"], t["attempt"]) for t in content.read(store, store.content_dir, call_id)]


def exchanged(call: str, attempt: int, body: str) -> list[Any]:
    """An attempt with its request and response."""
    ids = (f"{call}/{attempt}", call, "run")
    both = [Content(*ids, role, 1, f"{role} {body}") for role in ("request", "response")]
    return [Attempt(*ids, "p", attempt, attempt, 1, *WIRE), *both]


def test_texts_of_a_call_come_back_in_order(store: Store) -> None:
    """A call's texts are read attempt by attempt, request before response, unchanged."""
    ingest(store, [*exchanged("c", 2, "zwölf ✓ \x00"), *exchanged("c", 1, "x" * 100_000), *exchanged("d", 1, "other")])
    expected = [
        (role, f"{role} {body}", n)
        for n, body in ((1, "x" * 100_000), (2, "zwölf ✓ \x00"))
        for role in ("request", "response")
    ]
    assert expected == texts(store, "c")
    assert texts(store, "no such call") == []


def test_ingesting_again_overwrites(store: Store) -> None:
    """The file's name follows from where the rows came from, so that a second ingest leaves one file."""
    for _ in range(2):
        ingest(store, exchanged("c", 1, "once"), segment=("p-000001.seg", "p", 500, 3, False))
        with store.transaction() as con:
            con.execute("DELETE FROM ingest_ledger")  # as if the first commit had not happened
    assert [path.name for path in store.content_dir.iterdir()] == ["p-000001-000000000000.parquet"]
    assert len(texts(store, "c")) == 2


def test_files_are_private(store: Store) -> None:
    """Folder and files of texts are for this user only."""
    ingest(store, exchanged("c", 1, "secret"))
    (path,) = store.content_dir.iterdir()
    assert (store.content_dir.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_deleted_file_costs_its_texts_only(store: Store) -> None:
    """Retention is deleting files: calls whose file is gone have no text, the others keep theirs."""
    ingest(store, exchanged("c", 1, "old"))
    (old,) = store.content_dir.iterdir()
    ingest(store, exchanged("d", 1, "new"))
    old.unlink()
    assert texts(store, "c") == []
    assert len(texts(store, "d")) == 2


def test_many_small_files_are_joined(store: Store) -> None:
    """Joining keeps every text, leaves one file, and is not done for a few files."""
    for n in range(content.SMALL_FILES - 1):
        content.write_segment(store.content_dir, f"s-{n}.parquet", rows(n))
        index(store, n)
    assert content.compact(store) == 0
    content.write_segment(store.content_dir, "s-63.parquet", rows(63))
    index(store, 63)
    assert content.compact(store) == content.SMALL_FILES
    assert len(list(store.content_dir.iterdir())) == 1
    assert all([("request", f"body {n}", 0)] == texts(store, f"c{n}") for n in range(content.SMALL_FILES))


def rows(n: int) -> list[dict[str, Any]]:
    """One text of call ``c<n>``."""
    ids = {"attempt_id": f"a{n}", "call_id": f"c{n}", "run_id": "r"}
    return [ids | {"role": "request", "recorded_ns": n, "body": f"body {n}"}]


def index(store: Store, n: int) -> None:
    """Name the file ``s-<n>.parquet`` in the index."""
    with store.transaction() as con:
        con.execute("INSERT INTO content VALUES (?, 'request', ?, 'r', ?, ?)", [f"a{n}", f"c{n}", n, f"s-{n}.parquet"])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many files are enough to be joined in this test."""
    monkeypatch.setattr(content, "SMALL_FILES", 8)
    return 8


def test_a_text_that_came_twice_is_read_once(store: Store, few: int) -> None:
    """Of a text written by two imports the later one counts, before its files are joined and after."""
    ingest(store, [*exchanged("c", 1, "old"), *exchanged("d", 1, "other")])
    ingest(store, exchanged("c", 1, "new"))
    expected = [(role, f"{role} new", 1) for role in ("request", "response")]
    assert expected == texts(store, "c")
    for n in range(few):
        ingest(store, exchanged(f"filler {n}", 1, "x"))
    assert content.compact(store) == few + 2
    assert expected == texts(store, "c")
    assert len(texts(store, "d")) == 2


@pytest.mark.parametrize("damage", [b"", b"PAR1 is no Parquet", None])
def test_a_damaged_file_costs_its_texts_only(
    store: Store, few: int, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is empty, garbage or rotten inside has no texts; all others are read and joined. It is said once."""
    for n in range(few + 1):
        ingest(store, exchanged(f"c{n}", 1, os.urandom(400).hex()))
    (path,) = (store.content_dir / name for (name, *_) in content._where(store, "c7")[:1])
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 300 + whole[304:] if damage is None else damage)
    for _ in range(2):
        assert texts(store, "c7") == []
    assert content.compact(store) == few
    assert [len(texts(store, f"c{n}")) for n in (6, 7, 8)] == [2, 0, 2]
    assert len(caplog.messages) == 1
    assert path.name in caplog.text


def test_a_join_is_bounded_by_what_it_unpacks(store: Store, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that pack well are joined only as far as they fit into memory, and the rest with the next look."""
    monkeypatch.setattr(content, "JOIN_BYTES", 100_000)
    for n in range(few):
        content.write_segment(store.content_dir, f"s-{n}.parquet", [row | {"body": "x" * 20_000} for row in rows(n)])
        index(store, n)
    assert content.compact(store) == 4
    assert all([("request", "x" * 20_000, 0)] == texts(store, f"c{n}") for n in range(few))


def test_a_file_is_on_the_disk_before_it_has_its_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger lets the spool go after the commit: so file and folder are synced, the file before the rename."""
    steps: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("rename"), rename(*paths))[1])
    content.write_segment(store.content_dir, "s-1.parquet", rows(1))
    assert steps == ["sync", "rename", "sync"]


def test_sweeping_removes_what_a_crash_left(store: Store) -> None:
    """Unfinished files and files that the index does not name go; the others stay."""
    ingest(store, exchanged("c", 1, "kept"))
    content.write_segment(store.content_dir, "stray.parquet", rows(1))
    (store.content_dir / "half.parquet.tmp").write_bytes(b"PAR1")
    assert content.sweep(store) == 2
    assert len(texts(store, "c")) == 2


def run_with(call: str, run_id: str, *, parent: str | None = None, service: str = "shop", at_ns: int = 1) -> list[Any]:
    """A run of one call, with the texts of its one attempt."""
    ids = (f"{call}/1", call, run_id)
    both = [Content(*ids, role, at_ns, f"{role} of {call}") for role in ("request", "response")]
    return [
        RunStart(run_id, "p", at_ns, run_id, "explicit", parent, service=service),
        Attempt(*ids, "p", 1, at_ns, 1, *WIRE),
        *both,
    ]


def held(store: Store) -> set[str]:
    """Calls whose texts stand in any file, named by the index or not."""
    return {
        call
        for path in store.content_dir.iterdir()
        for call in pq.read_table(path, columns=["call_id"]).column("call_id").to_pylist()
    }


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (Chosen(), set()),
        (Chosen(before_ns=20), {"c", "d"}),
        (Chosen(run_ids=("r1",)), {"c", "d"}),
        (Chosen(service="other"), {"a", "b", "c"}),
        (Chosen(before_ns=20, run_ids=("r2", "r1")), {"c", "d"}),
        (Chosen(before_ns=5, service="other"), {"a", "b", "c", "d"}),
    ],
)
def test_what_is_erased_is_in_no_file(store: Store, chosen: Chosen, left: set[str]) -> None:
    """Texts by time, run with the runs inside it, and agent leave index and files; the others are read as before."""
    ingest(store, [*run_with("a", "r1"), *run_with("b", "inner", parent="r1"), *run_with("c", "r2", at_ns=20)])
    ingest(store, run_with("d", "r3", service="other", at_ns=20))
    before = content.count(store, Chosen())
    assert 8 == before
    number = content.count(store, chosen)
    assert (number, 0) == (content.erase(store, chosen), content.erase(store, chosen))
    assert before - number == content.count(store, Chosen()) == 2 * len(left)
    assert left == held(store)
    for call in "abcd":
        expected = [(role, f"{role} of {call}", 1) for role in ("request", "response")] if call in left else []
        assert expected == texts(store, call)


def test_what_a_crash_left_goes_with_the_next_erasing(store: Store) -> None:
    """Texts that the index has forgotten, but whose file was not written anew, go whatever is erased next."""
    ingest(store, [*run_with("a", "r1"), *run_with("b", "r2")])
    with store.transaction() as con:
        con.execute("DELETE FROM content WHERE call_id = 'a'")
    assert {"a", "b"} == held(store)
    assert 0 == content.erase(store, Chosen(run_ids=("r1",)))
    assert {"b"} == held(store)
